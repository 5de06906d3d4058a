"""Experts: load in one layer and in all layers, and pairs of experts that are chosen together."""

import numpy as np
import plotly.graph_objects as go

from analysis.experts import FEWEST_EXPECTED, did_not_route, expert_load
from analysis.figures.cells import hatch, numbers, strokes
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.selection import mark
from analysis.figures.template import figure, height_of_rows, layer_axis, note, sentence_figure
from analysis.palette import THEMES, colour_at, expert_colour, mix, ramp, text_on
from analysis.texts.chance import all_pairs_against_chance, pairs_against_chance
from analysis.view import DEFAULT_VIEW, View
from analysis.words.numbers import number, percent, significant
from hooks.trace import RoutingTrace

HEIGHT, PAIRS_PX = 300, 344
MOST_LIFT = 3
"""log2 lift at which the colour is strongest: eight times as often as by chance, or an eighth of it."""


def expert_load_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Share of the selected layer's routed choices per expert: full = first, pale = later; a bar of did not route."""
    c = THEMES[view.theme]
    table = expert_load(trace).query(f"layer == {view.layer}")
    idle = did_not_route(trace).iloc[view.layer]
    left_out = f"{int(idle['did_not_route'])} of {int(idle['tokens'])}"
    if table["share"].isna().any():
        return sentence_figure(view, f"No token routed in layer {view.layer}.", HEIGHT)
    expert, uniform = table["expert"].to_numpy(), 1 / trace.num_experts
    full = [expert_colour(e, view.theme) for e in expert.tolist()]
    parts = [("first choice", "first", full)]
    if trace.expert_ids.shape[2] > 1:
        later = "second choice" if trace.expert_ids.shape[2] == 2 else "later choices"
        parts.append((later, "later", [mix(c["bg"], colour, 0.42) for colour in full]))
    data = [
        {
            "type": "bar", "x": expert, "y": table[f"{rank}_share"].to_numpy(), "name": name, "width": 0.8,
            "marker": {"color": colours}, "customdata": table[f"{rank}_choices"].to_numpy(),
            "hovertemplate": f"expert %{{x}}<br>{name}: %{{y:.1%}}, %{{customdata}} times<extra></extra>",
        }
        for name, rank, colours in parts
    ]  # fmt: skip
    data.append(
        {
            "type": "bar", "x": [0], "y": [idle["share"]], "xaxis": "x2", "yaxis": "y2", "name": "did not route",
            "width": 0.6, "marker": hatch(view), "text": [percent(idle["share"])], "textposition": "outside",
            "textfont": {"size": 12, "color": c["muted"]}, "cliponaxis": False,
            "hovertemplate": f"{left_out} tokens did not route<extra></extra>",
        }
    )  # fmt: skip
    most = max(3.0, np.ceil(table["share"].max() / uniform * 1.02)) * uniform
    dotted = {"type": "line", "xref": "x domain", "x0": 0, "x1": 1, "y0": uniform, "y1": uniform}
    dotted["line"] = {"width": 1, "dash": "dot", "color": c["ink"]}
    return figure(
        view,
        data,
        clickable=False,
        height=HEIGHT,
        barmode="stack",
        xaxis={
            "domain": [0, 0.86],
            "range": [-0.6, trace.num_experts - 0.4],
            "dtick": -(-trace.num_experts // 16),
            "title": {"text": "expert"},
        },
        yaxis={"range": [0, most], "tickformat": ".0%", "showgrid": True},
        xaxis2={"domain": [0.9, 1], "range": [-0.5, 0.5], "visible": False, "anchor": "y2"},
        yaxis2={"range": [0, 1], "visible": False, "anchor": "x2"},
        shapes=[dotted],
        annotations=[
            note(
                f"share of routed choices in layer {view.layer}: full\u00a0=\u00a0first, pale\u00a0=\u00a0"
                f"{_later_choices(trace)}, dotted\u00a0=\u00a0uniform"
            ),
            note("did not<br>route", x=0.95, y=0, anchor="center") | {"yanchor": "top", "yshift": -2},
        ],
    )


def expert_load_by_layer_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Share in per cent of every layer's routed choices per expert; beside it, tokens that did not route."""
    c = THEMES[view.theme]
    if not trace.width_ran[:, ~trace.special].any():
        return sentence_figure(view, "No token routed in any layer.", HEIGHT)
    share = expert_load(trace)["share"].to_numpy().reshape(trace.num_layers, trace.num_experts)
    idle = did_not_route(trace)
    fewest = int(trace.expert_ran.sum(axis=-1)[trace.width_ran].min())  # k, unless interventions left fewer
    most = 1 / fewest  # the largest possible share: chosen once by every token
    layer, expert = np.nonzero(np.isfinite(share))
    known = share[layer, expert]
    data = [
        {
            "type": "heatmap", "x": np.arange(trace.num_experts), "y": np.arange(trace.num_layers), "z": share,
            "xgap": 1, "ygap": 1, "colorscale": ramp(c["load"]), "zmin": 0, "zmax": most, "showscale": False,
            "customdata": [[[None, i]] * trace.num_experts for i in range(trace.num_layers)],
            "hovertemplate": "layer %{y}, expert %{x}<br>%{z:.1%} of routed choices<extra></extra>",
        },
        {
            "type": "bar", "orientation": "h", "x": idle["share"].to_numpy(), "y": np.arange(trace.num_layers),
            "xaxis": "x2", "marker": hatch(view), "width": 0.78, "name": "did not route",
            "text": [number(100 * value, 0) for value in idle["share"]], "textposition": "outside",
            "textfont": {"size": 12, "color": c["muted"]}, "cliponaxis": False,
            "customdata": [[None, i] for i in range(trace.num_layers)],
            "hovertemplate": "layer %{y}<br>did not route: %{x:.1%}<extra></extra>",
        },
    ]  # fmt: skip
    if trace.num_experts <= 16:
        on = np.array([text_on(colour_at(c["load"], value / most)) for value in known])
        data += numbers(expert, layer, [number(100 * value, 0) for value in known], on)
    empty = np.flatnonzero(np.isnan(share).any(axis=1))
    column, row = (grid.ravel() for grid in np.meshgrid(np.arange(trace.num_experts), empty))
    data.append(strokes(column, row, view))
    box = mark("rect", y="layer") | {"x0": -0.5, "x1": trace.num_experts - 0.5}
    box |= {"y0": view.layer - 0.5, "y1": view.layer + 0.5, "line": {"width": 2, "color": c["ink"]}}
    return figure(
        view,
        data,
        height=height_of_rows(trace.num_layers, HEIGHT),
        xaxis={
            "domain": [0, 0.82],
            "range": [-0.5, trace.num_experts - 0.5],
            "dtick": -(-trace.num_experts // 16),
            "title": {"text": "expert"},
        },
        yaxis=layer_axis(trace, view),
        xaxis2={"domain": [0.84, 0.96], "range": [0, 1], "visible": False},
        shapes=[box],
        annotations=[
            note(f"% of routed choices (uniform\u00a0=\u00a0{significant(100 / trace.num_experts)})"),
            note("did not route, %", x=1, anchor="right"),
        ],
    )


def expert_pairs_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Pairs of experts in the selected layer: log2 of how often they are chosen together, relative to chance."""
    c = THEMES[view.theme]
    n = trace.num_experts
    pairs = pairs_against_chance(trace, view.layer)
    known = pairs["lift_log2"].notna().to_numpy()
    if not known.any():
        why = f"chance alone would bring each pair together fewer than {FEWEST_EXPECTED} times."
        return sentence_figure(
            view, f"Too few tokens routed in layer {view.layer} to compare pairs:<br>{why}", PAIRS_PX
        )
    z, counts = np.full((n, n), np.nan), np.full((n, n, 2), np.nan)
    first, second = pairs["first"].to_numpy(), pairs["second"].to_numpy()
    for a, b in ((first, second), (second, first)):
        z[a, b] = pairs["lift_log2"]
        counts[a, b] = pairs[["together", "expected"]]
    data = [
        {
            "type": "heatmap", "x": np.arange(n), "y": np.arange(n), "z": z, "xgap": 1, "ygap": 1, "hoverongaps": True,
            "colorscale": ramp(c["change"]), "zmin": -MOST_LIFT, "zmax": MOST_LIFT, "showscale": False,
            "customdata": counts,
            "hovertemplate": "experts %{y} and %{x}<br>together %{customdata[0]:.0f} times, "
            "%{customdata[1]:.1f} expected<extra></extra>",
        },
    ]  # fmt: skip
    x, y = (np.concatenate(both) for both in ((first[known], second[known]), (second[known], first[known])))
    lift = np.tile(pairs["lift_log2"].to_numpy()[known], 2)
    marked = "<b>bold</b>: " if n <= 16 else ""
    if marked:
        on = np.array([text_on(colour_at(c["change"], (value + MOST_LIFT) / (2 * MOST_LIFT))) for value in lift])
        texts = [number(value, 1, signed=True) for value in lift]
        bold = np.tile(pairs["outside"].to_numpy()[known], 2)
        texts = [f"<b>{text}</b>" if out else text for text, out in zip(texts, bold, strict=True)]
        data += numbers(x, y, texts, on)
        x, y = np.concatenate([first[~known], second[~known]]), np.concatenate([second[~known], first[~known]])
        data += numbers(x, y, ["too few"] * len(x), np.full(len(x), c["muted"]))
    step = -(-n // 16)
    return figure(
        view,
        data,
        clickable=False,
        height=PAIRS_PX,
        margin={"t": 44, "b": 40, "l": 52, "r": 16},
        xaxis={"range": [-0.5, n - 0.5], "dtick": step, "title": {"text": "expert"}},
        yaxis={"range": [n - 0.5, -0.5], "dtick": step, "title": {"text": "expert"}},
        annotations=[
            note(f"layer {view.layer}: log<sub>2</sub> of together / expected") | {"yshift": 18},
            note(
                f"{marked}beyond chance's 95%, {int(pairs['outside'].sum())} of {int(known.sum())} pairs "
                f"(chance: up to {number(0.05 * known.sum(), 1)})"
            ),
        ],
    )


def _later_choices(trace: RoutingTrace) -> str:
    return "second" if trace.expert_ids.shape[2] == 2 else "later"


FIGURES = (
    FigureSpec(
        name="expert_load",
        title="Load in the selected layer",
        how_to_read=(
            "Each bar is one expert of the selected layer: its share of the layer's routed choices, first choices "
            "in full colour and later ones pale. The dotted line is an even share. Tokens that did not route "
            "have a bar of their own and count in no other."
        ),
        of_versatile="They took all loops, so λ was 0 and no expert ran.",
        of_intervened="Their λ was 0, or an intervention dropped their width path, so no expert ran.",
        figure=expert_load_figure,
        table=expert_load,
        follows=("layer",),
    ),
    FigureSpec(
        name="expert_load_by_layer",
        title="Load in every layer",
        how_to_read=(
            "Each cell is the share, in per cent, of a layer's routed choices that one expert got; a row sums to "
            "100, and a stronger colour is a larger share. The bars beside it show the share of tokens that did "
            "not route."
        ),
        of_versatile="These took all loops, so no expert ran.",
        of_intervened="Of these λ was 0, or an intervention dropped their width path, so no expert ran.",
        figure=expert_load_by_layer_figure,
        table=expert_load,
        follows=(),
    ),
    FigureSpec(
        name="expert_pairs",
        title="Which experts are chosen together",
        how_to_read=(
            "Each cell is a pair of experts of the selected layer. Above 0 (green) they are chosen for the same "
            "token more often than their loads alone predict, below 0 (magenta) less often. Bold numbers, where there "
            "is room for numbers, lie beyond the middle 95% of the values found when every token draws its experts by "
            "the loads alone."
        ),
        details=(
            "By chance, at most one pair in twenty lies beyond. Tokens that depend on their neighbours exceed it more "
            "often, so this is a hint and not a proof. Pairs that chance would bring together fewer than 5 times are "
            "left out."
        ),
        figure=expert_pairs_figure,
        table=all_pairs_against_chance,
        follows=("layer",),
    ),
)
