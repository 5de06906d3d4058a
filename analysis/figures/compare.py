"""Compare: every map of layers x tokens as A, as B, and as B minus A at the tokens of A."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from analysis.aggregate import ordinary, share
from analysis.compare.pair import TracePair, Values, difference, on_a
from analysis.compare.tables import one_to_one, pair_table, replaced_experts
from analysis.figures.cells import hover_card, numbers, strokes
from analysis.figures.difficulty import FIGURES as DIFFICULTY_FIGURES
from analysis.figures.difficulty import difficulty_map_figure
from analysis.figures.experts import FIGURES as EXPERT_FIGURES
from analysis.figures.experts import expert_map_figure
from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.gate import FIGURES as GATE_FIGURES
from analysis.figures.gate import gate_map_figure
from analysis.figures.joint_map import Marginal, Minimap, heatmap, joint_map, layer_bars, scale_bar, token_bars
from analysis.figures.recursion import FIGURES as LOOP_FIGURES
from analysis.figures.recursion import loop_map_figure
from analysis.figures.template import numbers_fit, sentence_figure, swatch
from analysis.palette import THEMES, colour_at, mix, ramp, steps, text_on
from analysis.view import DEFAULT_VIEW, View, window_around
from analysis.words.labels import named, plotly_text, token_labels
from analysis.words.numbers import number
from hooks.trace import RoutingTrace

Show = Literal["difference", "a", "b"]
HEIGHT = 330
NOWHERE = -9
"""A token or layer outside of every axis: nothing is marked as selected."""
CHOOSE = "Choose A or B above."


@dataclass(frozen=True)
class Quantity:
    """What a map shows, and how a difference of it is written on a cell."""

    name: str
    values: Values
    figure: Callable[[RoutingTrace, View], go.Figure]
    """The map of one trace."""
    least: float
    """The scale of differences reaches at least this far."""
    digits: int
    """Decimals of a difference; with some, a cell has only its sign."""


LOOPS = Quantity("loops", lambda trace: trace.loops, loop_map_figure, 1, 0)
GATE = Quantity("width share λ", lambda trace: trace.gate, gate_map_figure, 0.25, 2)
DIFFICULTY = Quantity("soft difficulty", lambda trace: trace.difficulty_soft, difficulty_map_figure, 0.25, 2)


def compare_loops_figure(pair: TracePair, view: View = DEFAULT_VIEW, *, show: Show = "difference") -> go.Figure:
    """Loops of every token in every layer: B minus A, or one of the two."""
    return _map_of(pair, view, LOOPS, show)


def compare_gate_figure(pair: TracePair, view: View = DEFAULT_VIEW, *, show: Show = "difference") -> go.Figure:
    """Lambda of every token in every layer: B minus A, or one of the two."""
    return _map_of(pair, view, GATE, show)


def compare_difficulty_figure(pair: TracePair, view: View = DEFAULT_VIEW, *, show: Show = "difference") -> go.Figure:
    """Soft difficulty of every token in every layer: B minus A, or one of the two."""
    return _map_of(pair, view, DIFFICULTY, show)


def compare_experts_figure(pair: TracePair, view: View = DEFAULT_VIEW, *, show: Show = "difference") -> go.Figure:
    """How many experts of B a token did not have in A, in every layer, or the experts of one of the two."""
    if show != "difference":
        return _one_of(pair, view, expert_map_figure, show)
    if why_not := pair.why_no_experts:
        return sentence_figure(view, f"{why_not} {CHOOSE}", HEIGHT)
    return _experts_map(pair, replace(view, level="token"))


def _map_of(pair: TracePair, view: View, quantity: Quantity, show: Show) -> go.Figure:
    if show != "difference":
        return _one_of(pair, view, quantity.figure, show)
    if why_not := pair.why_no_layers:
        return sentence_figure(view, f"{why_not} {CHOOSE}", HEIGHT)
    values = difference(pair, quantity.values)
    if not np.isfinite(values).any():
        return sentence_figure(view, f"No token of A is aligned with a token of B. {CHOOSE}", HEIGHT)
    return _difference_map(pair, replace(view, level="token"), quantity, values)


def _one_of(pair: TracePair, view: View, drawn: Callable[[RoutingTrace, View], go.Figure], show: Show) -> go.Figure:
    """The map of A, or that of B with its own tokens, on which nothing can be clicked."""
    return drawn(pair.a, view) if show == "a" else unclickable(drawn(pair.b, view_of_b(pair, view)))


def view_of_b(pair: TracePair, view: View) -> View:
    """The view of A for a figure of B: the token aligned with the selected one is selected, or none."""
    token = pair.alignment.token_of_b(view.token)
    width = None if view.window is None else view.window[1] - view.window[0]
    window = window_around(token or 0, pair.b.num_tokens, width) if width else window_around(0, pair.b.num_tokens)
    return replace(
        view,
        token=NOWHERE if token is None else token,
        layer=view.layer if pair.layers_match else NOWHERE,
        window=window,
    )


def unclickable(fig: go.Figure) -> go.Figure:
    """The figure without what a click on it would select: its tokens are not those of the page."""
    meta = {name: value for name, value in (fig.layout.meta or {}).items() if name != "select"}
    return fig.update_layout(meta=meta)


def crosses(x: np.ndarray, y: np.ndarray, view: View, half: float = 0.25) -> dict:
    """A cross on every cell that is not aligned: one path, which stays a vector in exports."""
    both = np.concatenate([x, x]), np.concatenate([y, y])
    drawn = strokes(*both, view, half) | {"name": "not aligned"}
    falling = np.asarray(drawn["y"]).reshape(-1, 3)
    falling[len(x) :, :2] = falling[len(x) :, 1::-1].copy()
    return drawn | {"y": falling.ravel()}


def _difference_map(pair: TracePair, view: View, quantity: Quantity, values: np.ndarray) -> go.Figure:
    c, trace = THEMES[view.theme], pair.a
    first, end = view.span(trace.num_tokens)
    drawn = values[:, first:end]
    most = max(float(np.nanmax(np.abs(values))), quantity.least)
    colours = {"colorscale": ramp(c["change"]), "zmin": -most, "zmax": most}
    card = hover_card(trace, view)
    card["text"] = card["text"] + "<br>" + _told(pair, quantity, first, end)
    ends = [number(each, quantity.digits, signed=True) for each in (-most, 0, most)]
    scale = scale_bar(view, f"{quantity.name}, B − A", tickvals=[-most, 0, most], ticktext=ends, len=0.1)
    cells = [heatmap(trace, view, drawn, card, **colours) | scale]
    layer, token = np.nonzero(np.isnan(drawn))
    cells.append(crosses(token + first, layer, view))
    if numbers_fit(view, end - first):
        cells += _signs(view, drawn, first, most, quantity.digits)
    per_token, per_layer = _mean(values, 0), _mean(values[:, ordinary(trace)], 1)
    reach = max(float(np.nanmax(np.abs(per_token))), quantity.least / 5) * 1.1
    sides = {"range": [-reach, reach], "nticks": 3}
    reach_beside = max(float(np.nanmax(np.abs(np.nan_to_num(per_layer)))), quantity.least / 5) * 1.1
    return joint_map(
        trace,
        view,
        cells,
        Marginal(
            [
                token_bars(trace, view, part, "mean of B − A: %{y:+.2f}", marker=fill)
                for part, fill in _two(per_token, c)
            ],
            sides,
            _legend(pair, view),
        ),
        Marginal(
            [layer_bars(trace, part, "mean of B − A: %{x:+.2f}", marker=fill) for part, fill in _two(per_layer, c)],
            {"range": [-reach_beside, reach_beside], "nticks": 3},
            "mean B − A",
        ),
        Minimap(per_token, colours),
    )


def _signs(view: View, drawn: np.ndarray, first: int, most: float, digits: int) -> list[dict]:
    """The signed difference on every cell that has one above rounding; only the sign where it has decimals."""
    c = THEMES[view.theme]
    layer, token = np.nonzero(np.abs(np.nan_to_num(drawn)) >= (0.05 if digits else 0.5))
    found = drawn[layer, token]
    texts = [number(each, digits, signed=True) for each in found]
    texts = [text[0] for text in texts] if digits else texts
    on = [text_on(colour_at(c["change"], (each / most + 1) / 2)) for each in found]
    return numbers(token + first, layer, texts, np.array(on, dtype=object))


def _two(values: np.ndarray, c: dict) -> list[tuple[np.ndarray, dict]]:
    """Values above 0 in green and below in magenta; NaN in neither."""
    return [
        (np.maximum(values, 0), {"color": c["change"][-1]}),
        (np.minimum(values, 0), {"color": c["change"][0]}),
    ]


def _legend(pair: TracePair, view: View) -> str:
    c = THEMES[view.theme]
    signs = f"{swatch(c['change'][-1], 'more in B')}   {swatch(c['change'][0], 'less')}   × not aligned"
    return f"{signs}   bars: mean over layers   B: {plotly_text(pair.name_of_b)}"


def _told(pair: TracePair, quantity: Quantity, first: int, end: int) -> np.ndarray:
    """What A and B have in every drawn cell, in words [layer, drawn token]."""
    a, b = on_a(pair, quantity.values)
    partners, shape = _partners(pair)[first:end], (pair.a.num_layers, end - first)
    told = np.empty(shape, dtype=object)
    for column, partner in enumerate(partners):
        for layer in range(shape[0]):
            values = [number(float(side[layer, first + column]), 2) for side in (a, b)]
            told[layer, column] = (
                f"{quantity.name}: A {values[0]}, B {values[1]}, {partner}" if partner else "not aligned with B"
            )
    return told


def _partners(pair: TracePair) -> list[str]:
    """What stands in B at the place of every token of A, in words that are safe inside a figure; empty for nothing."""
    labels, at = token_labels(pair.b), pair.alignment
    found = []
    for token in range(pair.a.num_tokens):
        partner = at.token_of_b(token)
        group = at.group_a[token]
        if partner is None:
            found.append("")
        elif (pieces := int(at.sizes_b[group])) > 1 or at.sizes_a[group] > 1:
            found.append(f"means over {int(at.sizes_a[group])} and {pieces} pieces")
        else:
            found.append(f"in B {named(labels[partner])}, token {partner}")
    return found


def _experts_map(pair: TracePair, view: View) -> go.Figure:
    c, trace = THEMES[view.theme], pair.a
    first, end = view.span(trace.num_tokens)
    kind, k = _kinds(pair), pair.b.expert_ids.shape[2]
    drawn = kind[:, first:end]
    shades = [mix(c["bg"], c["width"], 0.3 + 0.55 * n / k) for n in range(1, k + 1)]
    colours = [c["grid"], *shades, mix(c["bg"], c["depth"], 0.25), mix(c["bg"], c["depth"], 0.55)]
    card = hover_card(trace, view)
    words = np.array(["same experts", *(f"{n} other in B" for n in range(1, k + 1)), "routed in A only", "in B only"])
    safe = np.where(np.isnan(drawn), 0, drawn).astype(int)
    told = np.where(np.isnan(drawn), "no two choices to compare", words[safe]).astype(object)
    card["text"] = card["text"] + "<br>" + told
    stepped = {"colorscale": steps(colours), "zmin": -0.5, "zmax": k + 2.5}
    cells = [heatmap(trace, view, drawn, card, **stepped)]
    paired = np.isin(np.arange(trace.num_tokens), one_to_one(pair)[0])[None, first:end]
    for mark, where in ((strokes, paired), (crosses, ~paired)):
        layer, token = np.nonzero(np.isnan(drawn) & where)
        cells.append(mark(token + first, layer, view))
    if numbers_fit(view, end - first):
        layer, token = np.nonzero(np.nan_to_num(drawn) > 0)
        signs = np.array(["", *map(str, range(1, k + 1)), "A", "B"])[safe[layer, token]]
        on = np.array([text_on(each) for each in colours], dtype=object)[safe[layer, token]]
        cells += numbers(token + first, layer, signs, on)
    both, other = np.isfinite(kind) & (kind <= k), (kind > 0) & (kind <= k)
    per_token = np.where(both.any(axis=0), other.sum(axis=0), np.nan)
    counted = ordinary(trace)
    per_layer = share(other[:, counted].sum(axis=1), both[:, counted].sum(axis=1))
    grey = {"marker": {"color": c["line"]}}
    legend = f"{swatch(shades[-1], 'different experts in B')}   / routed in neither   × not aligned   "
    return joint_map(
        trace,
        view,
        cells,
        Marginal(
            [token_bars(trace, view, per_token, "other experts in %{y} layers", **grey)],
            {"range": [0, trace.num_layers], "nticks": 3, "tickformat": "d"},
            f"{legend}bars: layers with other experts   B: {plotly_text(pair.name_of_b)}",
        ),
        Marginal(
            [layer_bars(trace, per_layer, "other experts in %{x:.1%}", **grey)],
            {"range": [0, 1], "dtick": 0.5, "tickformat": ".0%"},
            "of those routed in both",
        ),
        Minimap(per_token, {"colorscale": ramp(c["load"]), "zmin": 0, "zmax": trace.num_layers}),
    )


def _kinds(pair: TracePair) -> np.ndarray:
    """Of every cell of A: number of experts that only B ran; k + 1 where only A routed, k + 2 where only B; or NaN."""
    kind, k = replaced_experts(pair), pair.b.expert_ids.shape[2]
    tokens_a, tokens_b = one_to_one(pair)
    ran_a, ran_b = pair.a.width_ran[:, tokens_a], pair.b.width_ran[:, tokens_b]
    kind[:, tokens_a] = np.where(ran_a & ~ran_b, k + 1, np.where(ran_b & ~ran_a, k + 2, kind[:, tokens_a]))
    return kind


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean over the finite values of an axis; NaN where there are none."""
    return share(np.nansum(values, axis=axis), np.isfinite(values).sum(axis=axis))


SHOW, NAME = {"difference": "B − A", "a": "A", "b": "B"}, "A, B or B − A"
ON_CELLS = "A cross marks tokens of A that are aligned with none of B: they have no difference, which is not 0."
ALIGNED = (
    "“B” shows B with its own tokens. Two texts are aligned by their equal tokens, as many as possible. Where "
    "equally many other tokens stand between these in A and in B, they are paired in order; otherwise they are not "
    "aligned. If two tokenizers cut one text differently, it is aligned at the cuts that both make, and several "
    "tokens between two cuts count as their mean."
)


def _captions(quantity: str) -> dict[str, str]:
    """How to read the map of A, or of B: as the figure of one trace says it."""
    of_one = {each.name: each for each in (*LOOP_FIGURES, *GATE_FIGURES, *DIFFICULTY_FIGURES, *EXPERT_FIGURES)}
    drawn = of_one[f"{quantity.removesuffix('s')}_map"]
    told = f"{drawn.how_to_read} {drawn.of_intervened}".strip()
    return {side: told.replace("one token", f"one token of {SHOW[side]}", 1) for side in ("a", "b")}


def _spec(quantity: str, title: str, how_to_read: str, figure: Callable, **more: object) -> FigureSpec:
    main, told = quantity == "loops", {"details": ALIGNED, "by_token": "difference"}
    return FigureSpec(
        name=f"compare_{quantity}",
        title=title,
        how_to_read=f"{how_to_read} {ON_CELLS}",
        figure=figure,
        table=pair_table,
        choice=Choice("show", SHOW, NAME, captions=_captions(quantity), set_at=None if main else "compare_loops"),
        of=TracePair,
        **(told | more),
    )


FIGURES = (
    _spec(
        "loops",
        "Which tokens take a different number of loops?",
        "Each cell is one token of A in one layer. Green cells with a plus take more loops in B, magenta cells with "
        "a minus fewer; empty cells are the same. The bars above and beside are means.",
        compare_loops_figure,
    ),
    _spec(
        "gate",
        "Where does λ differ?",
        "Each cell is one token of A in one layer. Green cells with a plus have more weight on the width path in B, "
        "magenta cells with a minus less.",
        compare_gate_figure,
    ),
    _spec(
        "difficulty",
        "Where does the depth head expect a different number of loops?",
        "Each cell is one token of A in one layer: soft difficulty in B minus that in A. The number of loops changes "
        "only where this difference is large enough; smaller differences show here too.",
        compare_difficulty_figure,
    ),
    _spec(
        "experts",
        "Which tokens use different experts?",
        "Each cell is one token of A in one layer. A number counts the experts in B that the token did not have in "
        "A, and grey cells have the same experts in both. “A” and “B” mark cells that routed only there, a stroke "
        "those that routed in neither.",
        compare_experts_figure,
        details=f"Experts are compared only where one token of A is aligned with one token of B. {ALIGNED}",
        by_token=True,
    ),
)
