"""Experts: the map of choices in all layers, and the path of one token. See also `expert_tokens` and `expert_load`."""

from typing import Literal, get_args

import numpy as np
import plotly.graph_objects as go

from analysis.experts import all_expert_paths, did_not_route, expert_table, router_probs
from analysis.figures.cells import hatch, hover_card, numbers, strokes
from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.joint_map import Marginal, Minimap, heatmap, joint_map, layer_bars, token_bars
from analysis.figures.template import figure, layer_axis, note, numbers_fit, quoted, sentence_figure, swatch
from analysis.palette import THEMES, expert_colour, ramp, steps, text_on
from analysis.view import DEFAULT_VIEW, View
from hooks.trace import RoutingTrace

Which = Literal["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"]
RANKS: tuple[Which, ...] = get_args(Which)


def expert_map_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW, *, choice: Which = "first") -> go.Figure:
    """Chosen expert of every token in every layer; a stroke where the token did not route.

    The colour names the expert and has one strength, as in the token strip; cells that are wide enough have its number.
    """
    c = THEMES[view.theme]
    first, end = view.span(trace.num_tokens)
    rank, places = RANKS.index(choice), trace.expert_ids.shape[2]
    if rank >= places:
        chosen = "one expert" if places == 1 else f"{places} experts"
        return sentence_figure(view, f"This model chooses {chosen} per token, so there is no {choice} choice.", 330)
    ids, ran = trace.expert_ids[:, first:end, rank], trace.expert_ran[:, first:end, rank]
    numbered, colours = numbers_fit(view, end - first), c["experts"]
    colour = ids % len(colours)
    stepped = {"colorscale": steps(colours), "zmin": -0.5, "zmax": len(colours) - 0.5}
    cells = [heatmap(trace, view, np.where(ran, colour, np.nan), hover_card(trace, view), **stepped)]
    layer, token = np.nonzero(~ran)
    cells.append(strokes(token + first, layer, view))
    if numbered:
        layer, token = np.nonzero(ran)
        on = np.array([text_on(each) for each in colours])[colour[ran]]
        cells += numbers(token + first, layer, ids[ran].astype(str), on)
    per_token, per_layer = (~trace.width_ran).sum(axis=0), did_not_route(trace)["share"].to_numpy()
    most = {"range": [0, trace.num_layers], "nticks": 3, "tickformat": "d"}
    heading = "layers in which the token did not route"
    if not trace.width_ran.any():
        why = "" if trace.interventions or "depth" not in trace.parts else ": every token took all its loops"
        heading = f"No token routed in any layer{why}."
    fig = joint_map(
        trace,
        view,
        cells,
        Marginal(
            [token_bars(trace, view, per_token, "did not route in %{y} layers", marker=hatch(view))], most, heading
        ),
        Marginal(
            [layer_bars(trace, per_layer, "did not route: %{x:.1%}", marker=hatch(view))],
            {"range": [0, 1], "dtick": 0.5},
            "did not route",
        ),
        Minimap(per_token, {"colorscale": ramp(c["probability"]), "zmin": 0, "zmax": trace.num_layers}),
    )
    if not numbered:
        names = [swatch(expert_colour(e, view.theme), str(e)) for e in range(min(trace.num_experts, 8))]
        rows = ["  ".join(names[i : i + 4]) for i in range(0, len(names), 4)]
        again = "<br>colours come again<br>every 8 experts" if trace.num_experts > 8 else ""
        legend = note("expert<br>" + "<br>".join(rows) + again, x=1, y=1, anchor="right")
        fig.add_annotation(legend | {"yref": "paper", "yanchor": "top", "yshift": 6, "align": "left"})
    return fig


def expert_path_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Experts of the selected token by layer: filled = first, ring = second, size = weight, grey = probability."""
    token = view.token
    ran = trace.width_ran[:, token]
    row_px = float(np.clip(210 / trace.num_experts, 9 if trace.num_experts <= 32 else 4.5, 34))
    data = [*_router_heat(trace, view), *_choice_marks(trace, view, row_px)]
    idle = np.flatnonzero(~ran)
    column, level = (grid.ravel() for grid in np.meshgrid(idle, np.arange(trace.num_experts)))
    data.append(strokes(column, level, view, half=0.28))
    heads = [
        {"text": f"{trace.loops[i, token]} loops", "x": int(i), "y": 1, "yref": "paper", "yanchor": "bottom"}
        for i in idle
        if trace.num_layers <= 12 and "depth" in trace.parts
    ]
    later = "second" if trace.own_k <= 2 else "later choices"
    heading = (
        f"{quoted(trace, token)}   ● first   ○ {later}"
        if ran.any()
        else f"{quoted(trace, token)} did not route in any layer."
    )
    return figure(
        view,
        data,
        height=round(row_px * trace.num_experts) + 44 + 44,
        margin={"t": 44, "b": 44, "l": 52, "r": 16},
        xaxis=layer_axis(trace, view),
        yaxis={
            "range": [-0.5, trace.num_experts - 0.5],
            "dtick": -(-trace.num_experts // 16),
            "tick0": 0,
            "title": {"text": "expert"},
        },
        annotations=[note(heading) | {"yshift": 22}, *heads],
    )


def _router_heat(trace: RoutingTrace, view: View) -> list[dict]:
    """The router's probability of every expert in every layer, and the line through the first choices."""
    c, token, layers = THEMES[view.theme], view.token, np.arange(trace.num_layers)
    ran, first_choice = trace.width_ran[:, token], trace.expert_ids[:, token, 0]
    probs = router_probs(trace)[:, token].T  # [expert, layer]
    return [
        {
            "type": "heatmap", "x": layers, "y": np.arange(trace.num_experts), "z": np.where(ran, probs, np.nan),
            "xgap": 3, "ygap": 2, "colorscale": ramp(c["probability"][:4]), "zmin": 0, "zmax": 1, "showscale": False,
            "customdata": [[[token, i] for i in layers.tolist()]] * trace.num_experts, "hoverongaps": False,
            "hovertemplate": "layer %{x}, expert %{y}<br>router's probability %{z:.3f}<extra></extra>",
        },
        {
            "type": "scatter", "mode": "lines", "hoverinfo": "skip", "name": "first choice",
            "x": layers, "y": np.where(ran, first_choice, np.nan), "line": {"width": 1.3, "color": c["ink"]},
        },
    ]  # fmt: skip


def _choice_marks(trace: RoutingTrace, view: View, row_px: float) -> list[dict]:
    """Discs of the chosen experts, the first choice drawn last and filled; no wider than a row of `row_px` allows."""
    c, token, layers = THEMES[view.theme], view.token, np.arange(trace.num_layers)
    ids, weights = trace.expert_ids[:, token], trace.expert_weights[:, token]
    data = []
    for rank in reversed(range(ids.shape[1])):
        ran = trace.expert_ran[:, token, rank]
        colours = [expert_colour(e, view.theme) for e in ids[ran, rank].tolist()]
        fills = colours if rank == 0 else [c["bg"]] * len(colours)
        data.append(
            {
                "type": "scatter", "mode": "markers+text", "name": f"choice {rank + 1}",
                "x": layers[ran], "y": ids[ran, rank], "text": ids[ran, rank].astype(str),
                "textfont": {"size": 10, "color": [text_on(fill) for fill in fills]},
                "customdata": [
                    [token, i, w] for i, w in zip(layers[ran].tolist(), weights[ran, rank].tolist(), strict=True)
                ],
                "hovertemplate": "layer %{x}, expert %{y}<br>weight %{customdata[2]:.2f}<extra></extra>",
                "marker": {
                    "size": np.minimum(14 + 10 * weights[ran, rank], max(row_px * 1.05, 13)), "opacity": 1,
                    "color": fills, "line": {"width": 2, "color": colours},
                },
            }
        )  # fmt: skip
    return data


FIGURES = (
    FigureSpec(
        name="expert_map",
        title="Chosen expert of every token in every layer",
        how_to_read=(
            "Each cell is one token in one layer; its colour, and a number where there is room, names the chosen "
            "expert. Experts of different layers are unrelated: expert 3 of one layer has nothing to do with "
            "expert 3 of another. A stroke means that the token did not route."
        ),
        of_versatile="It took all loops, so λ was 0 and no expert ran.",
        of_intervened="Its λ was 0, or an intervention dropped its width path, so no expert ran.",
        figure=expert_map_figure,
        table=expert_table,
        choice=Choice("choice", {rank: f"{rank.capitalize()} choice" for rank in RANKS}, "Which choice", of_ranks=True),
        follows=(),
        by_token=True,
    ),
    FigureSpec(
        name="expert_path",
        title="Path of the token through the layers",
        how_to_read=(
            "A filled dot is the expert that the router chose first for the selected token in this layer, a ring "
            "another that it chose; a larger mark means more weight, as far as the rows leave room. Grey is the "
            "router's probability for every expert. The line breaks where the token did not route. Experts of "
            "different layers are unrelated."
        ),
        of_versatile="A token does not route where it takes all loops.",
        of_intervened="A token does not route where λ is 0 or an intervention drops its width path.",
        figure=expert_path_figure,
        table=all_expert_paths,
        follows=("token",),
    ),
)
