"""What if: what interventions changed, as a map of layers x tokens and along the text."""

from dataclasses import replace
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from analysis.aggregate import ordinary, share
from analysis.figures.cells import hover_card, numbers
from analysis.figures.experts import expert_map_figure
from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.gate import gate_map_figure
from analysis.figures.joint_map import Marginal, Minimap, heatmap, joint_map, layer_bars, token_bars
from analysis.figures.recursion import loop_map_figure
from analysis.figures.selection import band
from analysis.figures.template import drawn_part, figure, note, numbers_fit, sentence_figure, swatch, token_axis
from analysis.palette import THEMES, mix, ramp, steps, text_on
from analysis.view import DEFAULT_VIEW, View
from analysis.what_if.comparison import (
    Comparison,
    cascade_table,
    forced_cells,
    logprob_change,
    other_experts,
    other_loops,
    reached_cells,
    token_table,
)

Of = Literal["change", "loops", "gate", "experts"]
MAPS = {"loops": loop_map_figure, "gate": gate_map_figure, "experts": expert_map_figure}
CORNER = 0.34
"""Part of a cell's width and height that the corner of a named cell takes."""
HEIGHT = 250
FEWEST_NATS = 0.1
"""The axis of a change of log p reaches at least this far, so that rounding is not drawn as an effect."""


def what_if_map_figure(both: Comparison, view: View = DEFAULT_VIEW, *, of: Of = "change") -> go.Figure:
    """What every cell decided otherwise, or the loops, lambda or experts after it; a corner where it was named."""
    view = replace(view, level="token")
    fig = _change_map(both, view) if of == "change" else MAPS[of](both.after, view)
    return fig.add_trace(_corners(both, view))


def logprob_change_figure(
    both: Comparison, view: View = DEFAULT_VIEW, *, of: Literal["logprob", "kl"] = "logprob"
) -> go.Figure:
    """Change of each token's log p, or KL of the prediction after it; a triangle where an intervention names it."""
    trace, c = both.after, THEMES[view.theme]
    values = logprob_change(both) if of == "logprob" else np.where(ordinary(trace), both.kl, np.nan)
    if not np.isfinite(values).any():
        return sentence_figure(view, "No token of this text has a probability to compare.", HEIGHT)
    first, end = view.span(trace.num_tokens)
    most = max(float(np.nanmax(np.abs(values))), FEWEST_NATS) * 1.12
    named = np.flatnonzero(forced_cells(both).any(axis=0)[first:end]) + first
    low = -most if of == "logprob" else -0.16 * most
    data = [
        *_bars(both, view, values, of),
        {
            "type": "scatter", "mode": "markers", "x": named, "y": np.full(len(named), 0.93 * low), "hoverinfo": "skip",
            "marker": {"symbol": "triangle-up", "size": 8, "color": c["ink"]}, "name": "named",
        },
    ]  # fmt: skip
    axis, bottom = token_axis(trace, view)
    part = drawn_part(first, end, trace.num_tokens)
    legend = f"{swatch(c['change'][-1], 'more likely')}   {swatch(c['change'][0], 'less likely')}   "
    return figure(
        view,
        data,
        height=HEIGHT + bottom,
        margin={"t": 30, "b": bottom, "l": 52, "r": 16},
        xaxis=axis,
        yaxis={"range": [low, most], "showgrid": True, "zeroline": True, "zerolinecolor": c["line"]}
        | {"title": {"text": "log p, after − before (nats)" if of == "logprob" else "KL (nats)"}},
        barmode="relative",
        shapes=[band(view, x="token")] if first <= view.token < end else [],
        annotations=[note(f"{legend if of == 'logprob' else ''}▲ named by an intervention{part}")],
    )


def _change_map(both: Comparison, view: View) -> go.Figure:
    c, trace = THEMES[view.theme], both.after
    first, end = view.span(trace.num_tokens)
    part = np.s_[:, first:end]
    loops, experts = other_loops(both), other_experts(both)
    kind = np.where(loops > 0, 3, np.where(loops < 0, 1, np.where(experts, 2, 0)))
    fewer, more = c["change"][0], c["change"][-1]
    colours = [c["grid"], mix(c["bg"], fewer, 0.85), mix(c["bg"], c["width"], 0.72), mix(c["bg"], more, 0.85)]
    stepped = {"colorscale": steps(colours), "zmin": -0.5, "zmax": 3.5}
    card = hover_card(trace, view)
    card["text"] = card["text"] + "<br>" + _told(both, loops, experts, part)
    cells = [heatmap(trace, view, kind[part], card, **stepped)]
    if numbers_fit(view, end - first) and "depth" in trace.parts:
        layer, token = (axis.ravel() for axis in np.indices(kind[part].shape))
        on = np.array([c["muted"], *(text_on(colour) for colour in colours[1:])], dtype=object)
        cells += numbers(token + first, layer, trace.loops[part].ravel().astype(str), on[kind[part].ravel()])
    change, reached = np.nan_to_num(logprob_change(both)), reached_cells(both) & ordinary(trace)
    changed = reached & (kind > 0)
    most = max(float(np.abs(change).max()), FEWEST_NATS) * 1.05
    legend = "   ".join(
        swatch(colours[at], words)
        for at, words, of in ((3, "more loops", "depth"), (1, "fewer", "depth"), (2, "other experts", "width"))
        if of in trace.parts
    )
    per_layer = share(changed.sum(axis=1), reached.sum(axis=1))
    return joint_map(
        trace,
        view,
        cells,
        Marginal(
            _bars(both, view, change, "logprob"),
            {"range": [-most, most], "nticks": 3},
            f"{legend}   ◥ named   bars: change of log p (nats)",
        ),
        Marginal(
            [layer_bars(trace, per_layer, "%{x:.1%} of the cells reached", marker={"color": c["line"]})],
            {"range": [0, 1], "dtick": 0.5, "tickformat": ".0%"},
            "of cells reached",
        ),
        Minimap(change, {"colorscale": ramp(c["change"]), "zmin": -most, "zmax": most}),
    )


def _bars(both: Comparison, view: View, values: np.ndarray, of: str) -> list[dict]:
    """Bars of a value per token: what rose in green and what fell in magenta; KL in grey."""
    c = THEMES[view.theme]
    if of == "kl":
        return [token_bars(both.after, view, values, "KL %{y:.3f} nats", marker={"color": c["line"]})]
    parts = ((np.maximum(values, 0), c["change"][-1]), (np.minimum(values, 0), c["change"][0]))
    return [
        token_bars(both.after, view, part, "log p changed by %{y:+.3f} nats", marker={"color": colour})
        for part, colour in parts
    ]


def _told(both: Comparison, loops: np.ndarray, experts: np.ndarray, part: tuple[slice, slice]) -> np.ndarray:
    """What became of every drawn cell, in words [layer, drawn token]."""
    where = np.where(forced_cells(both), "named", np.where(reached_cells(both), "reached", "not reached"))
    fields = where, both.before.loops, both.after.loops, both.before.width_ran, both.after.width_ran, experts
    rows = zip(*(field[part].ravel().tolist() for field in fields), strict=True)
    told = np.empty(loops[part].size, dtype=object)
    looping = "depth" in both.after.parts
    for cell, (place, old, new, ran_before, ran, other) in enumerate(rows):
        now = [f"loops {old} → {new}" if old != new else "same loops"] if looping else []
        if ran_before and ran:
            now.append("other experts" if other else "same experts")
        elif ran_before or ran:
            now.append(f"routed only {'now' if ran else 'before'}")
        told[cell] = f"{place}: {', '.join(now)}" if now else place
    return told.reshape(loops[part].shape)


def _corners(both: Comparison, view: View) -> dict:
    """A filled upper right corner in every named cell: one path, which stays a vector and is fast."""
    c = THEMES[view.theme]
    first, end = view.span(both.after.num_tokens)
    layer, token = np.nonzero(forced_cells(both)[:, first:end])
    right, top, gap = token + first + 0.5, layer + 0.5, np.full(len(token), np.nan)
    return {
        "type": "scatter", "mode": "lines", "fill": "toself", "fillcolor": c["ink"], "hoverinfo": "skip",
        "line": {"width": 1, "color": c["bg"]}, "name": "named", "showlegend": False,
        "x": np.stack([right - CORNER, right, right, right - CORNER, gap], axis=1).ravel(),
        "y": np.stack([top, top, top - CORNER, top, gap], axis=1).ravel(),
    }  # fmt: skip


FIGURES = (
    FigureSpec(
        name="what_if_map",
        title="What changed where?",
        how_to_read=(
            "Each cell is one token in one layer. A filled corner marks a cell that an intervention names. The other "
            "coloured cells are the cascade: they choose differently than before, because they read what a named "
            "cell wrote. The bars above are the change of each token's log-probability."
        ),
        of_versatile=(
            "Numbers, where there is room, are the loops that ran; green cells took more loops than before, magenta "
            "fewer, and blue the same number with different experts."
        ),
        details=(
            "A named cell reaches the later layers of its token and of the tokens after it, within the window that "
            "reads them. The bars beside the map are the share of a layer's reached cells that choose differently. "
            "Loops, Gate and Experts show what ran under the interventions. A cell that routed only before or only "
            "now counts by its loops."
        ),
        figure=what_if_map_figure,
        table=cascade_table,
        choice=Choice(
            "of",
            {"change": "Changes", "loops": "Loops", "gate": "Gate", "experts": "Experts"},
            "What cells show",
            needs={"loops": "depth", "gate": "gate", "experts": "width"},
        ),
        of=Comparison,
        follows=(),
        by_token=True,
    ),
    FigureSpec(
        name="logprob_change",
        title="How did each token's probability change?",
        how_to_read=(
            "Each bar is one token: how much its log-probability, given the tokens before it, rose (green) or fell "
            "(magenta). A triangle marks tokens that an intervention names in some layer. A token is predicted from "
            "the one before it, so an effect on a prediction shows at the next token. “Prediction” shows instead how "
            "much the whole distribution of the next token changed after each token."
        ),
        details=(
            "Prediction is KL(before ‖ after) in nats, 0 for the same distribution. The first token has no "
            "probability, and tokens that the tokenizer added are left out."
        ),
        figure=logprob_change_figure,
        table=token_table,
        choice=Choice("of", {"logprob": "Log p", "kl": "Prediction"}, "What bars show"),
        of=Comparison,
        follows=(),
        by_token=True,
    ),
)
