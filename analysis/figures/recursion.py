"""Recursion: how many loops ran, how sure the depth head was, and how close the runner-up."""

import numpy as np
import plotly.graph_objects as go

from analysis.aggregate import mean_over_tokens, percentiles_over_tokens
from analysis.figures.cells import hover_card, numbers
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.joint_map import Marginal, Minimap, heatmap, joint_map, scale_bar, token_bars
from analysis.figures.level_bars import Level, level_bars_figure
from analysis.figures.template import (
    figure,
    height_of_rows,
    layer_axis,
    note,
    numbers_fit,
    sentence_figure,
    swatch,
)
from analysis.figures.word_columns import word_columns
from analysis.palette import THEMES, colour_at, faded, loop_colours, mix, ramp, steps, text_on
from analysis.recursion import NEAR_MISS, depth_margin, depth_table, loop_shares, loop_table, margin_table
from analysis.view import DEFAULT_VIEW, View
from analysis.words.numbers import number
from hooks.trace import RoutingTrace

HEIGHT = 300
NEAR = f"near miss, below\u00a0{NEAR_MISS:g}"


def loop_map_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Loops of every token in every layer as colours and numbers, with mean loops, and mean E[L] as rings."""
    c = THEMES[view.theme]
    first, end = view.span(trace.num_tokens)
    loops, colours = trace.loops[:, first:end], loop_colours(trace.max_loops, view.theme)
    stepped = {"colorscale": steps(list(colours)), "zmin": 0.5, "zmax": trace.max_loops + 0.5}
    smooth = {"colorscale": ramp(c["loops"]), "zmin": 1, "zmax": trace.max_loops}
    per_token = trace.loops.mean(axis=0)
    if words := word_columns(trace, view):  # means need a continuous colour scale
        loops, per_token, stepped = words.averaged(trace.loops)[:, first:end], words.averaged(per_token), smooth
    cells = [
        heatmap(trace, view, loops, hover_card(trace, view), **stepped)
        | scale_bar(view, "loops", tickvals=list(range(1, trace.max_loops + 1)))
    ]
    if numbers_fit(view, end - first) and words:
        fills = [colour_at(c["loops"], share) for share in np.linspace(0, 1, 33)]
        cells += words.numbers(loops, 1, trace.max_loops, fills)
    elif numbers_fit(view, end - first):
        layer, token = (axis.ravel() for axis in np.indices(loops.shape))
        on = np.array([text_on(colour) for colour in colours])[loops.ravel() - 1]
        cells += numbers(token + first, layer, loops.ravel().astype(str), on)
    axis = {"range": [1, max(trace.max_loops, 2)], "tickvals": list(range(1, trace.max_loops + 1))}
    bars = token_bars(trace, view, per_token, "mean loops %{y:.2f}", marker={"color": mix(c["bg"], c["depth"], 0.85)})
    return joint_map(
        trace,
        view,
        cells,
        Marginal([bars], axis, "mean loops over layers"),
        Marginal(
            [
                _layer_dots(mean_over_tokens(trace, trace.loops), "ran", c["depth"], "circle"),
                _layer_dots(mean_over_tokens(trace, trace.expected_loops), "expected", c["ink"], "circle-open"),
            ],
            axis | {"range": [0.85, trace.max_loops + 0.15]},
            f"{swatch(c['depth'], 'ran', '●')}  {swatch(c['ink'], 'expected', '○')}",
        ),
        Minimap(per_token, smooth),
        words,
        "loops %{z:.2f}",
    )


def loop_shares_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Share of tokens at 1..max_loops loops in every layer; the shares of a layer fill its bar."""
    c, colours = THEMES[view.theme], loop_colours(trace.max_loops, view.theme)
    outline = {"width": 0.7, "color": mix(c["bg"], c["depth"], 0.45)}
    legend = [swatch(mix(colour, c["depth"], 0.2), str(loops)) for loops, colour in enumerate(colours, start=1)]
    return level_bars_figure(
        trace,
        view,
        loop_shares(trace),
        [Level(f"loops {loops}", colour, outline) for loops, colour in enumerate(colours, start=1)],
        height=HEIGHT,
        legend="loops  " + "  ".join(legend),
        upright=True,
        fewest=5,
    )


def depth_choice_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Probabilities of the depth head for the selected token in every layer; outlined: what ran, ring: E[L]."""
    c = THEMES[view.theme]
    probs = trace.depth_probs[:, view.token].T  # [loop, layer]
    layer = np.arange(trace.num_layers)
    # Grey means probability; orange would mean loops, which are the y axis here.
    colours = [mix(c["bg"], c["line"], level) for level in (0, 0.75)]
    row, column = (axis.ravel() for axis in np.indices(probs.shape))
    worth = (probs.ravel() >= 0.005) & (trace.num_layers <= 20)
    percent = [number(100 * p, 0) for p in probs.ravel()[worth]]
    data = [
        {
            "type": "heatmap", "x": layer, "y": np.arange(1, trace.max_loops + 1), "z": probs, "xgap": 2, "ygap": 2,
            "colorscale": ramp(colours), "zmin": 0, "zmax": 1, "showscale": False,
            "customdata": [[[view.token, i] for i in layer.tolist()]] * trace.max_loops,
            "hovertemplate": "layer %{x}<br>%{y} loops: probability %{z:.3f}<extra></extra>",
        },
        *numbers(column[worth] - 0.34, row[worth] + 1.32, percent, np.full(worth.sum(), c["ink"])),
        {
            "type": "scatter", "mode": "markers", "x": layer + 0.12, "y": trace.expected_loops[:, view.token],
            "marker": {"size": 8, "color": c["bg"], "opacity": 1, "line": {"width": 1.5, "color": c["depth"]}},
            "customdata": [[view.token, i] for i in layer.tolist()],
            "hovertemplate": "layer %{customdata[1]}<br>expected loops %{y:.2f}<extra></extra>",
        },
    ]  # fmt: skip
    ran = [
        {"type": "rect", "x0": i - 0.47, "x1": i + 0.47, "y0": loops - 0.47, "y1": loops + 0.47}
        | {"line": {"width": 3 if i == view.layer else 1.6, "color": c["ink"]}}
        for i, loops in enumerate(trace.loops[:, view.token].tolist())
    ]
    return figure(
        view,
        data,
        height=HEIGHT,
        xaxis=layer_axis(trace, view),
        yaxis={"range": [0.45, trace.max_loops + 0.55], "dtick": 1, "tick0": 1, "title": {"text": "loops"}},
        shapes=ran,
        annotations=[note(f"probability in %   □ ran   {swatch(c['depth'], 'expected E[L]', '○')}")],
    )


def depth_logits_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Depth logits of the selected token in the selected layer, minus that of the runner-up; filled = ran."""
    if trace.max_loops == 1:
        return sentence_figure(view, "This model has only one loop, so there is no choice to make.", HEIGHT)
    c = THEMES[view.theme]
    logits = trace.depth_logits[view.layer, view.token].astype(float)
    ran = int(trace.loops[view.layer, view.token])
    colours = loop_colours(trace.max_loops, view.theme)
    order = np.argsort(-logits, kind="stable")
    winner, second = order[0] + 1, order[1] + 1
    ahead = logits - logits[second - 1]  # only differences mean something
    room = max(np.ptp(ahead), 0.1) * 0.16
    loops = np.arange(1, trace.max_loops + 1)
    labels = [number(value, signed=True) for value in ahead]
    data = [
        {
            "type": "bar", "x": loops, "y": ahead, "width": 0.62,
            "marker": {
                "color": [colours[ran - 1] if number == ran else c["bg"] for number in loops],
                "line": {"width": [2 if number == ran else 1.3 for number in loops],
                         "color": [c["ink"] if number == ran else c["depth"] for number in loops]},
            },
            "customdata": np.stack([logits, trace.depth_probs[view.layer, view.token]], axis=-1),
            "hovertemplate": "%{x} loops<br>logit %{customdata[0]:.3f}<br>probability %{customdata[1]:.3f}"
            "<extra></extra>",
        },
        {
            "type": "scatter", "mode": "text", "x": loops, "y": ahead - 0.2 * room * (ahead < 0),
            "textposition": ["bottom center" if value < 0 else "top center" for value in ahead],
            "text": [f"<b>{each}</b>" if n == ran else each for n, each in zip(loops, labels, strict=True)],
            "textfont": {"size": 12, "color": c["ink"]}, "hoverinfo": "skip",
        },
    ]  # fmt: skip
    heading = f"{winner} wins over {second} by {number(logits[winner - 1] - logits[second - 1])}"
    if ran != winner:
        heading += f", but {ran} ran"
    return figure(
        view,
        data,
        clickable=False,
        height=HEIGHT,
        xaxis={"tickvals": loops, "title": {"text": "loops"}, "range": [0.4, trace.max_loops + 0.6]},
        yaxis={
            "range": [ahead.min() - 1.4 * room, ahead.max() + 1.4 * room],
            "showgrid": True,
            "zeroline": True,
            "zerolinecolor": c["line"],
            "title": {"text": "logit minus the runner-up's"},
        },
        annotations=[note(heading) | {"font": {"size": 12, "color": c["ink"]}}],
    )


def depth_margin_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Margin of the depth choice in every layer: this token, and the 10-90% range of all; left band = near miss."""
    if trace.max_loops == 1:
        return sentence_figure(view, "This model has only one loop, so there is no choice to make.", HEIGHT)
    c = THEMES[view.theme]
    margin = depth_margin(trace)
    low, high = percentiles_over_tokens(trace, margin)
    layer = np.arange(trace.num_layers)
    gap = np.full(len(layer), np.nan)
    loops = trace.loops[:, view.token]
    colours = loop_colours(trace.max_loops, view.theme)
    chosen = layer == view.layer
    data = [
        {
            "type": "scatter", "mode": "lines", "hoverinfo": "skip", "name": "10 to 90% of tokens",
            "x": np.stack([low, high, gap], axis=1).ravel(), "y": np.stack([layer, layer, gap], axis=1).ravel(),
            "line": {"width": 6, "color": c["hair"]},
        },
        {
            "type": "scatter", "mode": "markers", "x": margin[:, view.token], "y": layer, "name": "this token",
            "cliponaxis": False, "customdata": [[view.token, i, n] for i, n in enumerate(loops.tolist())],
            "hovertemplate": "layer %{y}, %{customdata[2]} loops<br>margin %{x:.2f} logits<extra></extra>",
            "marker": {
                "size": np.where(chosen, 13, 9), "opacity": 1, "color": [colours[n - 1] for n in loops],
                "line": {"width": np.where(chosen, 2.5, 1), "color": c["ink"]},
            },
        },
    ]  # fmt: skip
    near = {"type": "rect", "layer": "below", "x0": 0, "x1": NEAR_MISS, "yref": "y domain", "y0": 0, "y1": 1}
    near |= {"line": {"width": 0}, "fillcolor": faded(c["ink"], 0.07)}
    most = float(np.nanmax([margin[:, view.token].max(), np.nanmax(np.append(high, 4 * NEAR_MISS))]))
    return figure(
        view,
        data,
        height=height_of_rows(trace.num_layers, HEIGHT),
        margin={"t": 30, "b": 40, "l": 52, "r": 20},
        xaxis={
            "range": [-0.04 * most, most * 1.05],
            "showgrid": True,
            "title": {"text": "winner minus runner-up (logits)"},
        },
        yaxis=layer_axis(trace, view),
        shapes=[near],
        annotations=[
            note(
                f"{swatch(c['loops'][2], 'this token, colour: loops', '●')}   "
                f"{swatch(c['line'], '10 to 90% of all tokens', '━')}   "
                f"{swatch(c['hair'], NEAR)}"
            )
        ],
    )


def _layer_dots(values: np.ndarray, name: str, colour: str, symbol: str) -> dict:
    return {
        "type": "scatter", "mode": "lines+markers" if name == "ran" else "markers", "name": name,
        "x": values, "y": np.arange(len(values)), "line": {"width": 1.3, "color": colour},
        "marker": {"size": 8, "symbol": symbol, "color": colour, "opacity": 1, "line": {"width": 1.4}},
        "customdata": [[None, layer] for layer in range(len(values))],
        "hovertemplate": f"layer %{{y}}<br>mean loops {name} %{{x:.2f}}<extra></extra>",
    }  # fmt: skip


FIGURES = (
    FigureSpec(
        name="loop_map",
        title="Loops of every token in every layer",
        how_to_read=(
            "Each cell is one token in one layer; its colour, and a number in short texts, says how many loops "
            "ran. More loops mean a stronger colour. At the right stand the means of every layer: what ran (filled) "
            "and what the depth head expected (hollow)."
        ),
        of_versatile=(
            "A loop is one pass of the token through the layer's FFN. More loops mean a smaller weight λ of the "
            "experts; where all loops ran λ is 0, so no expert ran."
        ),
        figure=loop_map_figure,
        table=loop_table,
        follows=(),
    ),
    FigureSpec(
        name="loop_shares",
        title="How often each number of loops ran",
        how_to_read=(
            "Each bar is one layer, split by the number of loops that ran; a number is the share of the layer's "
            "tokens in per cent."
        ),
        figure=loop_shares_figure,
        table=loop_shares,
        follows=(),
    ),
    FigureSpec(
        name="depth_choice",
        title="The depth head's probabilities",
        how_to_read=(
            "Each cell is the probability, in per cent, that the depth head gave to a number of loops for the "
            "selected token in one layer. The outlined number is the one that ran. The ring is E[L], the expected "
            "number of loops under these probabilities."
        ),
        figure=depth_choice_figure,
        table=depth_table,
    ),
    FigureSpec(
        name="depth_logits",
        title="The choice in the selected layer",
        how_to_read=(
            "Each bar is a number of loops: how far its logit for the selected token lies above or below the "
            "runner-up's. The filled bar is the number that ran."
        ),
        figure=depth_logits_figure,
        table=depth_table,
    ),
    FigureSpec(
        name="depth_margin",
        title="How close was the choice?",
        how_to_read=(
            "Each dot is the selected token in one layer: how far the depth head's logit for the winning number "
            "of loops is ahead of the runner-up's. The bar behind it spans the middle 80% of all tokens. In the "
            "shaded band, below 0.25, a small change would flip the choice (a near miss); the band is the same in "
            "every layer."
        ),
        details=(
            "The logits of some layers are spread more widely (`logit_sd` in the data), so a layer with more near "
            "misses need not be less sure of its order."
        ),
        figure=depth_margin_figure,
        table=margin_table,
    ),
)
