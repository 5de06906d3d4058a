"""Near misses: where a small change would flip a choice, and where another precision does."""

from typing import Literal

import numpy as np
import plotly.graph_objects as go

from analysis.aggregate import mean_over_tokens, ordinary, share
from analysis.explain.near_miss import (
    TwoPrecisions,
    expert_margin,
    flip_table,
    flipped_by,
    gate_gap,
    near_miss_table,
    precision_flips,
    smallest_flip,
    soft_gate,
)
from analysis.figures.cells import hover_card, numbers, strokes
from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.joint_map import Marginal, Minimap, heatmap, joint_map, layer_bars, scale_bar, token_bars
from analysis.figures.template import figure, note, numbers_fit, quoted, sentence_figure, swatch
from analysis.palette import THEMES, colour_at, mix, ramp, steps, text_on
from analysis.recursion import NEAR_MISS, depth_margin
from analysis.view import DEFAULT_VIEW, View
from analysis.words.numbers import number
from hooks.trace import RoutingTrace

Of = Literal["loops", "experts", "gate"]
FAR = 2.0
"""End of the scale of margins, in logits; larger margins are drawn at the end."""
MOST_GAP = 0.5
HEIGHT = 300
ONE_LOOP = "This model has only one loop, so there is no choice to make."


def near_miss_map_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW, *, of: Of = "loops") -> go.Figure:
    """Margin of every choice of loops, or of experts, with near misses numbered; or the gap of soft and hard gate."""
    if of == "gate":
        return _gate_gap_map(trace, view)
    c = THEMES[view.theme]
    first, end = view.span(trace.num_tokens)
    part = np.s_[:, first:end]
    margin = depth_margin(trace) if of == "loops" else expert_margin(trace)
    if np.isnan(margin).all():
        return sentence_figure(view, _nothing_to_choose(trace, of), HEIGHT)
    colours = (c["loops"] if of == "loops" else c["load"])[::-1]
    scale = {"colorscale": ramp(colours), "zmin": 0, "zmax": FAR}
    undefined = np.isnan(margin)
    near = margin < NEAR_MISS
    texts = np.where(undefined, "no choice was made", _logits(margin, smallest_flip(margin)))
    cells = [
        heatmap(trace, view, np.minimum(margin[part], FAR), _card(trace, view, texts[part]), **scale)
        | scale_bar(view, "margin (logits)", tickvals=[0, 1, 2], ticktext=["0", "1", "2+"])
    ]
    if of == "experts":
        layer, token = np.nonzero(~trace.width_ran[part])
        cells.append(strokes(token + first, layer, view))
    if numbers_fit(view, end - first):
        layer, token = np.nonzero(near[part])
        other = _runner_up(trace, of)[part][layer, token].astype(str)
        fills = [colour_at(colours, value / FAR) for value in margin[part][layer, token]]
        cells += numbers(token + first, layer, other, np.array([text_on(fill) for fill in fills], dtype=object))
    counted = ~undefined
    per_token = share(near.sum(axis=0), counted.sum(axis=0))
    ordinary_tokens = ordinary(trace)
    per_layer = share(near[:, ordinary_tokens].sum(axis=1), counted[:, ordinary_tokens].sum(axis=1))
    bars = {"marker": {"color": mix(c["bg"], c["depth" if of == "loops" else "width"], 0.72)}}
    axis = {"range": [0, 1], "dtick": 0.5, "tickformat": ".0%"}
    over = "layers" if of == "loops" else "the layers where it routed"
    return joint_map(
        trace,
        view,
        cells,
        Marginal(
            [token_bars(trace, view, per_token, "near misses %{y:.0%}", **bars)],
            axis,
            f"share of {over} with a near miss",
        ),
        Marginal([layer_bars(trace, per_layer, "near misses %{x:.0%}", **bars)], axis, "of tokens"),
        Minimap(per_token, {"colorscale": ramp(colours[::-1]), "zmin": 0, "zmax": 1}),
    )


def _gate_gap_map(trace: RoutingTrace, view: View) -> go.Figure:
    c = THEMES[view.theme]
    first, end = view.span(trace.num_tokens)
    gap, soft = gate_gap(trace), soft_gate(trace)
    colours = {"colorscale": ramp(c["gate"]), "zmin": -MOST_GAP, "zmax": MOST_GAP}
    texts = _pairs("soft λ ", soft, ", soft − hard ", gap, signed=True)
    per_token, per_layer = gap.mean(axis=0), mean_over_tokens(trace, gap)
    axis = {"range": [-MOST_GAP, MOST_GAP], "tickvals": [-MOST_GAP, 0, MOST_GAP]}
    blue, orange = ({"marker": {"color": mix(c["bg"], c[path], 0.72)}} for path in ("width", "depth"))

    def halves(bars, values):
        """Bars of the positive part in blue and of the negative part in orange."""
        return bars(np.where(values > 0, values, 0), blue), bars(np.where(values < 0, values, 0), orange)

    return joint_map(
        trace,
        view,
        [
            heatmap(trace, view, gap[:, first:end], _card(trace, view, texts[:, first:end]), **colours)
            | scale_bar(view, "soft λ − λ", tickvals=[-MOST_GAP, 0, MOST_GAP])
        ],
        Marginal(
            [*halves(lambda v, paint: token_bars(trace, view, v, "mean gap %{y:+.2f}", **paint), per_token)],
            axis,
            "mean gap over layers",
        ),
        Marginal(
            [*halves(lambda v, paint: layer_bars(trace, v, "mean gap %{x:+.2f}", **paint), per_layer)],
            axis,
            "mean over tokens",
        ),
        Minimap(per_token, colours),
    )


def flip_distance_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Share of each layer's tokens whose loops the worst change of a given size would flip; the selected layer bold."""
    if trace.max_loops == 1:
        return sentence_figure(view, ONE_LOOP, HEIGHT)
    if not ordinary(trace).any():
        return sentence_figure(view, "This text has only tokens that the tokenizer added.", HEIGHT)
    c = THEMES[view.theme]
    change = np.linspace(0, FAR, 101)
    flipped = 100 * flipped_by(trace, change)
    own = float(smallest_flip(depth_margin(trace)[view.layer, view.token]))
    order = [layer for layer in range(trace.num_layers) if layer != view.layer] + [view.layer]
    data = [
        {
            "type": "scatter", "mode": "lines", "x": change, "y": flipped[layer], "name": f"layer {layer}",
            "line": {
                "width": 2.5 if layer == view.layer else 1,
                "color": c["depth"] if layer == view.layer else c["line"],
                "shape": "hv",  # a token flips at once
            },
            "customdata": [[None, layer]] * len(change),
            "hovertemplate": f"layer {layer}<br>a change of %{{x:.2f}} logits could flip %{{y:.0f}}%<extra></extra>",
        }
        for layer in order
    ]  # fmt: skip
    here = {"type": "line", "yref": "y domain", "y0": 0, "y1": 1, "x0": own, "x1": own}
    here["line"] = {"width": 1.2, "dash": "dot", "color": c["ink"]}
    legend = f"{swatch(c['depth'], f'layer {view.layer}', '━')}   {swatch(c['line'], 'other layers', '━')}"
    own_change = f"{quoted(trace, view.token)}: {number(own)}" + ("" if own <= FAR else ", beyond the scale")
    return figure(
        view,
        data,
        height=HEIGHT,
        margin={"t": 30, "b": 44, "l": 52, "r": 20},
        xaxis={
            "range": [0, FAR],
            "dtick": 0.5,
            "showgrid": True,
            "title": {"text": "change of the depth logits (L2, logits)"},
        },
        yaxis={"range": [0, 101], "dtick": 25, "ticksuffix": "%", "showgrid": True},
        shapes=[here] if own <= FAR else None,
        annotations=[note(f"{legend}   ┊ {own_change}")],
    )


def precision_map_figure(traces: TwoPrecisions, view: View = DEFAULT_VIEW) -> go.Figure:
    """Where two traces of one text decide differently: other loops (numbered old→new) or other experts."""
    c, first, second = THEMES[view.theme], traces.routing, traces.rounded
    start, end = view.span(first.num_tokens)
    table = precision_flips(traces)
    shape = first.loops.shape
    loops = table["loops_differ"].to_numpy().reshape(shape)
    experts = table["experts_differ"].fillna(False).to_numpy(bool).reshape(shape) & ~loops
    kind = np.where(loops, 2, np.where(experts, 1, 0))
    colours = [c["grid"], mix(c["bg"], c["width"], 0.72), mix(c["bg"], c["depth"], 0.85)]
    texts = np.array(["same loops and experts", "other experts", "other loops"], dtype=object)[kind]
    for layer, token in zip(*np.nonzero(loops), strict=True):
        texts[layer, token] = f"loops {first.loops[layer, token]} → {second.loops[layer, token]}"
    part = np.s_[:, start:end]
    stepped = {"colorscale": steps(colours), "zmin": -0.5, "zmax": 2.5}
    cells = [heatmap(first, view, kind[part], _card(first, view, texts[part]), **stepped)]
    if numbers_fit(view, end - start):
        layer, token = np.nonzero(loops[part])
        on = np.full(len(layer), text_on(colours[2]))
        cells += numbers(token + start, layer, second.loops[part][layer, token].astype(str), on)
    either = loops | experts
    ordinary_tokens = ordinary(first)
    axis = {"range": [0, 1], "dtick": 0.5, "tickformat": ".0%"}
    bars = {"marker": {"color": c["line"]}}
    per_token = either.mean(axis=0)
    per_layer = mean_over_tokens(first, either) if ordinary_tokens.any() else np.full(first.num_layers, np.nan)
    legend = f"{swatch(colours[2], 'other loops, numbered')}   {swatch(colours[1], 'other experts')}"
    return joint_map(
        first,
        view,
        cells,
        Marginal([token_bars(first, view, per_token, "%{y:.0%} of layers", **bars)], axis, legend),
        Marginal([layer_bars(first, per_layer, "%{x:.1%} of tokens", **bars)], axis, "differ"),
        Minimap(per_token, {"colorscale": ramp(c["probability"]), "zmin": 0, "zmax": 1}),
    )


def _runner_up(trace: RoutingTrace, of: Of) -> np.ndarray:
    """The runner-up of every choice, int [layer, token]: a number of loops, or the best expert not chosen."""
    if of == "loops":
        return np.argsort(-trace.depth_logits, axis=-1, kind="stable")[..., 1] + 1
    k = trace.own_k
    return np.argsort(-trace.expert_logits, axis=-1, kind="stable")[..., k]


def _nothing_to_choose(trace: RoutingTrace, of: Of) -> str:
    if of == "loops":
        return ONE_LOOP
    if trace.width_ran.any():
        return "This model keeps every expert, so there is no choice to make."
    return "No token routed in any layer."


def _card(trace: RoutingTrace, view: View, lines: np.ndarray) -> dict:
    """The usual hover card with an additional line, `lines` [layer, drawn token]."""
    card = hover_card(trace, view)
    card["text"] = card["text"] + "<br>" + lines
    return card


def _logits(margin: np.ndarray, flip: np.ndarray) -> np.ndarray:
    return _pairs("margin ", margin, ", flips at ", flip)


def _pairs(
    first_name: str, first: np.ndarray, second_name: str, second: np.ndarray, *, signed: bool = False
) -> np.ndarray:
    """'name value name value' of every cell, an array of strings."""
    values = zip(first.ravel().tolist(), second.ravel().tolist(), strict=True)
    lines = [f"{first_name}{number(a)}{second_name}{number(b, signed=signed)}" for a, b in values]
    return np.array(lines, dtype=object).reshape(first.shape)


FIGURES = (
    FigureSpec(
        name="near_miss_map",
        title="How close was every choice?",
        how_to_read=(
            "Each cell is one token in one layer; a stronger colour means a closer choice, that is a smaller "
            "margin between the winner's logit and the runner-up's. A number, where there is room, marks a near miss, "
            "a margin below 0.25, and says what the choice almost became."
        ),
        of_versatile=(
            "“Soft gate” is the λ that the expected number of loops would give, minus the λ that ran: blue where the "
            "depth head expected more width than it chose, orange where more depth."
        ),
        details=(
            "The colours run from 0 to 2 logits and more. Both bounds are the same in every layer, though logits "
            "are spread more widely in some. For experts, the margin is between the last one kept and the first "
            "one left out, and only where the token routed."
        ),
        figure=near_miss_map_figure,
        table=near_miss_table,
        choice=Choice(
            "of",
            {"loops": "Loops", "experts": "Experts", "gate": "Soft gate"},
            "Which choice",
            needs={"loops": "depth", "experts": "width", "gate": "gate"},
        ),
        follows=(),
        by_token=True,
    ),
    FigureSpec(
        name="flip_distance",
        title="How large a change flips the loops?",
        how_to_read=(
            "Each line is one layer: the share of its tokens whose number of loops could flip if the depth head's "
            "logits changed by this much in the worst direction. Most changes of that size flip fewer. The dotted "
            "line is the smallest change that flips the choice of the selected token in the selected layer: its "
            "margin divided by √2."
        ),
        figure=flip_distance_figure,
        table=flip_table,
    ),
    FigureSpec(
        name="precision_map",
        title="Does bfloat16 route the same way?",
        how_to_read=(
            "Each coloured cell is a token that routes differently in this layer when the weights are rounded to "
            "bfloat16: it takes a different number of loops (shown) or different experts. The bars show the share of "
            "layers, and of tokens, that changed. In layer 0 rounding is the only reason; in higher layers a token "
            "may also change because a layer below did."
        ),
        figure=precision_map_figure,
        table=precision_flips,
        of=TwoPrecisions,
        follows=(),
        by_token=True,
    ),
)
