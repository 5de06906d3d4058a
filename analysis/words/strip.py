"""The token strip: a fill colour, a badge and a text for every token or word, for a chosen quantity."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Literal

import numpy as np

from analysis import parts
from analysis.difficulty import MAX_SURPRISAL
from analysis.palette import (
    THEMES,
    colour_at,
    gate_colour,
    loop_colours,
    text_on,
)
from analysis.view import Level
from analysis.words.labels import short_label, token_labels
from analysis.words.numbers import number
from analysis.words.words import piece_counts, word_displays, word_means, word_starts
from hooks.token_text import WHITE
from hooks.trace import RoutingTrace

Quantity = Literal["Difficulty", "Gate", "Loops", "Experts", "Surprisal"]
QUANTITIES: tuple[Quantity, ...] = ("Difficulty", "Gate", "Loops", "Experts", "Surprisal")
_STEPS = 64
HATCHED, EMPTY = -1, -2
GENERATED = "dotted: generated"
"""In the legend of a text that the model wrote in part."""
MOST_NAMED = 3
"""Of more experts a token's badge names the first and says how many follow."""
MOST_WRITTEN_OUT = 24
"""A run of more spaces is counted, as in ␣×40."""


@dataclass(frozen=True)
class Strip:
    """What the strip draws. Lists have one entry per cell, which is a token or, at word level, a word.

    `fill` is an index into `palette`, or HATCHED or EMPTY.
    """

    labels: list[str]
    starts: list[int]
    """First token of each cell."""
    tokens: int
    """Number of tokens of the text."""
    fill: list[int]
    palette: list[tuple[str, str]]
    """(fill, text colour with at least 4.5:1 on it)."""
    badges: list[str]
    """Small number after the token, so that colour is not the only cue."""
    badge_room: list[int]
    """Letters of the longest badge that the cell has in any layer: with room for it, no row moves with the layer."""
    indents: list[int]
    """Columns by which the row after a cell's line break is indented; 0 for a cell without a line break."""
    values: list[str]
    surprisal: list[str]
    quantity: str
    legend: list[tuple]
    readout: list[tuple[str, str]]
    breaks: list[bool]
    """Whether a cell contains a line break."""
    white: list[bool]
    colors: dict[str, str]
    long_readout: bool
    """Whether the read-out needs two lines, because a token chooses many experts."""
    first_generated: int
    """The first token that the model wrote; the number of tokens if it wrote none. It is marked, not only coloured."""
    window: int = 256
    signature: str = field(default="")

    def to_data(self) -> dict:
        """The data for the browser, with a signature of everything that does not depend on the selection."""
        data = {attribute.name: getattr(self, attribute.name) for attribute in fields(self)}
        fixed = {name: value for name, value in data.items() if name != "readout"}
        return data | {"signature": hashlib.sha256(json.dumps(fixed).encode()).hexdigest()[:16]}


def quantities(trace: RoutingTrace) -> tuple[Quantity, ...]:
    """What the tokens of a trace can be coloured by: what its model decides, and surprisal."""
    return tuple(each for each in QUANTITIES if each not in parts.QUANTITIES or parts.QUANTITIES[each] in trace.parts)


def strip(
    trace: RoutingTrace,
    quantity: Quantity,
    *,
    layer: int | None,
    token: int,
    at_layer: int,
    theme: str,
    level: Level = "token",
) -> Strip:
    """Colour tokens by `quantity` in `layer`, or by its mean over layers if None (experts: in the selected layer).

    At word level a cell is a word with the mean over its tokens, or their sum for surprisal, since log p adds up.
    Experts have no mean: those of all tokens are listed, and the word is filled if all first experts are the same.

    `token` and `at_layer` are the selection that the read-out describes. Special tokens and undefined values (the first
    token's surprisal) are empty; tokens that did not route are hatched, never coloured.
    """
    if quantity == "Experts" and layer is None:
        layer = at_layer  # experts of different layers are unrelated, so there is no mean over layers
    colors = THEMES[theme]
    starts = np.arange(trace.num_tokens) if level == "token" else word_starts(trace)
    fill, palette, badges, values, legend = _colouring(trace, quantity, layer, theme, starts)
    pieces = piece_counts(starts, trace.num_tokens)
    fill = np.where(trace.special[starts], EMPTY, fill)
    displays = trace.tokens if level == "token" else word_displays(trace)
    return Strip(
        labels=cell_labels(trace) if level == "token" else [_cell_label(display) for display in displays],
        starts=starts.tolist(),
        tokens=trace.num_tokens,
        fill=fill.tolist(),
        palette=[(colour, text_on(colour)) for colour in palette],
        badges=badges,
        badge_room=_badge_room(trace, quantity, layer, pieces),
        indents=[_indent(display) for display in displays],
        values=values,
        surprisal=_over_pieces(_summed(trace.surprisal, starts), _nats, "sum", starts, trace.num_tokens),
        quantity=quantity.lower() + ("" if layer is None else f" in layer {layer}:"),
        legend=legend + ([("text", GENERATED)] if trace.first_generated < trace.num_tokens else []),
        readout=readout(trace, token, at_layer),
        breaks=["↵" in display for display in displays],
        white=[not display.strip(WHITE) for display in displays],
        colors={"line": colors["line"], "muted": colors["muted"]},
        long_readout=trace.expert_ids.shape[2] > 3,
        first_generated=trace.first_generated,
    )


def cell_labels(trace: RoutingTrace) -> list[str]:
    """Whole token texts. Leading spaces are real spaces; only a token of nothing but white space shows its signs."""
    labels = token_labels(trace, longest=max(map(len, trace.tokens)))
    return [_spaced(token, label) for token, label in zip(trace.tokens, labels, strict=True)]


def readout(trace: RoutingTrace, token: int, layer: int) -> list[tuple[str, str]]:
    """(name, value) pairs that describe one token in one layer, with the same names on every page."""
    loops = int(trace.loops[layer, token])
    if trace.width_ran[layer, token]:
        ran = trace.expert_ran[layer, token]
        pairs = zip(trace.expert_ids[layer, token, ran], trace.expert_weights[layer, token, ran], strict=True)
        experts = " ".join(f"{expert} ({number(weight)})" for expert, weight in pairs)
    else:
        experts = "did not route"
    decided = [
        ("depth", "loops", "●" * loops + "○" * (trace.max_loops - loops) + f" {loops}"),
        ("gate", "width share", number(trace.gate[layer, token])),
        ("width", "experts", experts),
        ("depth", "difficulty", number(trace.difficulty_soft[layer, token])),
    ]
    return [
        ("text", token_labels(trace)[token]),
        ("token", str(token)),
        ("layer", str(layer)),
        *((name, value) for part, name, value in decided if part in trace.parts),
        ("surprisal", _nats(trace.surprisal[token])),
    ]


def _cell_label(display: str) -> str:
    """The text of a word, written like those of `cell_labels`."""
    return _spaced(display, short_label(display, longest=len(display)))


def _spaced(display: str, label: str) -> str:
    """The label of a display string with its leading spaces as wide as they are, so that indented code stays so."""
    spaces = len(display) - len(display.lstrip("␣"))
    if spaces == len(display):
        return display if spaces <= MOST_WRITTEN_OUT else label
    counted = short_label("␣" * (spaces - 1), longest=MOST_WRITTEN_OUT)
    return " " * spaces + label.removeprefix(counted)


def _indent(display: str) -> int:
    """Columns by which the line that begins in a cell is indented; a tab counts four."""
    _, line_break, rest = display.rpartition("↵")
    return sum(4 if sign == "⇥" else 1 for sign in rest) if line_break and not rest.strip("␣⇥") else 0


def _badge_room(trace: RoutingTrace, quantity: Quantity, layer: int | None, pieces: np.ndarray) -> list[int]:
    """Letters of the longest badge that each cell, of so many pieces, has in any layer."""
    if quantity == "Experts":
        k = trace.expert_ids.shape[2]
        digits = len(str(trace.num_experts - 1))
        letters = k * digits + k - 1 if k <= MOST_NAMED else digits + len(f" +{k - 1}")
        return (pieces * (letters + 1) - 1).tolist()
    if quantity != "Loops":
        return [0] * len(pieces)
    exact = layer is not None and len(pieces) == trace.num_tokens
    return [len(str(trace.max_loops)) if exact else len(number(trace.max_loops, 1))] * len(pieces)


def _colouring(trace: RoutingTrace, quantity: Quantity, layer: int | None, theme: str, starts: np.ndarray):
    """(fill index, palette, badges, values, legend) of a quantity, one entry per cell."""
    colors, tokens = THEMES[theme], trace.num_tokens
    where = "mean over layers" if layer is None else f"layer {layer}"
    none = [""] * len(starts)
    if quantity == "Difficulty":
        numbers, ramp = word_means(_at(trace.difficulty_soft, layer), starts), colors["difficulty"]
        legend = [("text", f"difficulty (soft, {where}) 0"), ("bar", ramp), ("text", "1")]
        return _steps(numbers, 0, 1), _ramp(ramp), none, _over_pieces(numbers, number, "mean", starts, tokens), legend
    if quantity == "Gate":
        ramp = [gate_colour(i / (_STEPS - 1), theme) for i in range(_STEPS)]
        numbers = word_means(_at(trace.gate, layer), starts)
        legend = [("text", f"{where}: depth 0"), ("bar", ramp[::9]), ("text", "1 width")]
        return _steps(numbers, 0, 1), ramp, none, _over_pieces(numbers, number, "mean", starts, tokens), legend
    if quantity == "Surprisal":
        numbers, ramp = _summed(trace.surprisal, starts), colors["probability"]
        of = "token" if len(starts) == tokens else "word"
        legend = [("text", f"surprisal of the {of} 0"), ("bar", ramp), ("text", f"{MAX_SURPRISAL} nats or more")]
        shown = _over_pieces(numbers, _nats, "sum", starts, tokens)
        return _steps(numbers, 0, MAX_SURPRISAL), _ramp(ramp), none, shown, legend
    if quantity == "Loops":
        return _loops(trace, layer, theme, starts)
    return _experts(trace, layer, theme, starts)


def _loops(trace: RoutingTrace, layer: int | None, theme: str, starts: np.ndarray):
    words = len(starts) < trace.num_tokens
    if layer is None or words:
        numbers, ramp = word_means(_at(trace.loops, layer), starts), THEMES[theme]["loops"]
        where = "mean over layers" if layer is None else f"layer {layer}, mean over pieces"
        legend = [("text", f"loops ({where}) 1"), ("bar", ramp), ("text", str(trace.max_loops))]
        shown = [number(n, 1) for n in numbers]
        values = _over_pieces(numbers, partial(number, digits=1), "mean", starts, trace.num_tokens)
        return _steps(numbers, 1, trace.max_loops), _ramp(ramp), shown, values, legend
    palette = loop_colours(trace.max_loops, theme)
    shown = [str(n) for n in trace.loops[layer]]
    return trace.loops[layer] - 1, palette, shown, shown, [("text", "loops"), *_swatches(palette, 1)]


def _experts(trace: RoutingTrace, layer: int, theme: str, starts: np.ndarray):
    routed, ids = trace.width_ran[layer], trace.expert_ids[layer]
    palette = THEMES[theme]["experts"]
    of_token = np.where(routed, ids[:, 0] % len(palette), HATCHED)
    rows = [row[ran].tolist() for row, ran in zip(ids, trace.expert_ran[layer], strict=True)]
    chosen = [",".join(map(str, row)) for row in rows]
    again = [("text", "… 8 colours, used again")] if trace.num_experts > len(palette) else []
    legend = [
        ("text", "first expert" if trace.expert_ids.shape[2] > 1 else "expert"),
        *_swatches(palette[: trace.num_experts], 0),
        *again,
        ("hatch", ""),
        ("text", "did not route"),
    ]
    if len(starts) == trace.num_tokens:
        named = [",".join(map(str, row)) if len(row) <= MOST_NAMED else f"{row[0]} +{len(row) - 1}" for row in rows]
        return of_token, palette, named, [experts or "did not route" for experts in chosen], legend
    fill, badges, values = [], [], []
    for first, end in zip(starts.tolist(), [*starts[1:].tolist(), trace.num_tokens], strict=True):
        pieces = chosen[first:end]
        same = len({row.split(",")[0] for row in pieces}) == 1
        fill.append(of_token[first] if same else EMPTY)
        badges.append(" ".join(piece or "–" for piece in pieces) if any(pieces) else "")
        values.append(", then ".join(piece or "did not route" for piece in pieces))
    return np.array(fill), palette, badges, values, legend


def _summed(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return np.add.reduceat(values, starts)


def _over_pieces(numbers: np.ndarray, shown: Callable, how: str, starts: np.ndarray, tokens: int) -> list[str]:
    """Formatted numbers, with the number of pieces where a cell has more than one."""
    if len(starts) == tokens:
        return [shown(number) for number in numbers.tolist()]
    counts = piece_counts(starts, tokens)
    return [
        shown(number) + (f" ({how} over {count} pieces)" if count > 1 else "")
        for number, count in zip(numbers, counts.tolist(), strict=True)
    ]


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
    return "undefined" if np.isnan(value) else f"{number(value, 1)} nats"
