"""Experts: which tokens each expert of the selected layer serves, with one row per expert."""

import numpy as np
import plotly.graph_objects as go

from analysis.experts import choice_counts, routed, served_tokens
from analysis.figures.cells import hatch, strokes
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.joint_map import BESIDE, Minimap, minimap_row
from analysis.figures.selection import mark
from analysis.figures.template import LEFT, MAP, drawn_part, figure, names_fit, note, swatch, token_axis
from analysis.palette import THEMES, mix, ramp
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import plotly_text, token_labels
from hooks.trace import RoutingTrace

IDLE = -1.4
"""Place of the row of tokens that did not route, a little below expert 0."""
MOST_ROWS = 32
"""Of more experts only those with the most choices have a row."""


def drawn_experts(trace: RoutingTrace, view: View) -> np.ndarray:
    """The experts that have a row, ascending: all, or those with the most choices in the selected layer."""
    experts = np.arange(trace.num_experts)
    if trace.num_experts <= MOST_ROWS:
        return experts
    load = choice_counts(trace)[view.layer].sum(axis=0)
    return np.sort(np.argsort(-load, kind="stable")[:MOST_ROWS])


def expert_tokens_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """One row per expert of the selected layer: the tokens that chose it, stronger with the weight; beside it, counts.

    The place of a cell names the expert, so that it can be read without colours and numbers, in a text of any length.
    Of more than MOST_ROWS experts those with the most choices are drawn. The lowest row has the tokens that did not
    route.
    """
    c = THEMES[view.theme]
    first, end = view.span(trace.num_tokens)
    experts = drawn_experts(trace, view)
    rows = len(experts)
    row_px = float(np.clip(250 / (rows + 1), 12 if rows < trace.num_experts else 8, 24))
    x_axis, bottom = token_axis(trace, view)
    shades = [mix(c["bg"], c["width"], 0.25), c["width"], c["load"][-1]]
    idle = ~trace.width_ran[view.layer]
    colours = Minimap(idle.astype(float), {"colorscale": ramp(c["probability"]), "zmin": 0, "zmax": 1})
    row = minimap_row(trace, view, colours, row_px * (rows + 1.4))
    token = np.arange(first, end)[idle[first:end]]
    idle_strokes = strokes(token, np.full(len(token), IDLE), view)
    every = 1 if rows < trace.num_experts else -(-rows // 16)
    column = mark("rect", x="token") | {"x0": view.token - 0.5, "x1": view.token + 0.5, "y0": IDLE - 0.5}
    column |= {"y1": rows - 0.5, "line": {"width": 1.5, "color": c["ink"]}}
    legend = "   ".join(map(swatch, shades, ("weight 0", "0.5", "1")))
    part = drawn_part(first, end, trace.num_tokens)
    if rows < trace.num_experts:
        part = f", the {rows} of {trace.num_experts} experts with the most choices{part}"
    return figure(
        view,
        [_served(trace, view, shades, experts), idle_strokes, *_counts(trace, view, experts), *row.data],
        meta=MAP,
        height=round(row.inner) + 28 + bottom,
        margin={"t": 28, "b": bottom, "l": 64, "r": 12},
        barmode="stack",
        xaxis=x_axis | {"domain": [0, LEFT], "anchor": "y"},
        yaxis={
            "domain": [0, row.top],
            "range": [IDLE - 0.6, rows - 0.4],
            "tickvals": [IDLE, *range(0, rows, every)],
            "ticktext": ["none", *map(str, experts[::every].tolist())],
            "title": {"text": "expert"},
            "showgrid": True,
        },
        xaxis2={
            "domain": [BESIDE, 1],
            "range": [0, 1.05 * max(1, choice_counts(trace)[view.layer].sum(axis=0).max(), idle[~trace.special].sum())],
            "anchor": "y",
            "showgrid": True,
            "nticks": 4,
        },
        shapes=[*([column] if first <= view.token < end else []), *row.shapes],
        annotations=[
            note(f"layer {view.layer}{part}: {legend}   {swatch(c['line'], 'did not route', '╱')}", y=row.top),
            note("tokens served", x=1, y=row.top, anchor="right"),
            *row.annotations,
        ],
        **row.axes,
    )


def _served(trace: RoutingTrace, view: View, shades: list[str], experts: np.ndarray) -> dict:
    """The weights of the chosen experts as cells [expert, drawn token]; the others stay empty."""
    first, end = view.span(trace.num_tokens)
    weight = np.full((trace.num_experts, end - first), np.nan)
    ran = trace.expert_ran[view.layer, first:end]
    chosen = trace.expert_ids[view.layer, first:end][ran]
    weight[chosen, np.nonzero(ran)[0]] = trace.expert_weights[view.layer, first:end][ran]
    names = [plotly_text(label) for label in token_labels(trace, 40)[first:end]]
    return {
        "type": "heatmap", "x": np.arange(first, end), "y": np.arange(len(experts)), "z": weight[experts],
        "xgap": 1 if names_fit(view, end - first) else 0, "ygap": 1, "showscale": False, "hoverongaps": False,
        "colorscale": ramp(shades), "zmin": 0, "zmax": 1,
        "customdata": [[[token, view.layer, each] for token in range(first, end)] for each in experts.tolist()],
        "hovertext": [names] * len(experts),
        "hovertemplate": "<b>%{hovertext}</b>, token %{customdata[0]}<br>expert %{customdata[2]}: weight %{z:.2f}"
        "<extra></extra>",
    }  # fmt: skip


def _counts(trace: RoutingTrace, view: View, experts: np.ndarray) -> list[dict]:
    """Bars beside the rows: ordinary tokens of the whole text that each expert serves, and those that did not route."""
    c, counts = THEMES[view.theme], choice_counts(trace)[view.layer]  # [k, expert]
    idle = int((~trace.width_ran[view.layer] & ~trace.special).sum())
    data = [
        {
            "type": "bar", "orientation": "h", "xaxis": "x2", "y": np.arange(len(experts)), "x": values[experts],
            "width": 0.78, "name": name, "marker": {"color": colour},
            "customdata": [[None, view.layer, each] for each in experts.tolist()],
            "hovertemplate": f"expert %{{customdata[2]}}: {name} of %{{x}} tokens<extra></extra>",
        }
        for values, name, colour in (
            (counts[0], "first choice", c["width"]),
            (counts[1:].sum(axis=0), "later choice", mix(c["bg"], c["width"], 0.45)),
        )
    ]  # fmt: skip
    data.append(
        {
            "type": "bar", "orientation": "h", "xaxis": "x2", "y": [IDLE], "x": [idle], "width": 0.78,
            "name": "did not route", "marker": hatch(view), "customdata": [[None, view.layer]],
            "hovertemplate": f"%{{x}} of {idle + int(routed(trace)[view.layer].sum())} tokens did not route"
            "<extra></extra>",
        }
    )  # fmt: skip
    return data


FIGURES = (
    FigureSpec(
        name="expert_tokens",
        title="Which tokens does each expert serve?",
        how_to_read=(
            "Each row is one expert of the selected layer, and each cell a token that it served, stronger with the "
            "expert's weight. The bars count the tokens of the whole text that it served, in full colour as their "
            "first choice and pale as a later one. The lowest row holds the tokens that did not route."
        ),
        of_versatile=(
            "An expert is a slice of the FFN. Tokens that did not route took all loops, so λ was 0 and no expert ran."
        ),
        of_intervened=(
            "An expert is a slice of the FFN. Of tokens that did not route λ was 0, or an intervention dropped their "
            "width path, so no expert ran."
        ),
        figure=expert_tokens_figure,
        table=served_tokens,
        follows=("layer",),
        by_token=True,
    ),
)
