"""The token strip: one fill, one short text and one hatch per token, for a quantity that the reader chose."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

import numpy as np

from analysis.difficulty import MAX_SURPRISAL
from analysis.figures.palette import (
    THEMES,
    TINTS,
    colour_at,
    expert_colour,
    expert_tints,
    gate_colour,
    loop_colours,
    text_on,
    tint_level,
)
from analysis.labels import token_labels
from hooks.trace import RoutingTrace

Quantity = Literal["Difficulty", "Gate", "Loops", "Experts", "Surprisal"]
QUANTITIES: tuple[Quantity, ...] = ("Difficulty", "Gate", "Loops", "Experts", "Surprisal")
_STEPS = 64
HATCHED, EMPTY = -1, -2


@dataclass(frozen=True)
class Strip:
    """What the strip draws. Lists have one entry per token; `fill` points into `palette`, or is HATCHED or EMPTY."""

    labels: list[str]
    fill: list[int]
    palette: list[tuple[str, str]]
    """(fill, text colour with at least 4.5:1 on it)."""
    badges: list[str]
    """Small number after the token: the second cue beside colour."""
    values: list[str]
    surprisal: list[str]
    quantity: str
    legend: list[tuple]
    readout: list[tuple[str, str]]
    breaks: list[bool]
    """Line breaks of the text."""
    white: list[bool]
    colors: dict[str, str]
    window: int = 256
    signature: str = field(default="")

    def to_data(self) -> dict:
        """As the browser wants it, with a signature of all that does not depend on the selection."""
        data = asdict(self)
        fixed = {name: value for name, value in data.items() if name != "readout"}
        return data | {"signature": hashlib.sha256(json.dumps(fixed).encode()).hexdigest()[:16]}


def strip(
    trace: RoutingTrace, quantity: Quantity, *, layer: int | None, token: int, at_layer: int, theme: str
) -> Strip:
    """Colour tokens by `quantity` in `layer`, or by its mean over layers if None (experts: in the selected layer).

    `token` and `at_layer` are the selection that the read-out describes. Special tokens and undefined values (the first
    token's surprisal) stay empty; a token that did not route is hatched, never coloured.
    """
    if quantity == "Experts" and layer is None:
        layer = at_layer  # expert 3 of one layer has nothing to do with expert 3 of another: no mean exists
    colors = THEMES[theme]
    fill, palette, badges, values, legend = _colouring(trace, quantity, layer, theme)
    fill = np.where(trace.special, EMPTY, fill)
    return Strip(
        labels=cell_labels(trace),
        fill=fill.tolist(),
        palette=[(colour, text_on(colour)) for colour in palette],
        badges=badges,
        values=values,
        surprisal=[_nats(value) for value in trace.surprisal],
        quantity=quantity.lower() + ("" if layer is None else f" in layer {layer}"),
        legend=legend,
        readout=readout(trace, token, at_layer),
        breaks=["↵" in token for token in trace.tokens],
        white=[not token.strip("␣↵⇥") for token in trace.tokens],
        colors={"line": colors["line"], "muted": colors["muted"]},
    )


def cell_labels(trace: RoutingTrace) -> list[str]:
    """Whole token texts; a leading space is a real one, as in the text, and only bare white space shows its sign."""
    labels = token_labels(trace, longest=max(map(len, trace.tokens)))
    led = (token.startswith("␣") and label != token for token, label in zip(trace.tokens, labels, strict=True))
    return [" " + label if space else label for space, label in zip(led, labels, strict=True)]


def readout(trace: RoutingTrace, token: int, layer: int) -> list[tuple[str, str]]:
    """(name, value) pairs that describe one token in one layer, in words that every page shares."""
    loops = int(trace.loops[layer, token])
    if trace.width_ran[layer, token]:
        pairs = zip(trace.expert_ids[layer, token], trace.expert_weights[layer, token], strict=True)
        experts = " ".join(f"{expert} ({weight:.2f})" for expert, weight in pairs)
    else:
        experts = "did not route"
    return [
        ("text", token_labels(trace)[token]),
        ("token", str(token)),
        ("layer", str(layer)),
        ("loops", "●" * loops + "○" * (trace.max_loops - loops) + f" {loops}"),
        ("width share", f"{trace.gate[layer, token]:.2f}"),
        ("experts", experts),
        ("difficulty", f"{trace.difficulty_soft[:, token].mean():.2f}"),
        ("surprisal", _nats(trace.surprisal[token])),
    ]


def _colouring(trace: RoutingTrace, quantity: Quantity, layer: int | None, theme: str):
    """(fill index, palette, badges, values, legend) of a quantity."""
    colors = THEMES[theme]
    where = "mean over layers" if layer is None else f"layer {layer}"
    none = [""] * trace.num_tokens
    if quantity == "Difficulty":
        numbers, ramp = _at(trace.difficulty_soft, layer), colors["difficulty"]
        legend = [("text", f"difficulty (soft, {where}) 0"), ("bar", ramp), ("text", "1")]
        return _steps(numbers, 0, 1), _ramp(ramp), none, [f"{n:.2f}" for n in numbers], legend
    if quantity == "Gate":
        numbers, ramp = _at(trace.gate, layer), [gate_colour(i / (_STEPS - 1), theme) for i in range(_STEPS)]
        legend = [("text", f"{where}: depth 0"), ("bar", ramp[::9]), ("text", "1 width")]
        return _steps(numbers, 0, 1), ramp, none, [f"{n:.2f}" for n in numbers], legend
    if quantity == "Surprisal":
        ramp, shown = colors["probability"], [_nats(n) for n in trace.surprisal]
        legend = [("text", "surprisal of the token 0"), ("bar", ramp), ("text", f"{MAX_SURPRISAL} nats or more")]
        return _steps(trace.surprisal, 0, MAX_SURPRISAL), _ramp(ramp), none, shown, legend
    if quantity == "Loops":
        return _loops(trace, layer, theme)
    return _experts(trace, layer, theme)


def _loops(trace: RoutingTrace, layer: int | None, theme: str):
    if layer is None:
        numbers, ramp = trace.loops.mean(axis=0), THEMES[theme]["loops"]
        legend = [("text", "loops (mean over layers) 1"), ("bar", ramp), ("text", str(trace.max_loops))]
        shown = [f"{n:.1f}" for n in numbers]
        return _steps(numbers, 1, trace.max_loops), _ramp(ramp), shown, shown, legend
    palette = loop_colours(trace.max_loops, theme)
    shown = [str(n) for n in trace.loops[layer]]
    return trace.loops[layer] - 1, palette, shown, shown, [("text", f"loops in layer {layer}"), *_swatches(palette, 1)]


def _experts(trace: RoutingTrace, layer: int, theme: str):
    routed, ids, weights = trace.width_ran[layer], trace.expert_ids[layer], trace.expert_weights[layer]
    palette, k = expert_tints(theme), ids.shape[1]
    colours = len(palette) // len(TINTS)
    strength = np.array([tint_level(weight, k) for weight in weights[:, 0]])
    badges = [",".join(map(str, row)) if ran else "" for row, ran in zip(ids.tolist(), routed, strict=True)]
    values = [badge or "did not route" for badge in badges]
    full = [expert_colour(expert, theme) for expert in range(min(trace.num_experts, colours))]
    legend = [("text", f"first expert in layer {layer}"), *_swatches(full, 0), ("hatch", ""), ("text", "did not route")]
    return np.where(routed, ids[:, 0] % colours * len(TINTS) + strength, HATCHED), palette, badges, values, legend


def _at(values: np.ndarray, layer: int | None) -> np.ndarray:
    return values.mean(axis=0) if layer is None else values[layer]


def _steps(numbers: np.ndarray, low: float, high: float) -> np.ndarray:
    """Index of each number on a scale of _STEPS colours from low to high; EMPTY where it is undefined."""
    share = np.clip((numbers - low) / max(high - low, 1e-9), 0, 1)
    return np.where(np.isnan(share), EMPTY, np.nan_to_num(share) * (_STEPS - 1)).round().astype(int)


def _ramp(colours: list[str]) -> list[str]:
    return [colour_at(colours, i / (_STEPS - 1)) for i in range(_STEPS)]


def _swatches(palette: Sequence[str], start: int) -> list[tuple]:
    return [("swatch", (colour, str(number)), text_on(colour)) for number, colour in enumerate(palette, start)]


def _nats(value: float) -> str:
    return "undefined" if np.isnan(value) else f"{value:.1f} nats"
