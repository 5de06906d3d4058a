"""Knock-outs of one text: width against depth path, numbers of experts, and pairs of experts."""

import numpy as np
import plotly.graph_objects as go

from analysis.explain.knock_out import IN_PATH, knock_out_table, mean_change, pair_table, top_k_table
from analysis.figures.cells import numbers
from analysis.figures.explain.knock_out import HEIGHT, MILLI, NOTHING_COUNTS, NUMBERED
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.template import figure, note, sentence_figure, swatch
from analysis.palette import THEMES, colour_at, mix, ramp, text_on
from analysis.view import DEFAULT_VIEW, View
from analysis.words.numbers import number
from hooks.knock_out_trace import MOST_K, PATHS, KnockOutTrace

PAIRS_PX = 344
NOT_YET = "Not measured yet: press Continue above."


def knock_out_paths_figure(found: KnockOutTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Change without each expert of the selected layer, in the width path, in the depth path, and in both."""
    if not found.counted.any():
        return sentence_figure(view, NOTHING_COUNTS, HEIGHT)
    c = THEMES[view.theme]
    colours = {"width": c["width"], "depth": c["depth"], "both": mix(c["bg"], c["ink"], 0.55)}
    change = MILLI * mean_change(found, found.change)[:, view.layer]
    control = MILLI * mean_change(found, found.control)[:, view.layer]
    if not np.isfinite(change).any():
        return sentence_figure(view, NOT_YET, HEIGHT)
    experts, data = np.arange(change.shape[1]), []
    for number_of, path in enumerate(PATHS):
        x = experts + 0.27 * (number_of - 1)
        name = IN_PATH[path]
        data.append(
            {
                "type": "bar", "x": x, "y": change[number_of], "width": 0.24, "name": name,
                "marker": {"color": colours[path]}, "customdata": experts,
                "hovertemplate": f"expert %{{customdata}}, {name}<br>%{{y:+.2f}} thousandths of a nat<extra></extra>",
            }
        )  # fmt: skip
        data.append(
            {
                "type": "scatter", "mode": "markers", "x": x, "y": control[number_of], "name": f"random, {name}",
                "marker": {"symbol": "line-ew", "size": 11, "opacity": 1, "line": {"width": 2, "color": c["ink"]}},
                "hovertemplate": f"random experts, {name}<br>%{{y:+.2f}} thousandths of a nat<extra></extra>",
            }
        )  # fmt: skip
    legend = "   ".join(swatch(colours[path], IN_PATH[path]) for path in PATHS)
    return figure(
        view,
        data,
        clickable=False,
        height=HEIGHT,
        margin={"t": 44, "b": 40, "l": 60, "r": 16},
        xaxis={"range": [-0.6, len(experts) - 0.4], "dtick": -(-len(experts) // NUMBERED), "title": {"text": "expert"}},
        yaxis={"showgrid": True, "zeroline": True, "zerolinecolor": c["line"], "title": {"text": "nats × 1000"}},
        annotations=[
            note(f"layer {view.layer}: change of the loss, dropped from") | {"yshift": 18},
            note(f"{legend}   {swatch(c['ink'], 'random experts', '–')}"),
        ],
    )


def knock_out_top_k_figure(found: KnockOutTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Change with the best k experts, for k from 1 on, in all layers and in the selected one."""
    if not found.counted.any():
        return sentence_figure(view, NOTHING_COUNTS, HEIGHT)
    c, change = THEMES[view.theme], MILLI * mean_change(found, found.top_k)
    if not np.isfinite(change).any():
        return sentence_figure(view, NOT_YET, HEIGHT)
    k, own = np.arange(1, change.shape[1] + 1), found.routing.own_k
    lines = [("all layers", change[-1], "circle", "●"), (f"layer {view.layer}", change[view.layer], "circle-open", "○")]
    data = [
        {
            "type": "scatter", "mode": "lines+markers", "name": name, "x": k, "y": values,
            "line": {"color": c["width"], "width": 2}, "marker": {"size": 9, "symbol": symbol, "opacity": 1},
            "hovertemplate": f"{name}, k = %{{x}}<br>%{{y:+.2f}} thousandths of a nat<extra></extra>",
        }
        for name, values, symbol, _ in lines
    ]  # fmt: skip
    chosen = {"type": "line", "yref": "y domain", "y0": 0, "y1": 1, "x0": own, "x1": own}
    legend = "   ".join(swatch(c["width"], name, sign) for name, _, _, sign in lines)
    return figure(
        view,
        data,
        clickable=False,
        height=HEIGHT,
        margin={"t": 30, "b": 44, "l": 60, "r": 16},
        xaxis={"range": [0.5, len(k) + 0.5], "dtick": 1, "title": {"text": "k, experts of every routed token"}},
        yaxis={"showgrid": True, "zeroline": True, "zerolinecolor": c["line"], "title": {"text": "nats × 1000"}},
        shapes=[chosen | {"line": {"width": 1, "dash": "dot", "color": c["ink"]}}],
        annotations=[note(f"change of the loss with the best k in {legend}; dotted: the model's own k")],
    )


def knock_out_pairs_figure(found: KnockOutTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """What two experts of the selected layer cost together beyond what each costs alone, in the width path."""
    if not found.counted.any():
        return sentence_figure(view, NOTHING_COUNTS, PAIRS_PX)
    c, n = THEMES[view.theme], found.routing.num_experts
    if not 1 < n <= MOST_K:
        return sentence_figure(
            view, f"Pairs are measured in layers of 2 to {MOST_K} experts; layer {view.layer} has {n}.", PAIRS_PX
        )
    pairs = pair_table(found).query(f"layer == {view.layer}")
    known = pairs[pairs["more"].notna()]
    if known.empty:
        return sentence_figure(view, NOT_YET, PAIRS_PX)
    z, cards = np.full((n, n), np.nan), np.full((n, n, 2), np.nan)
    first, second, more = known["first"].to_numpy(), known["second"].to_numpy(), MILLI * known["more"].to_numpy()
    for a, b in ((first, second), (second, first)):
        z[a, b], cards[a, b] = more, MILLI * known[["change", "alone"]].to_numpy()
    most = max(float(np.abs(more).max()), 1e-3)
    x, y = np.concatenate([first, second]), np.concatenate([second, first])
    values = np.tile(more, 2)
    on = np.array([text_on(colour_at(c["change"], (value / most + 1) / 2)) for value in values])
    data = [
        {
            "type": "heatmap", "x": np.arange(n), "y": np.arange(n), "z": z, "xgap": 1, "ygap": 1, "zmin": -most,
            "zmax": most, "colorscale": ramp(c["change"]), "showscale": False, "customdata": cards,
            "hovertemplate": "experts %{y} and %{x}<br>together %{customdata[0]:+.2f}, the sum of each alone "
            "%{customdata[1]:+.2f} thousandths of a nat<extra></extra>",
        },
        *numbers(x, y, [number(value, 1, signed=True) for value in values], on),
    ]  # fmt: skip
    return figure(
        view,
        data,
        clickable=False,
        height=PAIRS_PX,
        margin={"t": 44, "b": 40, "l": 52, "r": 16},
        xaxis={"range": [-0.5, n - 0.5], "dtick": 1, "title": {"text": "expert"}},
        yaxis={"range": [n - 0.5, -0.5], "dtick": 1, "title": {"text": "expert"}},
        annotations=[
            note(f"layer {view.layer}, width path: both dropped, minus each alone; nats × 1000") | {"yshift": 18},
            note(f"{swatch(c['change'][-1], 'cost more together')}   {swatch(c['change'][0], 'cost less together')}"),
        ],
    )


FIGURES = (
    FigureSpec(
        name="knock_out_paths",
        title="Width path against depth path",
        how_to_read=(
            "Each bar is how much the loss rises without one expert of the selected layer: dropped from the width "
            "path alone, from the loops alone, or from both. Both paths run the same weights, so only the third bar "
            "removes the expert altogether. Dashes show the same with as many experts drawn at random."
        ),
        details=(
            "A missing bar means that no token chose the expert. The depth path uses every slice for every token, "
            "and the width path uses a slice only for the tokens that chose it, so the bars of the width path are "
            "often shorter."
        ),
        figure=knock_out_paths_figure,
        table=knock_out_table,
        of=KnockOutTrace,
        follows=("layer",),
    ),
    FigureSpec(
        name="knock_out_top_k",
        title="Fewer or more experts",
        how_to_read=(
            "Each point forces the best k experts of every routed token, weighted by a softmax over these, and shows "
            "how the loss changes. At the model's own k nothing changes."
        ),
        details=(
            "The model was trained with its own k only, so any other number may cost something for that reason alone."
        ),
        figure=knock_out_top_k_figure,
        table=top_k_table,
        of=KnockOutTrace,
        follows=("layer",),
    ),
    FigureSpec(
        name="knock_out_pairs",
        title="Two experts at once",
        how_to_read=(
            "Each cell drops two experts of the selected layer from the width path: what they cost together, minus "
            "the sum of what each costs alone. Above 0, each makes up for the other when it is missing; below 0, "
            "dropping the second adds little to dropping the first."
        ),
        details="There is no random control for pairs, and this is one text, so small numbers are noise.",
        figure=knock_out_pairs_figure,
        table=pair_table,
        of=KnockOutTrace,
        follows=("layer",),
    ),
)
