"""Cost: of all designs and accounts, by layer, and by token."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.aggregate import mean_over_tokens, ordinary
from analysis.explain.cost import ACCOUNTS, Account, cost, cost_by_layer, cost_ledger, cost_table, dense_flops
from analysis.figures.cells import hatch, hover_card
from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.fitting import figure_px, row_names
from analysis.figures.joint_map import Marginal, Minimap, heatmap, joint_map, layer_bars, scale_bar, token_bars
from analysis.figures.selection import band
from analysis.figures.template import figure, layer_axis, note, sentence_figure, swatch
from analysis.palette import THEMES, mix, ramp
from analysis.view import DEFAULT_VIEW, View
from analysis.words.numbers import number
from hooks.trace import RoutingTrace

HEIGHT = 330
NAMES_PX, NUMBERS_PX = 190, 115
"""Pixels left of the bars for names, and right of the longest bar for numbers."""
ACCOUNT_NAMES = {"nominal": "on paper", "released": "released code", "ours": "this project"}
ONLY_ADDED = "This text has only tokens that the tokenizer added."


def cost_ledger_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Mean cost per token and layer: baselines of the same sizes, and VersatileFFN by the three accounts."""
    if not ordinary(trace).any():
        return sentence_figure(view, ONLY_ADDED, HEIGHT)
    c = THEMES[view.theme]
    table = cost_ledger(trace)
    names = [
        design if not account else f"VersatileFFN, {ACCOUNT_NAMES[account]}"
        for design, account in zip(table["design"], table["account"], strict=True)
    ]
    written, names_px, height = row_names(names, view.room, NAMES_PX, HEIGHT)
    most, inner = max(table["total"].max(), 6), max(figure_px(view.room) - names_px - 24, 1.5 * NUMBERS_PX)
    dense_line = {"type": "line", "x0": 1, "x1": 1, "yref": "y domain", "y0": 0, "y1": 1}
    dense_line["line"] = {"width": 1.2, "dash": "dot", "color": c["ink"]}
    legend = [swatch(mix(c["bg"], c["depth"], 0.72), "loops"), swatch(mix(c["bg"], c["width"], 0.85), "experts")]
    legend += [swatch(c["line"], "loops run for tokens that had exited", "▨"), "┊ one dense FFN"]
    return figure(
        view,
        [*_cost_bars(table, names, view), _cost_totals(table, view)],
        clickable=False,
        height=height,
        barmode="overlay",
        margin={"t": 30, "b": 44, "l": names_px, "r": 24},
        xaxis={
            "range": [0, most / (1 - NUMBERS_PX / inner)],
            "tickvals": np.arange(0, most + 1, 1 if inner > 3 * NUMBERS_PX else 2),
            "showgrid": True,
            "title": {"text": "dense FFN passes per token and layer"},
        },
        yaxis={
            "range": [len(table) - 0.5, -0.5],
            "tickvals": np.arange(len(table)),
            "ticktext": written,
            "tickfont": {"size": 12, "color": c["ink"]},
        },
        shapes=[dense_line],
        annotations=[note("   ".join(legend), x=0)],
    )


def _cost_bars(table: pd.DataFrame, names: list[str], view: View) -> list[dict]:
    """Stacked bars of the ledger's rows, one trace per part of the cost."""
    c, place = THEMES[view.theme], np.arange(len(table))
    parts = {
        "depth": ("loops", {"color": mix(c["bg"], c["depth"], 0.72)}),
        "idle": ("loops run for tokens that had exited", hatch(view)),
        "experts": ("experts", {"color": mix(c["bg"], c["width"], 0.85)}),
    }
    data, ends = [], np.zeros(len(table))
    for part, (name, paint) in parts.items():
        passes = table[part].to_numpy()
        data.append(
            {
                "type": "bar", "orientation": "h", "name": name, "x": passes, "base": ends, "y": place,
                "marker": paint, "width": 0.66, "hovertext": names,
                "hovertemplate": f"%{{hovertext}}<br>{name}: %{{customdata:.2f}} passes<extra></extra>",
                "customdata": passes,
            }
        )  # fmt: skip
        ends = ends + passes
    return data


def _cost_totals(table: pd.DataFrame, view: View) -> dict:
    """Total passes and FLOPs of every row, written at the end of its bar."""
    total = table["total"].to_numpy()
    texts = [f"\u2002<b>{number(t)}</b>  {_flops(f)}" for t, f in zip(total, table["flops_per_token"], strict=True)]
    return {
        "type": "scatter", "mode": "text", "x": total, "y": np.arange(len(table)), "text": texts,
        "textposition": "middle right", "textfont": {"size": 12, "color": THEMES[view.theme]["ink"]},
        "hoverinfo": "skip", "cliponaxis": False,
    }  # fmt: skip


def cost_by_layer_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Mean cost of every layer by the three accounts."""
    if not ordinary(trace).any():
        return sentence_figure(view, ONLY_ADDED, HEIGHT)
    c = THEMES[view.theme]
    table = cost_by_layer(trace)
    marks = {
        "nominal": {"symbol": "circle", "size": 9, "color": c["depth"], "opacity": 1},
        "released": {"symbol": "square-open", "size": 10, "color": c["ink"], "opacity": 1, "line": {"width": 1.5}},
        "ours": {"symbol": "diamond-open", "size": 10, "color": c["ink"], "opacity": 1, "line": {"width": 1.5}},
    }
    data = []
    for account in ACCOUNTS:
        rows = table[table["account"] == account]
        data.append(
            {
                "type": "scatter", "mode": "lines+markers", "name": ACCOUNT_NAMES[account],
                "x": rows["layer"].to_numpy(), "y": rows["ffn_equivalents"].to_numpy(), "marker": marks[account],
                "line": {
                    "width": 1.4 if account == "nominal" else 1, "color": marks[account]["color"],
                    "dash": "solid" if account == "nominal" else "dot",
                },
                "customdata": [[None, layer] for layer in rows["layer"].tolist()],
                "hovertemplate": f"layer %{{x}}, {ACCOUNT_NAMES[account]}<br>%{{y:.2f}} passes<extra></extra>",
            }
        )  # fmt: skip
    legend = [swatch(c["depth"], "on paper", "●"), swatch(c["ink"], "released code", "□")]
    legend.append(swatch(c["ink"], "this project", "◇"))
    return figure(
        view,
        data,
        height=HEIGHT,
        xaxis=layer_axis(trace, view),
        yaxis={
            "range": [0.9, trace.max_loops + 0.4],
            "dtick": 1,
            "showgrid": True,
            "title": {"text": "dense FFN passes"},
        },
        shapes=[band(view, x="layer")],
        annotations=[note("   ".join(legend))],
    )


def cost_map_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW, *, account: Account = "nominal") -> go.Figure:
    """Cost of every token in every layer by one account, in dense FFN passes, with means."""
    c = THEMES[view.theme]
    first, end = view.span(trace.num_tokens)
    values = cost(trace, account)
    most = trace.max_loops + 0.25
    scale = {"colorscale": ramp(c["loops"]), "zmin": 1, "zmax": most}
    card = hover_card(trace, view)
    passes = [f"<br>{number(value)} passes, {ACCOUNT_NAMES[account]}" for value in values[:, first:end].ravel()]
    card["text"] = card["text"] + np.array(passes, dtype=object).reshape(card["text"].shape)
    bars = {"marker": {"color": mix(c["bg"], c["depth"], 0.72)}}
    axis = {
        "range": [0, most],
        "dtick": 1,
        "tickvals": list(range(0, trace.max_loops + 1, max(trace.max_loops // 4, 1))),
    }
    per_token, per_layer = values.mean(axis=0), mean_over_tokens(trace, values)
    return joint_map(
        trace,
        view,
        [
            heatmap(trace, view, values[:, first:end], card, **scale)
            | scale_bar(view, "dense FFN passes", tickvals=list(range(1, trace.max_loops + 1)))
        ],
        Marginal([token_bars(trace, view, per_token, "mean %{y:.2f} passes", **bars)], axis, "mean over layers"),
        Marginal([layer_bars(trace, per_layer, "mean %{x:.2f} passes", **bars)], axis, "mean over tokens"),
        Minimap(per_token, scale),
    )


def _flops(value: float) -> str:
    """Three digits and the unit that fits them."""
    for size, unit in ((1e9, "GFLOPs"), (1e6, "MFLOPs"), (1e3, "kFLOPs")):
        if value >= size:
            return f"{number(value / size, 3 - len(str(int(value / size))))} {unit}"
    return f"{number(value, 0)} FLOPs"


FIGURES = (
    FigureSpec(
        name="cost_ledger",
        title="What one token costs",
        how_to_read=(
            "Each bar is the mean cost of one token per layer, where one pass through a dense FFN of the same "
            "size is 1; the FLOPs are those of one token through the FFNs of all layers. “On paper” counts the "
            "loops that ran, plus the experts by their share of the FFN's hidden units. “Released code” is the "
            "authors': it loops all tokens of a batch, here this text, as often as the layer's deepest one. “This "
            "project” runs later loops only for the tokens that chose them, and its experts reuse the computation "
            "of the first loop."
        ),
        details="Baselines have the same sizes.",
        figure=cost_ledger_figure,
        table=cost_ledger,
        follows=(),
        needs=dense_flops,
    ),
    FigureSpec(
        name="cost_by_layer",
        title="Cost by layer",
        how_to_read=(
            "Each mark is the mean cost of a token in one layer, by one of the three accounts above. One deep "
            "token is enough to raise a whole layer of the released code."
        ),
        figure=cost_by_layer_figure,
        table=cost_by_layer,
        follows=(),
        needs=dense_flops,
    ),
    FigureSpec(
        name="cost_map",
        title="Where the cost arises",
        how_to_read=(
            "Each cell is one token in one layer, stronger where it costs more passes through a dense FFN by the "
            "account that you choose."
        ),
        figure=cost_map_figure,
        table=cost_table,
        choice=Choice(
            "account", {"nominal": "On paper", "released": "Released code", "ours": "This project"}, "By which account"
        ),
        follows=(),
        by_token=True,
    ),
)
