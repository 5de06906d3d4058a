"""Walkthrough: lengths of one token's recursion states, and how the layer mixes both paths, drawn to scale."""

import numpy as np
import plotly.graph_objects as go

from analysis.explain.ledger import imbalance
from analysis.explain.walkthrough import fusion_plane, fusion_table, state_table, walkthrough
from analysis.figures.cells import hatch
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.template import figure, note, quoted, sentence_figure, swatch
from analysis.palette import THEMES, loop_colours, mix
from analysis.view import DEFAULT_VIEW, View
from analysis.words.numbers import column, significant
from hooks.path_trace import PathTrace

HEIGHT = 300
STATES, STEPS = 0.52, 0.62
"""Right end of the left plot and left end of the right one, as shares of the width."""


def recursion_states_figure(paths: PathTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Lengths of the states H(0)..H(max_loops) of the selected token, and of the steps between them.

    Filled: ran in the layer. Outlined in ink: the state at which the token left. Hatched, without a fill: later states,
    which did not run for the token and were computed for the capture only.
    """
    walk, c = walkthrough(paths, view.layer, view.token), THEMES[view.theme]
    state, loop = np.arange(walk.max_loops + 1), np.arange(1, walk.max_loops + 1)
    colours, idle = [mix(c["bg"], c["line"], 0.6), *loop_colours(walk.max_loops, view.theme)], hatch(view)["pattern"]

    def bars(x: np.ndarray, y: np.ndarray, what: str, **axes) -> dict:
        used, left = x <= walk.loops, x == walk.loops
        return {
            "type": "bar", "x": x, "y": y, "width": 0.66, "cliponaxis": False,
            "marker": {
                "color": [colours[i] if ok else c["bg"] for i, ok in zip(x, used, strict=True)],
                # "replace" would draw the hatching in the bar's own colour, which is that of the page.
                "pattern": idle | {"shape": ["" if ok else idle["shape"] for ok in used], "fillmode": "overlay"},
                "line": {
                    "width": np.where(left, 2.5, 1),
                    "color": [c["ink"] if out else c["line"] for out in left],
                },
            },
            "text": column(y), "textposition": "outside",
            "textfont": {"size": 11, "color": [c["ink"] if ok else c["muted"] for ok in used]},
            "hovertext": ["ran" if ok else "did not run: the token had exited" for ok in used],
            "hovertemplate": f"{what} %{{x}}<br>length %{{y:.4g}}<br>%{{hovertext}}<extra></extra>", **axes,
        }  # fmt: skip

    def scale(values: np.ndarray) -> dict:
        return {"range": [0, 1.16 * max(float(values.max()), 1e-12)], "showgrid": True}

    def places(values: np.ndarray, domain: list[float], name: str) -> dict:
        ends = [values[0] - 0.6, values[-1] + 0.6]
        return {"domain": domain, "range": ends, "tickvals": values, "title": {"text": name}}

    return figure(
        view,
        [
            bars(state, walk.state_norms, "state"),
            bars(loop, walk.step_norms, "step of loop", xaxis="x2", yaxis="y2"),
        ],
        clickable=False,
        height=HEIGHT,
        margin={"t": 30, "b": 44, "l": 52, "r": 12},
        xaxis=places(state, [0, STATES], "state") | {"ticktext": ["H", *(f"H({i})" for i in loop)]},
        yaxis=scale(walk.state_norms) | {"title": {"text": "length"}},
        xaxis2=places(loop, [STEPS, 1], "step of loop") | {"anchor": "y2"},
        yaxis2=scale(walk.step_norms) | {"anchor": "x2"},
        annotations=[
            note(f"{quoted(paths.routing, view.token)}, layer {view.layer}   □ exited here   hatched: did not run"),
            note("H(l) − H(l−1)", x=1, anchor="right"),
        ],
    )


def fusion_plane_figure(paths: PathTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """H, Y_depth, Y_width and the output Y of the selected token in the plane through them: true lengths and angles."""
    plane = fusion_plane(paths, view.layer, view.token)
    if problem := imbalance(paths, plane.residual, plane.allowed):
        return sentence_figure(view, problem, HEIGHT)
    c, gate = THEMES[view.theme], float(paths.routing.gate[view.layer, view.token])
    arrows = [("depth", plane.depth, "Y<sub>depth</sub>", c["depth"])]
    if plane.width is not None:
        arrows.append(("width", plane.width, "Y<sub>width</sub>", c["width"]))
        between = np.array([plane.depth, plane.width])
        line = [
            {
                "type": "scatter", "mode": "lines", "x": between[:, 0], "y": between[:, 1], "hoverinfo": "skip",
                "line": {"width": 1, "dash": "dot", "color": c["line"]},
            }
        ]  # fmt: skip
    else:
        line = []
    # With λ = 0 the output is Y_depth, and its mark would hide that of Y_depth.
    same = np.allclose(plane.output, plane.depth, atol=1e-6 * (1 + np.linalg.norm(plane.depth)))
    points = [*arrows, ("output", plane.output, "Y" if not same else "", c["ink"])]
    data = [
        *line,
        *(_vector(name, end, colour) for name, end, _, colour in points),
        {
            "type": "scatter", "mode": "markers+text", "x": [0], "y": [0], "text": [" H "], "hoverinfo": "skip",
            "textposition": "middle left", "marker": {"size": 7, "color": c["line"]}, "cliponaxis": False,
        },
    ]  # fmt: skip
    places = np.array([(0.0, 0.0), *(end for _, end, _, _ in points)])
    low, high = places.min(axis=0), places.max(axis=0)
    room = 0.14 * max(float((high - low).max()), 1e-9)
    names = [
        _name(end, f"{text} = Y" if same and name == "depth" else text, colour) for name, end, text, colour in points
    ]
    mixing = (
        "did not route: Y = Y<sub>depth</sub>"
        if plane.width is None
        else f"λ = {significant(gate)}: Y lies λ of the way from depth to width"
    )
    legend = [swatch(c["depth"], "depth", "━"), swatch(c["width"], "width", "━"), swatch(c["ink"], "output", "━")]
    return figure(
        view,
        data,
        clickable=False,
        height=HEIGHT,
        margin={"t": 30, "b": 44, "l": 52, "r": 24},
        xaxis={
            "range": [low[0] - room, high[0] + 1.6 * room],
            "title": {"text": "along Y<sub>depth</sub> − H"},
            "showgrid": True,
        },
        yaxis={
            "range": [low[1] - room, high[1] + room],
            "title": {"text": "across"},
            "showgrid": True,
            "scaleanchor": "x",
        },
        annotations=[*filter(None, names), note(f"{mixing}   {'   '.join(legend)}")],
    )


def _vector(name: str, end: tuple[float, float], colour: str) -> dict:
    return {
        "type": "scatter", "mode": "lines+markers", "name": name, "x": [0, end[0]], "y": [0, end[1]],
        "line": {"width": 2.5, "color": colour}, "cliponaxis": False,
        "marker": {"size": [0, 9], "color": colour, "opacity": 1},
        "hovertemplate": f"{name} − H: length {significant(np.hypot(*end), 4)}<extra></extra>",
    }  # fmt: skip


def _name(end: tuple[float, float], text: str, colour: str) -> dict | None:
    """The name of a point, beside it."""
    if not text:
        return None
    above = end[1] >= 0
    return {
        "x": end[0], "y": end[1], "text": f"<b>{text}</b>", "font": {"size": 13, "color": colour},
        "yanchor": "bottom" if above else "top", "yshift": 6 if above else -6,
    }  # fmt: skip


FIGURES = (
    FigureSpec(
        name="recursion_states",
        title="How the state grows, loop by loop",
        how_to_read=(
            "Each bar on the left is the length of the selected token's state: first the FFN's input H, then the "
            "state after each loop. Each bar on the right is the length of what that loop added. Outlined: the "
            "loop after which the token exited. Hatched loops did not run for this token and were computed for "
            "this figure only; so few steps do not show whether the recursion would settle."
        ),
        figure=recursion_states_figure,
        table=state_table,
        of=PathTrace,
    ),
    FigureSpec(
        name="fusion_plane",
        title="The two paths and their mixture, to scale",
        how_to_read=(
            "Each arrow leads from the FFN's input H to an output: that of the depth path, that of the width "
            "path, and the layer's output Y. They are drawn to scale in the plane through these points. Y lies on "
            "the dotted line, λ of the way from depth to width. A short blue arrow means that the experts add "
            "little, so a large λ mostly shortens what the loops wrote."
        ),
        figure=fusion_plane_figure,
        table=fusion_table,
        of=PathTrace,
    ),
)
