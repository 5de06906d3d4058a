"""Geometry: agreement of the two paths, the experts' parts of loop 1, and how the recursion's steps grow and turn."""

from dataclasses import replace
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from analysis.explain.dealt import dealt_experts
from analysis.explain.geometry import (
    CLASSES,
    RULE,
    cosine_table,
    first_loop,
    first_loop_table,
    path_cosine,
    steps,
    steps_table,
)
from analysis.figures.cells import hover_card, numbers, strokes
from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.joint_map import Marginal, Minimap, heatmap, joint_map, layer_bars, scale_bar, token_bars
from analysis.figures.selection import band
from analysis.figures.template import (
    drawn_part,
    figure,
    names_fit,
    note,
    numbers_fit,
    sentence_figure,
    swatch,
    token_axis,
)
from analysis.palette import THEMES, expert_colour, loop_colours, mix, ramp, text_on
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import plotly_text, token_labels
from analysis.words.numbers import number
from hooks.path_trace import PathTrace

HEIGHT = 330


def path_agreement_figure(
    paths: PathTrace, view: View = DEFAULT_VIEW, *, of: Literal["writes", "outputs"] = "writes"
) -> go.Figure:
    """Cosine between the two paths of every captured token and layer, -1..1; a stroke where the width path idled."""
    c, trace = THEMES[view.theme], paths.routing
    view = replace(view, window=(paths.first_token, paths.end_token))
    cosine = np.full(trace.loops.shape, np.nan)
    cosine[paths.layers, paths.tokens] = path_cosine(paths, of)
    if not np.isfinite(cosine).any():
        return sentence_figure(view, "No token ran the width path here, so there are no two paths to compare.", HEIGHT)
    drawn = cosine[:, paths.tokens]
    colours = {"colorscale": ramp(c["change"]), "zmin": -1, "zmax": 1}
    layer, token = np.nonzero(~trace.width_ran[:, paths.tokens])
    kept = ~trace.special
    per_token, per_layer = _mean(cosine, 0), _mean(cosine[:, kept], 1)
    bars = {"marker": {"color": c["line"]}}
    axis = {"range": [-1, 1], "dtick": 1}
    return joint_map(
        trace,
        view,
        [
            heatmap(trace, view, drawn, hover_card(trace, view), **colours)
            | scale_bar(view, "cosine", tickvals=[-1, 0, 1]),
            strokes(token + paths.first_token, layer, view),
        ],
        Marginal(
            [token_bars(trace, view, per_token, "mean cosine %{y:.2f}", **bars)],
            axis,
            "mean cosine over the layers where the token routed",
        ),
        Marginal(
            [
                layer_bars(trace, per_layer, "mean cosine %{x:.2f}", **bars),
                _dealt_dots(paths, of, c["ink"]),
            ],
            axis,
            f"mean  {swatch(c['ink'], 'exchanged', '○')}",
        ),
        Minimap(per_token, colours),
    )


def _dealt_dots(paths: PathTrace, of: Literal["outputs", "writes"], colour: str) -> dict:
    """Mean cosine of every captured layer with experts dealt from other tokens, beside its bar."""
    means = [
        _mean(getattr(dealt_experts(paths, layer), f"cosine_of_{of}")[None], 1)[0] for layer in paths.layers.tolist()
    ]
    return {
        "type": "scatter", "mode": "markers", "x": means, "y": paths.layers, "name": "experts exchanged",
        "marker": {"symbol": "circle-open", "size": 7, "color": colour, "opacity": 1, "line": {"width": 1.5}},
        "customdata": [[None, layer] for layer in paths.layers.tolist()],
        "hovertemplate": "layer %{customdata[1]}<br>mean cosine %{x:.2f} with the experts of other tokens"
        "<extra></extra>",
    }  # fmt: skip


def first_loop_figure(paths: PathTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Loop 1's step of every captured token in the selected layer, split over all experts; tick = the chosen ones."""
    c, trace, found = THEMES[view.theme], paths.routing, first_loop(paths, view.layer)
    view = replace(view, window=(paths.first_token, paths.end_token))
    token = np.arange(paths.first_token, paths.end_token)
    ids, ran = trace.expert_ids[view.layer, paths.tokens], trace.width_ran[view.layer, paths.tokens]
    data = _expert_bars(paths, found.share, view)
    if numbers_fit(view, len(token)):
        data += _chosen_numbers(found.share, ids, ran, token, view)
    gap = np.full(len(token), np.nan)
    data.append(
        {
            "type": "scatter", "mode": "lines", "name": "coverage", "hoverinfo": "skip",
            "line": {"width": 2, "color": c["ink"]},
            "x": np.stack([token - 0.45, token + 0.45, gap], axis=1).ravel(),
            "y": np.stack([found.coverage, found.coverage, gap], axis=1).ravel(),
        }
    )  # fmt: skip
    x_axis, bottom = token_axis(trace, view)
    kept = np.isfinite(found.coverage) & ~trace.special[paths.tokens]
    middle = "no token routed"
    if kept.any():
        middle = (
            f"median length {number(np.median(found.coverage[kept]))}, cosine {number(np.median(found.cosine[kept]))}"
        )
    dealt = dealt_experts(paths, view.layer)
    if (known := np.isfinite(dealt.coverage)).any():
        middle += f" (exchanged: {number(np.median(dealt.coverage[known]))}, {number(np.median(dealt.cosine[known]))})"
    names = "  ".join(swatch(expert_colour(e, view.theme), str(e)) for e in range(min(trace.num_experts, 8)))
    part = drawn_part(paths.first_token, paths.end_token, trace.num_tokens)
    return figure(
        view,
        data,
        height=240 + 44 + bottom,
        margin={"t": 44, "b": bottom, "l": 56, "r": 12},
        barmode="relative",
        bargap=0,
        xaxis=x_axis,
        yaxis={"showgrid": True, "title": {"text": "share of loop 1's step"}}
        | {"zeroline": True, "zerolinecolor": c["line"], "zerolinewidth": 1},
        shapes=[band(view, x="token")],
        annotations=[
            note(f"expert {names}   strong: chosen   {swatch(c['ink'], 'length of the chosen ones together', '━')}")
            | {"yshift": 22},
            note(f"layer {view.layer}{part}: the chosen experts against the whole step: {middle}"),
        ],
    )


def _expert_bars(paths: PathTrace, share: np.ndarray, view: View) -> list[dict]:
    """Every expert's `share` [token, expert] of loop 1's step as bars, strong where the router chose it."""
    c, trace = THEMES[view.theme], paths.routing
    token = np.arange(paths.first_token, paths.end_token)
    labels = [plotly_text(label) for label in token_labels(trace, 40)][paths.tokens]
    ids, ran = trace.expert_ids[view.layer, paths.tokens], trace.width_ran[view.layer, paths.tokens]
    clicks = np.stack([token, np.full_like(token, view.layer)], axis=1)
    data = []
    for expert in range(trace.num_experts):
        chosen = (ids == expert).any(axis=1) & ran
        colour = expert_colour(expert, view.theme)
        faint = mix(c["bg"], colour, 0.3)
        data.append(
            {
                "type": "bar", "x": token, "y": share[:, expert], "name": f"expert {expert}",
                "width": 0.86 if names_fit(view, len(token)) else 1,
                "marker": {
                    "color": [colour if on else faint for on in chosen],
                    "line": {"width": 0},
                },
                "customdata": clicks, "hovertext": labels,
                "hovertemplate": f"<b>%{{hovertext}}</b>, token %{{customdata[0]}}<br>expert {expert}: "
                "%{y:.2f} of loop 1<extra></extra>",
            }
        )  # fmt: skip
    return data


def _chosen_numbers(share: np.ndarray, ids: np.ndarray, ran: np.ndarray, token: np.ndarray, view: View) -> list[dict]:
    """Numbers of the chosen experts on their pieces, where these are tall enough."""
    up, down = (np.cumsum(part, axis=1) for part in (np.maximum(share, 0), np.minimum(share, 0)))
    index, rank = np.nonzero(np.broadcast_to(ran[:, None], ids.shape))
    expert = ids[index, rank]
    size = share[index, expert]
    middle = np.where(size > 0, up[index, expert], down[index, expert]) - size / 2
    tall = np.abs(size) >= 0.06
    on = np.array([text_on(expert_colour(each, view.theme)) for each in expert.tolist()])
    return numbers(token[index][tall], middle[tall], expert[tall].astype(str), on[tall]) if tall.any() else []


def steps_figure(paths: PathTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Each captured token in the selected layer: its largest turn against how its steps shrink; shape = class."""
    c, trace, found = THEMES[view.theme], paths.routing, steps(paths, view.layer)
    if trace.max_loops < 3:
        return sentence_figure(view, "This model has fewer than three loops, so no step can turn.", HEIGHT)
    token = np.arange(paths.first_token, paths.end_token)
    shrink = (found.norm[:, -1] / np.maximum(found.norm[:, 0], 1e-30)) ** (1 / (trace.max_loops - 1))
    turn, loops = found.angle.max(axis=1), trace.loops[view.layer, paths.tokens]
    labels = np.array([plotly_text(label) for label in token_labels(trace, 40)], dtype=object)[paths.tokens]
    colours = loop_colours(trace.max_loops, view.theme)
    kinds, kept = np.array(found.kind), ~trace.special[paths.tokens]
    symbols = dict(zip(CLASSES, ("circle", "diamond", "triangle-up", "square"), strict=True))
    marks = dict(zip(CLASSES, "●◆▲■", strict=True))
    selected = token == view.token
    data = [
        {
            "type": "scatter", "mode": "markers", "x": shrink[of], "y": turn[of], "name": kind,
            "marker": {
                "symbol": symbols[kind], "opacity": 1, "size": np.where(selected[of], 13, 8),
                "color": [colours[n - 1] for n in loops[of]],
                "line": {"width": np.where(selected[of], 2.5, 0.8), 
                         "color": np.where(selected[of], c["ink"], c["depth"])},
            },
            "customdata": [[int(t), view.layer, int(n)] for t, n in zip(token[of], loops[of], strict=True)],
            "hovertext": labels[of],
            "hovertemplate": f"<b>%{{hovertext}}</b>, token %{{customdata[0]}}, {kind}<br>"
            "%{customdata[2]} loops ran<br>"
            "step ratio %{x:.2f}, largest turn %{y:.0f}°<extra></extra>",
        }
        for kind in CLASSES
        if (of := kinds == kind).any()
    ]  # fmt: skip
    counts = [f"{marks[kind]} {kind} {np.sum((kinds == kind) & kept)}" for kind in CLASSES]
    part = drawn_part(paths.first_token, paths.end_token, trace.num_tokens)
    return figure(
        view,
        data,
        height=HEIGHT,
        margin={"t": 30, "b": 44, "l": 56, "r": 12},
        xaxis={"showgrid": True, "title": {"text": "length of a step relative to the one before (geometric mean)"}},
        yaxis={"showgrid": True, "rangemode": "tozero", "title": {"text": "largest turn (degrees)"}},
        annotations=[note("   ".join(counts) + (part or " tokens"))],
    )


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean of the finite values; NaN where there are none."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    return np.divide(
        np.where(known, values, 0).sum(axis=axis), count, out=np.full(count.shape, np.nan), where=count > 0
    )


FIGURES = (
    FigureSpec(
        name="path_agreement",
        title="Do the two paths agree?",
        how_to_read=(
            "Each cell is one token in one layer: the cosine between what the width path and the depth path give, "
            "from −1 (opposite) to 1 (the same direction). “Writes” are what each path adds to the stream; “Outputs” "
            "also hold the stream that came in, which alone makes them alike. Experts are slices of the FFN that the "
            "loops run, so some agreement is expected: a circle is the mean if every token were given the experts of "
            "another token of the layer instead of its own."
        ),
        of_versatile="A stroke marks a token that did not route, because it took all loops and no expert ran.",
        of_intervened=(
            "A stroke marks a token that did not route, because λ was 0 or an intervention dropped its width path."
        ),
        figure=path_agreement_figure,
        table=cosine_table,
        choice=Choice("of", {"writes": "Writes", "outputs": "Outputs"}, "What is compared"),
        of=PathTrace,
        follows=(),
        by_token=True,
    ),
    FigureSpec(
        name="first_loop",
        title="How the experts make up loop 1",
        how_to_read=(
            "Each bar is one token. The experts are slices of the FFN that the loops run whole, so the first "
            "loop's step is exactly the sum of all their outputs; each piece is one expert's share of it, strong "
            "and numbered if the router chose it. The tick is how long the chosen ones are together, relative to "
            "the whole step: a ratio of lengths, not a share. “Exchanged” is the same if every token were given the "
            "experts of another one, as a baseline."
        ),
        figure=first_loop_figure,
        table=first_loop_table,
        of=PathTrace,
        follows=("layer",),
        by_token=True,
    ),
    FigureSpec(
        name="steps",
        title="Do the steps shrink?",
        how_to_read=(
            "Each mark is one token in the selected layer. Across is the length of its loops' steps, each "
            "relative to the one before: left of 1 they shrink, right of 1 they grow. Up is the largest turn "
            "between two steps: above 90° a step turns back. A few steps that shrink do not show that the "
            "recursion would settle."
        ),
        details="All loops count, whether they ran or not. " + RULE,
        figure=steps_figure,
        table=steps_table,
        of=PathTrace,
    ),
)
