"""How much the slices of the FFN contribute to the loops."""

from typing import Literal

import numpy as np
import plotly.graph_objects as go

from analysis.explain.slices import slice_table, slice_use
from analysis.figures.cells import numbers
from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.template import drawn_part, figure, note, quoted
from analysis.palette import THEMES, expert_colour, text_on
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import how_many
from hooks.slice_trace import SliceTrace


def loop_slices_figure(
    slices: SliceTrace, view: View = DEFAULT_VIEW, *, tokens: Literal["all", "selected"] = "all"
) -> go.Figure:
    """Share of every expert's slice in the step of each loop of the selected layer; pale: did not run."""
    c, trace = THEMES[view.theme], slices.routing
    row = int(np.flatnonzero(slices.layers == view.layer)[0])
    loops = np.arange(1, trace.max_loops + 1)
    if tokens == "all":
        share, count = slice_use(slices, view.layer)
        names = [
            f"loop {loop}, {how_many(n, 'token') if n else 'nobody'}" for loop, n in zip(loops, count, strict=True)
        ]
        ran = count > 0
        part = drawn_part(slices.first_token, slices.first_token + slices.share.shape[1], trace.num_tokens)
        heading = f"layer {view.layer}{part}: mean share of the loop's step, over the tokens that ran it"
    else:
        share = slices.share[row, view.token - slices.first_token]
        ran = loops <= trace.loops[view.layer, view.token]
        names = [f"loop {loop}" + ("" if on else " (did not run)") for loop, on in zip(loops, ran, strict=True)]
        heading = f"layer {view.layer}, {quoted(trace, view.token)}: share of the loop's step"
    values = np.nan_to_num(share)
    up, down = (np.cumsum(part, axis=1) for part in (np.maximum(values, 0), np.minimum(values, 0)))
    data = []
    for expert in range(trace.num_experts):
        colour, size = expert_colour(expert, view.theme), values[:, expert]
        data.append(
            {
                "type": "bar", "orientation": "h", "y": loops, "x": size, "width": 0.66, "name": f"expert {expert}",
                "marker": {"color": colour, "opacity": np.where(ran, 1, 0.35), "line": {"width": 0}},
                "hovertemplate": f"%{{y}}: slice of expert {expert} %{{x:.3f}}<extra></extra>",
            }
        )  # fmt: skip
        wide = (np.abs(size) >= 0.03) & ran
        middle = np.where(size > 0, up[:, expert], down[:, expert]) - size / 2
        on = np.full(wide.sum(), text_on(colour))
        data += numbers(middle[wide], loops[wide], [str(expert)] * int(wide.sum()), on) if wide.any() else []
    whole = {"type": "line", "yref": "y domain", "y0": 0, "y1": 1, "x0": 1, "x1": 1}
    return figure(
        view,
        data,
        clickable=False,
        height=max(34 * trace.max_loops + 30 + 44, 170),
        margin={"t": 30, "b": 44, "l": 132, "r": 12},
        barmode="relative",
        xaxis={"showgrid": True, "title": {"text": "share of the step"}},
        yaxis={
            "range": [trace.max_loops + 0.5, 0.5],
            "tickvals": loops,
            "ticktext": names,
            "tickfont": {"color": c["ink"], "size": 12},
        },
        shapes=[whole | {"line": {"width": 1, "color": c["line"]}}],
        annotations=[note(heading)],
    )


FIGURES = (
    FigureSpec(
        name="loop_slices",
        title="Which slices the loops use",
        how_to_read=(
            "Each bar is one loop, split exactly into what the slices of the FFN, which are the experts, add to "
            "its step; a piece below zero works against the step. The depth path asks no router: every loop uses "
            "the whole FFN."
        ),
        figure=loop_slices_figure,
        table=slice_table,
        choice=Choice("tokens", {"all": "All tokens", "selected": "Selected token"}, "Whose loops"),
        of=SliceTrace,
    ),
)
