"""Reports: everything about a text, a comparison or a run in one HTML file that opens offline, to be read and printed.

`report(trace)` gives the file's bytes, `report_of(trace)` what it says before it is a file, for `printing.pdf`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.aggregate import mean_over_tokens, ordinary
from analysis.answers import answer_of, answers
from analysis.catalogue import CATALOGUE, Drawn, FigureSpec, routing_of
from analysis.compare.pair import TracePair, losses
from analysis.export.captions import generation, intervention, numbers, reading, worse_than_guessing
from analysis.export.files import Export
from analysis.export.paper import paper_figure
from analysis.export.report_page import (
    PAPER,
    Block,
    Code,
    Drawing,
    Report,
    Section,
    Table,
    Words,
    model_line,
    provenance,
    table,
    text_block,
)
from analysis.export.report_run import run_report
from analysis.export.reproduce import needs_file, pair_again, trace_again
from analysis.overview import ffn_equivalents
from analysis.view import DEFAULT_VIEW, View, window_around
from analysis.words.labels import how_many, short_label
from analysis.words.numbers import number, percent
from analysis.words.strip import Quantity, quantities, strip
from hooks.trace import RoutingTrace

if TYPE_CHECKING:
    from analysis.runs.run import Run

TITLE_LETTERS = 60
PARAPHRASES = "paraphrase_null"
"""Figure that sets a comparison beside pairs of paraphrases."""


def report(of: "RoutingTrace | TracePair | Run", view: View = DEFAULT_VIEW, **how: Any) -> bytes:
    """The report of a text, a comparison or a run as one HTML file with everything inside; `how` as in `report_of`."""
    return report_of(of, view, **how).html()


def report_of(of: "RoutingTrace | TracePair | Run", view: View = DEFAULT_VIEW, **how: Any) -> Report:
    """What the report says. `how`: the keyword arguments of `trace_report`, `pair_report` or `run_report`; a run has no
    selection, so `view` says nothing about it."""
    if isinstance(of, RoutingTrace):
        return trace_report(of, view, **how)
    return pair_report(of, view, **how) if isinstance(of, TracePair) else run_report(of, **how)


def trace_report(
    trace: RoutingTrace,
    view: View = DEFAULT_VIEW,
    *,
    name: str = "",
    options: Mapping[str, dict[str, str]] | None = None,
    colour_by: Quantity | None = None,
    of_layer: bool = False,
) -> Report:
    """The report of a text: its tokens, what every page finds, figures, tables, where it comes from, how to repeat it.

    `name` is that of the text, and `options` are those of figures by their names. Tokens are coloured by `colour_by`,
    in the selected layer alone if `of_layer`. Of a long text the maps show a window round the selected token.
    """
    how = _chosen(options=options, colour_by=colour_by, of_layer=of_layer)
    view = _windowed(view, trace)
    export = Export(trace, view, options=dict(options or {}))
    found = answers((trace,), view)
    return Report(
        name or _title(trace),
        (_counted(trace), model_line(trace.meta)),
        (
            Section("The text", (*_text(trace, view, colour_by, of_layer), *_notices(trace))),
            Section("What the pages find", tuple(Words(each.text, _named(page)) for page, each in found.items())),
            Section("Tables", (_layers(trace), _tokens(trace))),
            Section("Figures", (*_drawings(export), *_left_out(export))),
            Section("Where the numbers come from", provenance(trace.meta)),
            Section("How to make them again", (*trace_again(trace, view, how), *_text_file(trace))),
        ),
    )


def pair_report(
    pair: TracePair,
    view: View = DEFAULT_VIEW,
    *,
    name: str = "",
    options: Mapping[str, dict[str, str]] | None = None,
    colour_by: Quantity | None = None,
    of_layer: bool = False,
) -> Report:
    """The report of a comparison: both texts, what differs, figures, tables, where they come from, how to repeat it.

    The arguments are those of `trace_report`; only figures of comparisons are drawn.
    """
    how = _chosen(options=options, colour_by=colour_by, of_layer=of_layer)
    view = _windowed(view, pair.a)
    known = tuple(
        spec for spec in CATALOGUE if spec.of is TracePair and (pair.null or spec.name != PARAPHRASES)
    )  # without measured paraphrases there is nothing to hold the flips against
    export = Export(
        pair.a,
        view,
        (pair,),
        figures=tuple(spec for spec in known if spec.why_not(pair) is None),
        options=dict(options or {}),
    )
    texts = []
    for side, trace in (("A", pair.a), ("B", pair.b)):
        at = View(min(view.layer, trace.num_layers - 1), min(view.token, trace.num_tokens - 1))
        told = f"{side}: {_counted(trace)} {model_line(trace.meta)}"
        texts += [Words(told), *_text(trace, at, colour_by, of_layer), *_notices(trace)]
    return Report(
        name or f"Comparison of {_title(pair.a, 30)} and {_title(pair.b, 30)}",
        (f"B is {pair.name_of_b}. Differences are B minus A, at the tokens of A.",),
        (
            Section("The two texts", tuple(texts)),
            Section("What differs", (Words(answer_of("compare", pair, view).text), _both(pair))),
            Section("Figures", (*_drawings(export), *_left_out(export))),
            Section(
                "Where the numbers come from",
                (Words("A"), *provenance(pair.a.meta), Words("B"), *provenance(pair.b.meta)),
            ),
            Section("How to make them again", (*pair_again(pair, view, how), *_text_file(pair.a), *_text_file(pair.b))),
        ),
    )


def _chosen(**how: Any) -> dict[str, Any]:
    """The arguments that were not left at their defaults."""
    return {name: value for name, value in how.items() if value}


def _windowed(view: View, trace: RoutingTrace) -> View:
    return replace(view, window=view.window or window_around(view.token, trace.num_tokens))


def _title(trace: RoutingTrace, letters: int = TITLE_LETTERS) -> str:
    text = trace.meta.get("prompt_id") or " ".join((trace.meta.get("text") or "").split())
    return short_label(text, letters) or "a text"


def _named(page: str) -> str:
    return f"{page.replace('_', ' ').capitalize()}."


def _counted(trace: RoutingTrace) -> str:
    read = f", {sentence}" if (sentence := reading(trace)) else ""
    return f"{how_many(trace.num_tokens, 'token')}, {how_many(trace.num_layers, 'layer')}{read}."


def _notices(trace: RoutingTrace) -> tuple[Block, ...]:
    """What the reader must know of this text before its numbers."""
    added = int(trace.special.sum())
    told = (
        intervention(trace),
        generation(trace),
        "The text stands in the model's chat template, as a user's message."
        if trace.meta.get("chat") is True
        else None,
        "The gates of this model are untrained, so its routing is noise."
        if trace.meta.get("gates_trained") is False
        else None,
        worse_than_guessing(trace),
        f"Means leave out {how_many(added, 'token')} that the tokenizer added." if added else None,
    )
    return tuple(Words(each) for each in told if each)


def _text(trace: RoutingTrace, view: View, colour_by: Quantity | None, of_layer: bool) -> tuple[Block, ...]:
    """The tokens, coloured."""
    offered = quantities(trace)
    by = colour_by if colour_by in offered else offered[0]
    layer = view.layer if of_layer else None
    drawn = strip(trace, by, layer=layer, token=view.token, at_layer=view.layer, theme="light", level=view.level)
    where = f"in layer {view.layer}" if of_layer or by == "Experts" else "mean over layers"
    told = "" if by == "Surprisal" else f", {where}"
    return (text_block(drawn, f"Tokens coloured by {by.lower()}{told}."),)


def _drawings(export: Export) -> tuple[Block, ...]:
    """The figures of an export, one after the other."""
    return tuple(
        drawing(spec, export.drawn(spec), export.view, **export.options.get(spec.name, {})) for spec in export.specs
    )


def drawing(spec: FigureSpec, drawn: Drawn, view: View = DEFAULT_VIEW, **options: str) -> Drawing:
    """A figure of the catalogue as it stands in a report."""
    about = routing_of(drawn)
    caption = f"{spec.whole_caption_of(about.meta, **options)} {numbers(spec, about, view, **options)}"
    return Drawing(spec.name, spec.title, caption, paper_figure(spec, drawn, view, PAPER, **options))


def _left_out(export: Export) -> tuple[Block, ...]:
    titles = {spec.name: spec.title for spec in CATALOGUE}
    kinds = {spec.of for spec in export.specs}
    reasons = {
        name: reason
        for name, reason in export.left_out.items()
        if next(spec for spec in CATALOGUE if spec.name == name).of in kinds
    }
    return tuple(Words(f"{titles[name]}: {reason}", "Not drawn.", muted=True) for name, reason in reasons.items())


def _layers(trace: RoutingTrace) -> Table:
    """Means of every layer over the tokens of the text itself, of what the model decides."""
    columns = {"layer": np.arange(trace.num_layers)}
    if "depth" in trace.parts:
        columns["mean loops"] = mean_over_tokens(trace, trace.loops)
        columns["mean soft difficulty"] = mean_over_tokens(trace, trace.difficulty_soft)
    if "gate" in trace.parts:
        columns["mean λ"] = mean_over_tokens(trace, trace.gate)
    if "width" in trace.parts:
        columns["did not route, share"] = mean_over_tokens(trace, ~trace.width_ran)
    if len(trace.parts) == 3:
        columns["nominal cost, FFN passes"] = mean_over_tokens(trace, ffn_equivalents(trace))
    counted = f"Means over {how_many(int(ordinary(trace).sum()), 'token')} of the text itself."
    return table(pd.DataFrame(columns), caption=f"Every layer. {counted}")


def _tokens(trace: RoutingTrace) -> Table:
    """Every token, with means over layers."""
    columns = {"token": np.arange(trace.num_tokens), "text": trace.tokens}
    if trace.special.any():
        columns["added by the tokenizer"] = trace.special
    if "depth" in trace.parts:
        columns["mean loops"] = trace.loops.mean(axis=0)
        columns["mean soft difficulty"] = trace.difficulty_soft.mean(axis=0, dtype=float)
    if "gate" in trace.parts:
        columns["mean λ"] = trace.gate.mean(axis=0, dtype=float)
    if "width" in trace.parts:
        columns["layers that routed"] = trace.width_ran.sum(axis=0)
    columns["surprisal, nats"] = trace.surprisal.astype(float)
    folded = f"Every token: {how_many(trace.num_tokens, 'row')}, means over layers"
    return table(pd.DataFrame(columns), folded=folded)


def _both(pair: TracePair) -> Table:
    """What both sides come to."""
    rows = [["tokens", *(f"{trace.num_tokens:,}" for trace in (pair.a, pair.b))]]
    sides = [(trace, ordinary(trace)) for trace in (pair.a, pair.b)]
    for told, measured, shown in (
        ("mean loops", lambda trace: trace.loops, number),
        ("mean λ", lambda trace: trace.gate, number),
        ("did not route", lambda trace: ~trace.width_ran, percent),
    ):
        means = [float(mean_over_tokens(trace, measured(trace)).mean()) for trace, _ in sides]
        rows.append([told, *map(shown, means)])
    rows.append(["mean surprisal, nats per token", *(number(loss, 3) for loss in losses(pair))])
    return Table(["of all layers and tokens", "A", "B"], rows, (1, 2))


def _text_file(trace: RoutingTrace) -> tuple[Block, ...]:
    """The text itself, where a command reads it from a file."""
    text = trace.meta.get("text") or ""
    return (Code(text, "text.txt:"),) if needs_file(text) else ()


__all__ = ["drawing", "pair_report", "report", "report_of", "run_report", "trace_report"]
