"""Code that computes a result anew: the lines of a snippet between the model and the figure."""

import numpy as np

from analysis.catalogue import Drawn, OfTexts
from analysis.compare.pair import TracePair
from analysis.explain.attribution import Attribution
from analysis.explain.embedding import Embedding
from analysis.explain.near_miss import TwoPrecisions
from analysis.figures.figure_pair import FigurePair
from analysis.texts.knock_out import KnockOutStudy
from analysis.texts.study import SAMPLES, Study
from analysis.what_if.comparison import Comparison
from hooks.attention_trace import AttentionTrace
from hooks.depth_effects import DepthEffects
from hooks.frontier_record import Frontier, GateSweep
from hooks.interventions import Intervention, as_json
from hooks.knock_out_trace import STAGES, KnockOutTrace
from hooks.lens_trace import LensTrace
from hooks.path_trace import PathTrace
from hooks.slice_trace import SliceTrace
from hooks.training_trace import TrainingTrace
from hooks.transplant_trace import TransplantTrace

LONGEST_TEXT = 2_000
"""Characters; longer texts are not in the code, which reads them from the trace file."""
TEXTS_FILE = "texts.json"


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
    if isinstance(drawn, TracePair | FigurePair | TransplantTrace):
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


def _study_code(drawn: OfTexts) -> tuple[list[str], list[str], list[str]]:
    imports, texts = [], "texts"
    lines: list[str] = []
    if drawn.name == SAMPLES:
        imports, texts = [*imports, "from analysis.texts.sample_texts import SAMPLE_TEXTS"], "list(SAMPLE_TEXTS)"
    elif not long_list(drawn):
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


def _pair_code(drawn: TracePair | FigurePair | TransplantTrace) -> tuple[list[str], list[str], list[str]]:
    """A and B in their models, and what is made of both."""
    pair = TracePair(drawn.a, drawn.b) if isinstance(drawn, TransplantTrace) else drawn
    if isinstance(drawn, FigurePair):
        pair = TracePair(drawn.pair.a, drawn.pair.b)
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
    if isinstance(drawn, FigurePair):
        imports.append("from analysis.figures.figure_pair import FigurePair")
        option = f", {drawn.option!r}" if drawn.option else ""
        return imports, names, [*lines, f"drawn = FigurePair(TracePair(a, b), {drawn.figure!r}{option})"]
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


def from_run(drawn: Drawn) -> bool:
    """Whether its texts were read from a run, so that the code needs no model."""
    return isinstance(drawn, Study) and bool(drawn.code)


def long_list(drawn: OfTexts) -> bool:
    """Whether its texts are too long for the code, which then reads them from TEXTS_FILE."""
    return drawn.name != SAMPLES and not from_run(drawn) and sum(map(len, drawn.read)) > LONGEST_TEXT


__all__ = ["LONGEST_TEXT", "TEXTS_FILE", "captured_code", "from_run", "long_list", "result_code"]
