"""Snippets: the few lines of Python that make a figure from model and text, and the files that they need."""

import re
import unicodedata
from dataclasses import dataclass

import numpy as np

from analysis.catalogue import Drawn, FigureSpec, OfTexts, routing_of
from analysis.compare.pair import TracePair
from analysis.explain.attribution import Attribution
from analysis.explain.embedding import Embedding
from analysis.explain.near_miss import TwoPrecisions
from analysis.export.snippet_of_map import map_code
from analysis.models.training import TrainingCurves
from analysis.runs.map import TokenMap
from analysis.texts.knock_out import KnockOutStudy
from analysis.texts.study import SAMPLES, Study
from analysis.view import PAGE_PX, View
from analysis.what_if.comparison import Comparison
from hooks.attention_trace import AttentionTrace
from hooks.depth_effects import DepthEffects
from hooks.frontier_record import Frontier, GateSweep
from hooks.interventions import Intervention, as_json
from hooks.knock_out_trace import STAGES, KnockOutTrace
from hooks.lens_trace import LensTrace
from hooks.path_trace import PathTrace
from hooks.slice_trace import SliceTrace
from hooks.trace import RoutingTrace
from hooks.training_trace import TrainingTrace
from hooks.transplant_trace import TransplantTrace

LONGEST_TEXT = 2_000
"""Characters; longer texts are not in the code, which reads them from the trace file."""
TRACE_FILE = "text.trace.safetensors"
"""Name of the trace file of a text without a name; see `trace_file_name`."""
TEXTS_FILE = "texts.json"
PACKAGE = "versatileffn." if __package__.startswith("versatileffn.") else ""
"""What stands before the names of our packages in an import: "" in a checkout, "versatileffn." where installed."""
WHERE = "in any folder" if PACKAGE else "in this project's folder"
PYTHON = "the Python that has `versatileffn`" if PACKAGE else "`.venv/bin/python`"
"""Where the code runs, and what runs it."""
NAME_LETTERS = 60
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)
"""Names that Windows keeps for devices, whatever follows their first dot."""


def trace_file_name(prompt: str) -> str:
    """Name of the trace file of a text with this name: letters, digits and hyphens, safe on every system."""
    words = re.findall(r"\w+", unicodedata.normalize("NFC", prompt))
    name = "-".join(words)[:NAME_LETTERS].strip("-_")
    if not name:
        return TRACE_FILE
    return f"{'text-' if _RESERVED.fullmatch(name) else ''}{name}.trace.safetensors"


@dataclass(frozen=True)
class Needs:
    """What the code of a figure needs beside this project's folder."""

    files: tuple[str, ...] = ()
    """Files from the export dialog: the trace file, TEXTS_FILE."""
    model: str | None = None
    """Name of a model that is not shipped; in the code, the path of its folder must replace the name."""


def needs(drawn: Drawn, *, shipped: bool = True, from_file: bool = False, trace_file: str = TRACE_FILE) -> Needs:
    """What the code of `snippet` needs for the same arguments."""
    if isinstance(drawn, TokenMap):
        return Needs()
    if isinstance(drawn, OfTexts):
        files = (TEXTS_FILE,) if _long_list(drawn) else ()
    elif isinstance(drawn, TrainingCurves):
        files = ()
    else:
        files = (trace_file,) if from_file or _in_file(drawn) else ()
    loads_model = not (isinstance(drawn, RoutingTrace) and files) and not _from_run(drawn)
    return Needs(files, str(routing_of(drawn).meta.get("model")) if loads_model and not shipped else None)


def _in_file(drawn: Drawn) -> bool:
    """Whether the code reads a trace file: its text is too long, or a new trace would lack its interventions."""
    return len(routing_of(drawn).meta.get("text") or "") > LONGEST_TEXT or _holds_interventions(drawn)


def _holds_interventions(drawn: Drawn) -> bool:
    """Whether the interventions are in the trace file; those of a comparison stand in its code."""
    in_code = isinstance(drawn, Comparison | TracePair | TransplantTrace)
    return "interventions" in routing_of(drawn).meta and not in_code


def _long_list(drawn: OfTexts) -> bool:
    return drawn.name != SAMPLES and not _from_run(drawn) and sum(map(len, drawn.read)) > LONGEST_TEXT


def snippet(
    spec: FigureSpec,
    drawn: Drawn,
    view: View,
    *,
    shipped: bool = True,
    from_file: bool = False,
    trace_file: str = TRACE_FILE,
    **options: str,
) -> str:
    """Python that draws `spec` as a page shows it, from the model and text of `drawn`, with this view and options.

    For a model that is not `shipped`, a comment asks for the path of its folder. A long text, or a trace that was read
    `from_file`, is read from `trace_file`, and the texts of a study from TEXTS_FILE if they are long.
    """
    about = routing_of(drawn)
    model = repr(about.meta.get("model"))
    its_folder = "" if shipped else "  # the path of its folder"
    text = about.meta.get("text") or ""
    read_file, again = from_file or _in_file(drawn), not _holds_interventions(drawn)  # again: traced from its text
    why = ": the text is too long to stand here" if again else ": it holds the interventions"
    note = "  # Export, Trace file" + ("" if from_file else why)
    file = f"RoutingTrace.load({trace_file!r})"
    imports = ["from analysis import figures", "from analysis.view import View"]
    names: list[str] = []
    lines: list[str] = []
    if isinstance(drawn, RoutingTrace) and read_file:
        names, lines = ["RoutingTrace"], [f"drawn = {file}{note}"]
    elif isinstance(drawn, TokenMap):
        imports, lines = map_code(drawn)
    elif isinstance(drawn, TrainingCurves):
        more_imports, lines = _curves_code(model, shipped)
        imports += more_imports
    elif _from_run(drawn):
        more_imports, lines = _run_code(drawn)
        imports += more_imports
    else:
        imports.append("from sample_models import load_model")
        lines.append(f"loaded = load_model({model}){its_folder}")
        if not isinstance(drawn, OfTexts):
            names = ["RoutingTrace"] if read_file else []
            its_text = '.meta["text"]' if again else ""
            lines.append(f"text = {file}{its_text}{note}" if read_file else f"text = {text!r}")
        if isinstance(drawn, TwoPrecisions):
            imports.append("import torch")
            lines.append(f"rounded = load_model({model}, dtype=torch.bfloat16){its_folder}")
        more_imports, more_names, more_lines = result_code(drawn)
        imports, names, lines = imports + more_imports, names + more_names, lines + more_lines
    if names:
        imports.append(f"from hooks import {', '.join(names)}")
    chosen = "".join(f", {option}={value!r}" for option, value in options.items())
    lines += [
        f"figure = figures.{spec.figure.__name__}(drawn, {view_code(view)}{chosen})",
        f'figure.write_html("{spec.name}.html")',
    ]
    return "\n".join([*sorted(map(as_here, imports)), "", *lines]) + "\n"


def as_here(line: str) -> str:
    """An import as it works here: of the installed package where the explorer is a part of that."""
    return re.sub(r"^from (?=(sample_models|hooks|analysis)\b)", f"from {PACKAGE}", line)


def result_code(drawn: Drawn) -> tuple[list[str], list[str], list[str]]:
    """Code that computes a result from `loaded` and `text`: imports, names from hooks, lines up to `drawn = ...`."""
    if isinstance(drawn, OfTexts):
        return _study_code(drawn)
    if isinstance(drawn, PathTrace):
        whole = drawn.num_tokens == drawn.routing.num_tokens
        tokens = "" if whole else f", tokens=({drawn.first_token}, {drawn.end_token})"
        return [], ["capture_paths"], [f"drawn = capture_paths(loaded, text{tokens})"]
    if isinstance(drawn, SliceTrace | Embedding):
        count = drawn.captured if isinstance(drawn, Embedding) else drawn.share.shape[1]
        first, end = drawn.first_token, drawn.first_token + count
        tokens = "" if count == drawn.routing.num_tokens else f", tokens=({first}, {end})"
        paths = f"paths = capture_paths(loaded, text{tokens})"
        if isinstance(drawn, SliceTrace):
            return [], ["capture_paths", "loop_slices"], [paths, "drawn = loop_slices(loaded, paths)"]
        layers = "" if len(drawn.layers) == drawn.routing.num_layers else f", {drawn.layers}"
        line = f"drawn = embedding(paths{layers})  # UMAP: the first map takes longer, it compiles"
        return ["from analysis.explain.embedding import embedding"], ["capture_paths"], [paths, line]
    if isinstance(drawn, Attribution):
        return _attribution_code(drawn)
    if isinstance(drawn, Comparison):
        return _comparison_code(drawn)
    if isinstance(drawn, TracePair | TransplantTrace):
        return _pair_code(drawn)
    if isinstance(drawn, LensTrace):
        at = drawn.token
        paths = f"paths = capture_paths(loaded, text, tokens=({at}, {at + 1}))"
        read = f"drawn = recursion_lens(loaded, paths, {at}, {drawn.target_id})"
        return [], ["capture_paths", "recursion_lens"], [paths, read]
    if isinstance(drawn, TwoPrecisions):
        line = "drawn = TwoPrecisions(capture(loaded, text), capture(rounded, text))"
        return ["from analysis.explain.near_miss import TwoPrecisions"], ["capture"], [line]
    if isinstance(drawn, KnockOutTrace):
        return [], ["knock_outs"], [f"drawn = knock_outs(loaded, text{_how(drawn)})  # takes a while"]
    if isinstance(drawn, TrainingTrace):
        return [], ["capture_training"], ["drawn = capture_training(loaded, text)"]
    if isinstance(drawn, DepthEffects | Frontier | GateSweep):
        return _forced_code(drawn)
    if isinstance(drawn, AttentionTrace):
        token = f", token={drawn.token}" if drawn.routing.window_of(drawn.token).own else ""
        return [], ["capture_attention"], [f"drawn = capture_attention(loaded, text{token}).at({drawn.token})"]
    return [], ["capture"], ["drawn = capture(loaded, text)"]


def _from_run(drawn: Drawn) -> bool:
    """Whether its texts were read from a run, so that the code needs no model."""
    return isinstance(drawn, Study) and bool(drawn.code)


def _run_code(drawn: Study) -> tuple[list[str], list[str]]:
    """Code that studies the texts of a run: imports, and lines up to `drawn = ...`."""
    imports = ["from analysis.runs.run import Run", "from analysis.texts.study import study"]
    imports += ["from analysis.runs.filters import TokenFilter"] if "TokenFilter" in drawn.code else []
    return imports, [
        f"read = {drawn.code}  # the path of the run's folder",
        f"drawn = study(read, name={drawn.name!r})",
    ]


def _study_code(drawn: OfTexts) -> tuple[list[str], list[str], list[str]]:
    imports, texts = [], "texts"
    lines: list[str] = []
    if drawn.name == SAMPLES:
        imports, texts = [*imports, "from analysis.texts.sample_texts import SAMPLE_TEXTS"], "list(SAMPLE_TEXTS)"
    elif not _long_list(drawn):
        lines = [f"texts = {list(drawn.read)!r}"]
    else:
        imports += ["import json", "from pathlib import Path"]
        lines = [f'texts = json.loads(Path({TEXTS_FILE!r}).read_text("utf-8"))  # Export, Texts']
    if isinstance(drawn, KnockOutStudy):
        imports.append("from analysis.texts.knock_out import knock_out_study")
        lines.append(f"found = [knock_outs(loaded, each{_how(drawn)}) for each in {texts}]  # takes minutes")
        return imports, ["knock_outs"], [*lines, f"drawn = knock_out_study(found, name={drawn.name!r})"]
    imports.append("from analysis.texts.study import study")
    return imports, ["capture"], [*lines, f"drawn = study(capture(loaded, {texts}), name={drawn.name!r})"]


def _how(drawn: KnockOutTrace | KnockOutStudy) -> str:
    """The arguments of `knock_outs` without those that have their default; only what was measured is measured again."""
    stages = drawn.paths if isinstance(drawn, KnockOutStudy) else [each for each in STAGES if each in drawn.finished]
    told = f", stages={stages}" if stages and len(stages) < len(STAGES) else ""
    return (f", then={drawn.then!r}" if drawn.then != "repick" else "") + told


def _curves_code(model: str, shipped: bool) -> tuple[list[str], list[str]]:
    """Code that reads the curves of a model: imports, and lines up to `drawn = ...`."""
    imports = ["from analysis.models.training import TrainingCurves, read_curves"]
    if shipped:
        imports.append("from sample_models.registry import CHECKPOINTS")
        folder = f"folder = CHECKPOINTS / {model}"
    else:
        imports.append("from pathlib import Path")
        folder = f"folder = Path({model})  # the path of its folder"
    return imports, [folder, 'drawn = TrainingCurves(read_curves((folder / "curves.csv").read_bytes()))']


def _attribution_code(drawn: Attribution) -> tuple[list[str], list[str], list[str]]:
    at, removed = drawn.direction, ""
    imports, names = ["from analysis.explain.attribution import attribution"], ["capture_paths", "logit_direction"]
    against = "" if at.distractor_id is None else f", {at.distractor_id}"
    lines = [
        f"paths = capture_paths(loaded, text, tokens=({at.token}, {at.token + 1}))",
        f"direction = logit_direction(loaded, paths, {at.token}, {at.target_id}{against})",
    ]
    if drawn.measured:
        imports.append("from analysis.explain.ledger import stream_writes")
        names.append("remove_writes")
        lines += [
            f"vectors, table = stream_writes(paths, {at.token})",
            'writes = list(zip(table["layer"].tolist(), table["kind"].tolist(), vectors, strict=True))',
            "removed = remove_writes(loaded, direction, paths.routing, writes)",
        ]
        removed = ", removed"
    return imports, names, [*lines, f"drawn = attribution(paths, direction{removed})"]


def captured_code(interventions: tuple[Intervention, ...], model: str = "loaded", text: str = "text") -> str:
    """The call of `capture` under interventions, which needs `from_json` of hooks.interventions if there are any."""
    under = f", interventions=from_json({as_json(interventions)!r})" if interventions else ""
    return f"capture({model}, {text}{under})"


def _pair_code(drawn: TracePair | TransplantTrace) -> tuple[list[str], list[str], list[str]]:
    """A and B in their models, and what is made of both."""
    pair = drawn if isinstance(drawn, TracePair) else TracePair(drawn.a, drawn.b)
    imports, names, lines, loaded_b = ["from analysis.compare.pair import TracePair"], ["capture"], [], "loaded"
    if pair.a.interventions or pair.b.interventions:
        imports.append("from hooks.interventions import from_json")
    if pair.step is not None:
        loaded_b = "earlier"
        lines.append(f"earlier = load_model({pair.a.meta.get('model')!r}, step={pair.step})")
    elif pair.what == "model":
        loaded_b = "other"
        lines.append(f"other = load_model({pair.b.meta.get('model')!r})  # or the path of its folder")
    text_b = "text" if pair.a.meta.get("text") == pair.b.meta.get("text") else repr(pair.b.meta.get("text") or "")
    lines += [
        f"a = {captured_code(pair.a.interventions)}",
        f"b = {captured_code(pair.b.interventions, loaded_b, text_b)}",
    ]
    if isinstance(drawn, TransplantTrace):
        model = "" if loaded_b == "loaded" else f", loaded_b={loaded_b}"
        return imports[1:], [*names, "transplant_routing"], [*lines, f"drawn = transplant_routing(loaded, a, b{model})"]
    if not pair.null:
        return imports, names, [*lines, "drawn = TracePair(a, b)"]
    imports.append("from analysis.compare.texts import paraphrase_flips, paraphrase_texts")
    lines.append("null = paraphrase_flips(capture(loaded, paraphrase_texts()))")
    return imports, names, [*lines, "drawn = TracePair(a, b, null)"]


def _comparison_code(drawn: Comparison) -> tuple[list[str], list[str], list[str]]:
    return (
        ["from analysis.what_if.comparison import Comparison", "from hooks.interventions import from_json"],
        ["capture", "next_token_kl"],
        [
            f"before = {captured_code(drawn.before.interventions)}",
            f"after = {captured_code(drawn.after.interventions)}",
            "drawn = Comparison(before, after, next_token_kl(loaded, before, after))",
        ],
    )


def _forced_code(drawn: DepthEffects | Frontier | GateSweep) -> tuple[list[str], list[str], list[str]]:
    traced = "trace = capture(loaded, text)"
    if isinstance(drawn, GateSweep):
        line = f"drawn = gate_sweep(loaded, trace, {drawn.layer}, {drawn.token})"
        return [], ["capture", "gate_sweep"], [traced, line]
    if isinstance(drawn, Frontier):
        lines = [traced, "drawn = frontier(loaded, depth_sweep(loaded, trace))"]
        return [], ["capture", "depth_sweep", "frontier"], lines
    some = "" if drawn.complete else f", tokens={np.flatnonzero(drawn.ran).tolist()}"
    return [], ["capture", "depth_sweep"], [traced, f"drawn = depth_sweep(loaded, trace{some})"]


def view_code(view: View) -> str:
    """The view as code, without the fields that have their default."""
    fields = [f"layer={view.layer}", f"token={view.token}"]
    fields += [f"window={view.window}"] if view.window else []
    fields += [f"theme={view.theme!r}"] if view.theme != "light" else []
    fields += [f"level={view.level!r}"] if view.level != "token" else []
    fields += [f"checkpoint={view.checkpoint}"] if view.checkpoint is not None else []
    fields += [f"room={view.room}"] if view.room != PAGE_PX else []
    return f"View({', '.join(fields)})"


__all__ = [
    "LONGEST_TEXT", "PACKAGE", "PYTHON", "TEXTS_FILE", "TRACE_FILE", "WHERE", "Needs", "as_here", "captured_code",
    "needs", "result_code", "snippet", "trace_file_name", "view_code",
]  # fmt: skip
