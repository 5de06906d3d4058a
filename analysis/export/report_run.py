"""The report of a run: what it is of, what its pages find, figures, tables, some of its texts, and how to repeat it."""

import json
import re
import shlex
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.answers import answer_of
from analysis.export.paper import paper_figure
from analysis.export.paper_run import cloud_name, paper_caption
from analysis.export.report_page import (
    PAPER,
    Block,
    Cell,
    Code,
    Drawing,
    Picture,
    Report,
    Section,
    Table,
    Text,
    Words,
    model_line,
    provenance,
    table,
)
from analysis.export.reproduce import PROGRAM, model_options
from analysis.export.snippet import PYTHON, WHERE, as_here
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.runs.atlas import ATLAS_FIGURES
from analysis.figures.runs.paper import COSINE, PAPER_FIGURES
from analysis.figures.runs.paper_clouds import HEIGHT, WIDTH, cloud_caption, cloud_svg
from analysis.palette import THEMES, colour_at, text_on
from analysis.runs.atlas import Atlas, atlas_balance, atlas_of
from analysis.runs.filter_words import in_words as filter_in_words
from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.paper import cloud_levels
from analysis.runs.paper_paths import PathCosines, sampled
from analysis.view import DEFAULT_VIEW
from analysis.words.labels import how_many
from analysis.words.numbers import NOTHING, number, significant
from hooks.interventions import from_json, in_words
from hooks.token_text import WHITE

if TYPE_CHECKING:
    from analysis.runs.run import Run

_MAKER = re.compile(r"docs\.\w{1,40}")
TEXTS, TEXT_TOKENS, WORDS, PROBLEMS = 6, 256, 20, 10
"""Texts, tokens of each, words at a λ, and records with a problem that a report shows."""
LOOP_COLOURS = THEMES["light"]["loops"]


def run_report(
    run: "Run", chosen: TokenFilter = ALL_TOKENS, *, cosines: PathCosines | None = None, name: str = ""
) -> Report:
    """The report of a run under a filter; Fig. 6 of the paper is in it with `cosines` (`paper_paths.path_cosines`).

    `name` is what the run is called; without it, it is called as its folder.
    """
    drawn = replace(atlas_of(run, chosen), name=name or run.name)
    words = filter_in_words(chosen)
    told = f"{how_many(run.counts.prompts, 'prompt')}, {how_many(run.counts.tokens, 'token')}."
    return Report(
        f"Run “{drawn.name}”",
        (told, *((f"Only tokens count for which holds: {words}.",) if words else ()), _model(run)),
        (
            Section("What the run is of", _of(run)),
            Section("What it shows", (Words(answer_of("atlas", drawn).text),)),
            Section("Tables", (_layers(drawn), *_words(drawn))),
            Section("Figures", (*_drawings(drawn, cosines), *_clouds(drawn))),
            Section("Some of its texts", _texts(run, chosen)),
            Section("Where the numbers come from", (*provenance(run.meta), *_made_by(run))),
            Section("How to make them again", _again(run, chosen)),
        ),
    )


def _model(run: "Run") -> str:
    unfinished = "" if run.manifest.finished else " The run is not finished: this is of what was read so far."
    return f"{model_line(run.meta)}{unfinished}"


def _of(run: "Run") -> tuple[Block, ...]:
    """Sources with how much was read, settings, and records that could not be used."""
    read = run.ask(
        "SELECT source, count(*) FILTER (problem IS NULL) AS prompts, sum(tokens)::BIGINT AS tokens, "
        "count(*) FILTER (problem IS NOT NULL) AS problems FROM prompts GROUP BY source ORDER BY min(prompt)"
    )
    blocks: list[Block] = [table(read, caption="What was read.")]
    changed = run.manifest.settings.get("interventions")
    if changed:
        told = in_words(from_json(changed))
        blocks.append(Words(f"Under interventions, not the model's own routing: {told}."))
    if run.manifest.settings.get("chat"):
        blocks.append(Words("Every text stands in the model's chat template, as a user's message."))
    if run.meta.get("gates_trained") is False:
        blocks.append(Words("The gates of this model are untrained, so its routing is noise."))
    if run.counts.problems:
        first = run.ask(
            f"SELECT prompt_id, problem FROM prompts WHERE problem IS NOT NULL ORDER BY prompt LIMIT {PROBLEMS}"
        )
        caption = f"{how_many(run.counts.problems, 'record')} could not be used; the first of them:"
        blocks.append(table(first, {"prompt_id": "record", "problem": "problem"}, caption=caption))
    return tuple(blocks)


def _layers(drawn: Atlas) -> Table:
    """Every layer: mean loops with its interval, mean λ, and how even the load is, as far as the model has them."""
    found = drawn.table("paper_loops").rename(columns={"low": "from", "high": "to"})
    names = {"layer": "layer", "mean_loops": "mean loops", "from": "95% from", "to": "to"}
    if "gate" in drawn.sizes.parts:
        gate = drawn.table("gate").drop_duplicates("layer").set_index("layer")["mean_gate"]
        found, names = found.assign(gate=found["layer"].map(gate)), names | {"gate": "mean λ"}
    if "width" in drawn.sizes.parts and drawn.tokens:
        balance = atlas_balance(drawn).set_index("layer")
        for name, words in (("did_not_route", "did not route, share"), ("load_cv", "load CV")):
            found, names = found.assign(**{name: found["layer"].map(balance[name])}), names | {name: words}
    counted = how_many(drawn.tokens, "token")
    return table(found, names, caption=f"Every layer, over {counted} that count. Intervals are over prompts.")


def _words(drawn: Atlas) -> tuple[Block, ...]:
    """The words at the values of λ of the clouds, sorted."""
    if "gate" not in drawn.sizes.parts:
        return ()
    every = drawn.table("paper_words")
    names = {"word": "word", "count": "cells", "of_word": "of all its cells", "lift": "lift"}
    blocks = []
    for level in cloud_levels(drawn.sizes):
        found = every[(every["gate"] == level) & ~every["blank"].astype(bool)].head(WORDS)
        caption = (
            f"The {how_many(len(found), 'word')} with λ {significant(level)} in most cells (a token in a layer). Lift: "
            "how many times as frequent as among all cells."
        )
        blocks.append(replace(table(found, names, caption=caption), beside=True))
    return tuple(blocks)


def _drawings(drawn: Atlas, cosines: PathCosines | None) -> tuple[Block, ...]:
    given = [(spec, drawn) for spec in (*ATLAS_FIGURES, *PAPER_FIGURES)]
    given += [(COSINE, cosines)] if cosines else []
    return tuple(_drawing(spec, data) for spec, data in given)


def _drawing(spec: FigureSpec, data: Atlas | PathCosines) -> Drawing:
    caption = paper_caption(spec, data).removeprefix(f"{spec.title}. ").replace("\n\n", " ").strip()
    return Drawing(spec.name, spec.title, _on_paper(caption), paper_figure(spec, data, DEFAULT_VIEW, PAPER))


def _on_paper(caption: str) -> str:
    """A caption without what only a page can do."""
    return re.sub(r" ?Click [^.]*\.", "", caption)


def _clouds(drawn: Atlas) -> tuple[Block, ...]:
    blocks = []
    if find_spec("wordcloud") is None:
        return (Words("The word clouds (the paper's Fig. 5) need the package wordcloud.", "Not drawn."),)
    for level in cloud_levels(drawn.sizes) if "gate" in drawn.sizes.parts else ():
        if svg := cloud_svg(drawn, level):
            title = f"Words at λ {significant(level)} (the paper's Fig. 5)"
            alt = f"A word cloud; the table “{significant(level)}” above has its words"
            caption = cloud_caption(drawn, level, svg)
            blocks.append(Picture(cloud_name(level).replace(".", "_"), title, caption, svg, alt, WIDTH, HEIGHT))
    return tuple(blocks)


def _texts(run: "Run", chosen: TokenFilter) -> tuple[Block, ...]:
    """Some texts as their tokens, coloured by mean loops; those that the filter leaves out are empty."""
    found, most = sampled(run, chosen, count=TEXTS), run.sizes.max_loops
    bar = [colour_at(LOOP_COLOURS, i / 8) for i in range(9)]
    legend = [("text", "mean loops over layers: 1", ""), ("bar", bar, ""), ("text", str(most), "")]
    blocks = []
    for row in found.itertuples():
        rows = run.ask(
            f"SELECT token, text, loops, logprob FROM tokens WHERE prompt = ? ORDER BY token LIMIT {TEXT_TOKENS}",
            [row.prompt],
        )
        counted = {*map(int, row.tokens)}
        cells = [
            _cell(token, text, float(np.mean(loops)), logprob, most, counts=token in counted)
            for token, text, loops, logprob in rows.itertuples(index=False)
        ]
        blocks.append(Text(cells, legend, f"Prompt {row.prompt}."))
    told = f"{how_many(len(found), 'prompt')} drawn at random (seed 0), up to {TEXT_TOKENS} tokens of each."
    return (Words(told), *blocks)


def _cell(token: int, text: str, loops: float, logprob: float, most: int, *, counts: bool) -> Cell:
    """A token in its text, coloured by its mean loops, 1..most, if it counts."""
    told = f"token {token}, mean loops {number(loops)}"
    told += "" if pd.isna(logprob) else f", surprisal {number(-logprob, 1)} nats"
    fill = colour_at(LOOP_COLOURS, (loops - 1) / max(most - 1, 1)) if counts else ""
    blank = not text.strip(WHITE)
    label = f" {text[1:]}" if text.startswith("␣") and not blank else text
    look = " ".join([*(() if fill else ("empty",)), *(("white",) if blank else ())])
    return Cell(label, told, "", fill, text_on(fill) if fill else "", look, "↵" in text)


def _made_by(run: "Run") -> tuple[Block, ...]:
    manifest = run.manifest
    versions = ", ".join(f"{name} {each}" for name, each in manifest.versions.items())
    rows = [
        ["begun, UTC", manifest.started],
        ["last written, UTC", manifest.updated],
        ["versions of the run", versions],
    ]
    files = [[str(each.get("name")), _told_apart(each)] for each in manifest.sources]
    settings = [[name, json.dumps(each, ensure_ascii=False)] for name, each in manifest.settings.items()]
    folded = Table(["setting", "value"], settings, folded=f"Settings: {how_many(len(settings), 'setting')}")
    return (
        Table(["what", "value"], [row for row in rows if row[1]]),
        Table(["source", "what tells it from another version of itself"], files),
        *((folded,) if settings else ()),
    )


def _told_apart(source: dict[str, Any]) -> str:
    """What tells a source from another version of itself, in words."""
    known = {name: f"{each:,}" if type(each) is int else str(each) for name, each in source.items() if name != "name"}
    return "; ".join(f"{name.replace('_', ' ')} {each}" for name, each in known.items()) or NOTHING


def _again(run: "Run", chosen: TokenFilter) -> tuple[Block, ...]:
    """The commands and Python that make the run and its report again."""
    names = [shlex.quote(str(each.get("name"))) for each in run.manifest.sources]
    words, settings, blocks = [*names, *model_options(run.meta)], run.manifest.settings, []
    words += ["--chat"] if settings.get("chat") else []
    for option in ("per", "column", "id_column", "limit"):
        if settings.get(option) is not None:
            words += [f"--{option.replace('_', '-')}", shlex.quote(str(settings[option]))]
    if settings.get("interventions"):
        words += ["--intervene", "interventions.json"]
        told = "interventions.json holds the interventions:"
        blocks.append(Code(json.dumps(settings["interventions"], ensure_ascii=False), told))
    given = chosen.as_json()
    told = f" --filter {shlex.quote(json.dumps(given, ensure_ascii=False))}" if given else ""
    filtered = f"TokenFilter.from_json({given!r})" if given else ""
    if chosen.among is not None:
        blocks.append(
            Words("Tokens chosen on the map are in no command and no code: what these make counts all others.")
        )
    imports = [
        *(["from analysis.runs.filters import TokenFilter"] if told else []),
        "from analysis.export.report import report",
        "from analysis.runs.run import Run",
        "from pathlib import Path",
    ]
    made = f"report(run{f', chosen={filtered}' if told else ''})"
    lines = ['run = Run("my_run")', f'Path("report.html").write_bytes({made})']
    return (
        Words(f"The commands and the code run {WHERE}, with {PYTHON.replace('`', '')}.", muted=True),
        *blocks,
        _made_again(run, words),
        Code(f"{PROGRAM} report my_run{told} --out report.html", "Make this report:"),
        Code(f"{PROGRAM} paper my_run{told} --out figures", "The paper's figures as files:"),
        Code("\n".join([*sorted(map(as_here, imports)), "", *lines]), "The report in Python:"),
    )


def _made_again(run: "Run", words: list[str]) -> Code:
    """The command that makes the run: of the one that is shipped, the program that made it."""
    maker = str(run.manifest.sources[0].get("made_by")) if run.manifest.sources else ""
    if _MAKER.fullmatch(maker):
        told = "The run comes with this project. This makes it again in its folder, for which my_run stands below:"
        return Code(f"{PYTHON.replace('`', '')} -m {maker}", told)
    return Code(f"{PROGRAM} run {' '.join(words)} --out my_run", "Make the run, where its sources are:")


__all__ = ["run_report"]
