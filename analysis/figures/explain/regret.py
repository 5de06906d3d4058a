"""Forced depth: what another number of loops would have gained, cell by cell, and beside other gates."""

from typing import Literal

import numpy as np
import plotly.graph_objects as go

from analysis.explain.regret import (
    TIE,
    Cells,
    best_by_chosen,
    best_loops,
    cells_of,
    effects_table,
    gates_compared,
    regret,
    regret_of_random,
)
from analysis.figures.cells import hover_card, numbers
from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.joint_map import Marginal, Minimap, heatmap, joint_map, layer_bars, scale_bar, token_bars
from analysis.figures.template import figure, note, numbers_fit, sentence_figure, swatch
from analysis.palette import THEMES, colour_at, mix, ramp, text_on
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import how_many
from analysis.words.numbers import number, percent
from hooks.depth_effects import DepthEffects

Of = Literal["own", "later", "own_held", "later_held"]
OF = {
    "own": "Next prediction",
    "later": "Later ones too",
    "own_held": "Next, λ held",
    "later_held": "Later, λ held",
}
HEIGHT = 320
NOTHING_RAN = "None of the text's own tokens was run."
SCALE_QUANTILE = 0.98
"""Of the regret: where the colours end, so that a few large values do not make all others pale."""


def chosen_cells(effects: DepthEffects, of: Of) -> Cells:
    """The cells by the objective and the way of lambda that a figure's option names."""
    objective, _, held = of.partition("_")
    return cells_of(effects, objective, "held" if held else "follows")


def regret_map_figure(effects: DepthEffects, view: View = DEFAULT_VIEW, *, of: Of = "own") -> go.Figure:
    """Regret of every cell, numbered with the best loops where they are others; blank where not run."""
    trace, cells = effects.routing, chosen_cells(effects, of)
    c = THEMES[view.theme]
    first, end = view.span(trace.num_tokens)
    part = np.s_[:, first:end]
    lost, best = regret(cells), best_loops(cells)
    if not cells.counted.any():
        return sentence_figure(view, NOTHING_RAN, HEIGHT)
    top = _rounded_up(max(float(np.quantile(lost[:, cells.counted], SCALE_QUANTILE)), TIE))
    colours = c["change"][2:]
    scale = {"colorscale": ramp(colours), "zmin": 0, "zmax": top}
    ran = np.isfinite(lost)
    lines = np.where(ran, "the loops that ran were best", "not run").astype(object)
    other = ran & (best != cells.chosen)
    for layer, token in zip(*np.nonzero(other), strict=True):
        loops, gain = how_many(int(best[layer, token]), "loop"), number(lost[layer, token], 4)
        lines[layer, token] = f"{loops} would have gained {gain} nats"
    card = hover_card(trace, view)
    card["text"] = card["text"] + "<br>" + lines[part]
    shown = [
        heatmap(trace, view, np.minimum(lost[part], top), card, **scale)
        | scale_bar(view, "regret (nats)", tickvals=[0, top / 2, top], ticktext=["0", f"{top / 2:g}", f"{top:g}+"])
    ]
    if numbers_fit(view, end - first):
        layer, token = np.nonzero(other[part])
        fills = [colour_at(colours, value / top) for value in lost[part][layer, token]]
        on = np.array([text_on(fill) for fill in fills], dtype=object)
        shown += numbers(token + first, layer, best[part][layer, token].astype(str), on)
    per_token = lost.mean(axis=0)
    per_layer, dealt = (values[:, cells.counted].mean(axis=1) for values in (lost, regret_of_random(cells)))
    bars = {"marker": {"color": mix(c["bg"], colours[-1], 0.72)}}
    dots = {
        "type": "scatter", "mode": "markers", "x": dealt, "y": np.arange(trace.num_layers),
        "marker": {"size": 7, "symbol": "x-thin", "line": {"width": 1.6, "color": c["ink"]}, "opacity": 1},
        "customdata": [[None, layer] for layer in range(trace.num_layers)],
        "hovertemplate": "layer %{customdata[1]}<br>shuffled %{x:.4f}<extra></extra>",
    }  # fmt: skip
    return joint_map(
        trace,
        view,
        shown,
        Marginal(
            [token_bars(trace, view, per_token, "mean regret %{y:.4f}", **bars)],
            _axis(per_token),
            "mean regret over layers",
        ),
        Marginal(
            [layer_bars(trace, per_layer, "mean regret %{x:.4f}", **bars), dots],
            _axis(np.r_[per_layer, dealt]),
            f"mean   {swatch(c['ink'], 'shuffled', '×')}",
        ),
        Minimap(per_token, scale),
    )


def gates_regret_figure(effects: DepthEffects, view: View = DEFAULT_VIEW, *, of: Of = "own") -> go.Figure:
    """Mean regret of the learned gate, its loops shuffled, always the same, and the best, against mean loops."""
    table, c = gates_compared(chosen_cells(effects, of)), THEMES[view.theme]
    if not table["cells"].iloc[0]:
        return sentence_figure(view, NOTHING_RAN, HEIGHT)
    names = [name.replace("random", "shuffled") for name in table["gate"]]
    fills = {"learned": c["depth"], "random": c["ink"], "best": c["change"][-1]}
    legend = [swatch(fills["learned"], "learned", "◆"), swatch(fills["random"], "shuffled", "×")]
    legend += [swatch(c["line"], "always the same", "●"), swatch(fills["best"], "best", "●")]
    data = [
        {
            "type": "scatter", "mode": "markers", "x": table["loops"], "y": table["regret"], "text": names,
            "cliponaxis": False,
            "marker": {
                "size": 11, "opacity": 1, "line": {"width": 1, "color": c["bg"]},
                "color": [fills.get(gate, c["line"]) for gate in table["gate"]],
                "symbol": [{"learned": "diamond", "random": "x"}.get(gate, "circle") for gate in table["gate"]],
            },
            "customdata": table[["more", "cells"]].to_numpy(float),
            "hovertemplate": "%{text}<br>%{x:.2f} loops, regret %{y:.4f} nats<br>%{customdata[0]:+.4f} beside the "
            "learned gate, %{customdata[1]:,} cells<extra></extra>",
        }
    ]  # fmt: skip
    most = float(table["regret"].max())
    return figure(
        view,
        data,
        clickable=False,
        height=HEIGHT,
        xaxis={
            "range": [0.7, effects.routing.max_loops + 0.3],
            "dtick": 1,
            "title": {"text": "mean loops of a token in a layer"},
        },
        yaxis={
            "range": [-0.08 * most, 1.2 * most] if most > 0 else [-1, 1],
            "title": {"text": "mean regret per cell (nats)"},
            "showgrid": True,
            "zeroline": True,
            "zerolinecolor": c["line"],
        },
        annotations=[note("   ".join(legend))],
    )


def best_by_chosen_figure(effects: DepthEffects, view: View = DEFAULT_VIEW, *, of: Of = "own") -> go.Figure:
    """Share of the cells of each chosen number of loops whose best number is 1, 2 and so on, with ties apart."""
    table, c = best_by_chosen(chosen_cells(effects, of)), THEMES[view.theme]
    if not table["cells"].any():
        return sentence_figure(view, NOTHING_RAN, HEIGHT)
    most = effects.routing.max_loops
    shape = (most, most + 1)
    share, count = (table[column].to_numpy(float).reshape(shape) for column in ("share", "cells"))
    row, column = (axis.ravel() for axis in np.indices(shape))
    x = np.where(column == most, most + 1.3, column + 1)
    fills = [c["bg"] if np.isnan(value) else colour_at(c["probability"], value) for value in share.ravel()]
    texts = [
        "" if np.isnan(value) else f"{percent(value)} ({int(cells):,})"
        for value, cells in zip(share.ravel(), count.ravel(), strict=True)
    ]
    data = [
        {
            "type": "heatmap", "x": [*np.arange(0.5, most + 1), most + 0.8, most + 1.8], "y": list(range(1, most + 1)),
            "z": np.insert(share, most, np.nan, axis=1),  # the edges leave a gap before the ties
            "zmin": 0, "zmax": 1, "colorscale": ramp(c["probability"]), "showscale": False, "xgap": 2, "ygap": 2,
            "hoverongaps": False, "customdata": np.insert(count, most, 0, axis=1),
            "hovertemplate": "%{customdata:,} cells, %{z:.0%} of this row<extra></extra>",
        },
        *numbers(x, row + 1, texts, np.array([text_on(fill) for fill in fills], dtype=object)),
    ]  # fmt: skip
    box = {"type": "rect", "line": {"width": 1.6, "color": c["ink"]}}
    hit = [box | {"x0": n - 0.47, "x1": n + 0.47, "y0": n - 0.47, "y1": n + 0.47} for n in range(1, most + 1)]
    return figure(
        view,
        data,
        clickable=False,
        height=HEIGHT,
        xaxis={
            "range": [0.45, most + 1.85],
            "tickvals": [*range(1, most + 1), most + 1.3],
            "ticktext": [*map(str, range(1, most + 1)), "tie"],
            "title": {"text": "best number of loops"},
        },
        yaxis={"range": [0.45, most + 0.55], "dtick": 1, "tick0": 1, "title": {"text": "loops that ran"}},
        shapes=hit,
        annotations=[note("share of each row (cells)   □ the choice was best")],
    )


def _rounded_up(value: float) -> float:
    """The next larger number of one significant digit."""
    unit = 10.0 ** np.floor(np.log10(value))
    return float(f"{np.ceil(value / unit - 1e-9) * unit:.1g}")


def _axis(values: np.ndarray) -> dict:
    top = max(float(np.fmax.reduce(values, initial=0.0)), TIE)
    return {"range": [0, 1.1 * top], "nticks": 3}


_HOW_MEASURED = (
    "“Next prediction” counts the change of the log-probability of the token that follows; “Later ones too” its mean "
    "over this and all later predictions of the text. λ follows the forced loops, or is held at the value that the "
    "model chose. The last token predicts nothing, and is blank like tokens that were not run."
)

FIGURES = (
    FigureSpec(
        name="regret_map",
        title="Where would another number of loops have helped?",
        how_to_read=(
            "Each cell is one token in one layer, forced alone to every number of loops; its colour is the regret: "
            "what the best number would have gained over the one that ran, in nats. A cell whose best number is not "
            "the one that ran shows the best one. Bars are means; crosses are the mean regret if the layer's loops "
            "were shuffled among its tokens."
        ),
        details=(
            f"{_HOW_MEASURED} Numbers of loops within {TIE:g} nats of the best tie with it. The best number is found "
            "from the text that follows, which no gate can see, so regret is a bound. Many small regrets do not add "
            "up, because cells that are forced together act on each other. The colours end at the 98th percentile, "
            "rounded up."
        ),
        figure=regret_map_figure,
        table=effects_table,
        choice=Choice("of", OF, "What counts"),
        of=DepthEffects,
        follows=(),
        by_token=True,
    ),
    FigureSpec(
        name="best_by_chosen",
        title="Which number of loops was best?",
        how_to_read=(
            "Each row holds the cells that took this many loops; its columns say which number would have been best. "
            "Outlined cells are those where the choice was best. Cells in which several numbers are best stand under "
            "“tie”."
        ),
        details=f"{_HOW_MEASURED} A tie is two or more numbers within {TIE:g} nats of the best.",
        figure=best_by_chosen_figure,
        table=lambda effects: best_by_chosen(cells_of(effects)),
        choice=Choice("of", OF, "What counts", set_at="regret_map"),
        of=DepthEffects,
        follows=(),
    ),
    FigureSpec(
        name="gates_regret",
        title="How much do other gates miss?",
        how_to_read=(
            "Each mark is a gate: its mean loops, and the mean regret of its choices over all cells that were run. "
            "“Shuffled” exchanges the loops of each layer among its tokens. If the learned gate lies below "
            "it, it places its loops better than chance does in this text."
        ),
        details=(
            f"{_HOW_MEASURED} Every cell is forced alone, so no gate is run as a whole here. The regret of the random "
            "gate is the exact mean over all such exchanges. One text says nothing about others."
        ),
        figure=gates_regret_figure,
        table=lambda effects: gates_compared(cells_of(effects)),
        choice=Choice("of", OF, "What counts", set_at="regret_map"),
        of=DepthEffects,
        follows=(),
    ),
)
