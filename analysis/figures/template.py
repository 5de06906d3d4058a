"""What every figure shares: the Plotly template, notes, token and layer axes, selection marks, hover card."""

from functools import lru_cache
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from analysis.palette import THEMES, faded
from analysis.view import View
from analysis.words.labels import plotly_text, token_labels
from hooks.trace import RoutingTrace

FONT = "'Source Sans', 'Source Sans 3', 'Source Sans Pro', Helvetica, Arial, sans-serif"
LEFT = 0.86
"""Share of a map's width that belongs to its token axis."""
MAP_MARGINS_PX = 64
FEWEST_COLUMNS = 16
"""Columns that a token axis has room for at least: a text of two tokens makes no cells as wide as half a page."""
NAME_PX, NUMBER_PX = 9.5, 11.4
"""Width that a token needs on its axis to be named, and a cell of a map to carry its number: 90 and 75 on a page."""
SENTENCE = {"sentence": True}
"""Marks a figure that has nothing to draw: how to read it is no question then."""
TO_CELL = {"select": "customdata"}
"""A click selects customdata[0] = token and customdata[1] = layer (None: leave it)."""

MAP = TO_CELL | {"map": True}
"""Marks a figure with means beside its token axis, which need more of a narrow figure's width."""


@lru_cache(maxsize=2)
def template(theme: str) -> go.layout.Template:
    """Fonts, axes, hover and legend in the theme's colours."""
    c = THEMES[theme]
    axis = {
        "showgrid": False, "zeroline": False, "showline": False, "ticks": "", "fixedrange": True, "nticks": 6,
        "gridcolor": c["grid"], "gridwidth": 1, "tickfont": {"size": 11, "color": c["muted"]},
        "title": {"font": {"size": 12, "color": c["muted"]}, "standoff": 8},
    }  # fmt: skip
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 12, "color": c["ink"]},
            "paper_bgcolor": c["bg"], "plot_bgcolor": c["bg"],
            "margin": {"l": 52, "r": 16, "t": 30, "b": 40, "pad": 2},
            "bargap": 0.18, "dragmode": False, "hovermode": "closest", "showlegend": False,
            "xaxis": axis, "yaxis": axis,
            "hoverlabel": {
                "bgcolor": c["bg"], "bordercolor": c["line"], "align": "left",
                "font": {"family": FONT, "size": 12, "color": c["ink"]},
            },
            "annotationdefaults": {"font": {"size": 11, "color": c["muted"]}, "showarrow": False},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": c["line"], "activecolor": c["ink"]},
        }
    )  # fmt: skip


def config(name: str) -> dict:
    """Plotly config: the browser's SVG under a telling file name; no logo, no zoom clutter."""
    clutter = ["zoom2d", "pan2d", "select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "resetScale2d"]
    return {
        "displaylogo": False,
        "displayModeBar": "hover",
        "modeBarButtonsToRemove": clutter,
        "toImageButtonOptions": {"format": "svg", "scale": 2, "filename": name},
    }


def figure(view: View, data: list[dict], *, clickable: bool = True, **layout) -> go.Figure:
    """Figure from plain dictionaries, in the view's theme."""
    meta = {"meta": TO_CELL} if clickable else {}
    content = {"data": data, "layout": {"template": template(view.theme), **meta, **layout}}
    # Plotly's check of every property is most of its work: the tests do it for every figure of the catalogue.
    made = go.Figure(content, _validate=False)
    for part in (made, made.layout, *made.data):
        part._validate = True  # what is changed in it from here on is checked
    return made


def sentence_figure(view: View, sentence: str, height: int) -> go.Figure:
    """The frame of a figure that has nothing to draw, with one sentence that says why."""
    hidden = {"visible": False, "range": [0, 1]}
    frame = {"type": "rect", "xref": "paper", "yref": "paper", "x0": 0, "x1": 1, "y0": 0, "y1": 1}
    frame["line"] = {"width": 1, "color": THEMES[view.theme]["hair"]}
    text = {"text": sentence, "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5, "font": {"size": 13}}
    return figure(
        view,
        [],
        clickable=False,
        meta=SENTENCE,
        height=height,
        xaxis=hidden,
        yaxis=hidden,
        shapes=[frame],
        annotations=[text],
    )


def note(text: str, *, x: float = 0, y: float = 1, anchor: str = "left") -> dict:
    """Small line above a plot, in paper coordinates: unit and code."""
    return {
        "text": text, "xref": "paper", "yref": "paper", "x": x, "y": y,
        "xanchor": anchor, "yanchor": "bottom", "yshift": 4,
    }  # fmt: skip


def table_axis(left: float) -> dict:
    """Second x axis, for a table that begins at `left`, paper coordinates, beside a plot; so are places on it."""
    return {"domain": [left, 1], "range": [left, 1], "visible": False}


def table_cells(cells: list[tuple[str, float, float, str]]) -> list[dict]:
    """Text traces of a table on `table_axis`; a cell is (text, x, row of the plot, colour).

    As annotations, thirty cells took Plotly longer than all the rest of a figure.
    """
    traces = []
    for colour in dict.fromkeys(cell[3] for cell in cells):
        texts, x, y = zip(*(cell[:3] for cell in cells if cell[3] == colour), strict=True)
        traces.append(
            {
                "type": "scatter", "mode": "text", "xaxis": "x2", "cliponaxis": False, "hoverinfo": "skip",
                "textfont": {"size": 12, "color": colour}, "x": x, "y": y, "text": texts,
            }
        )  # fmt: skip
    return traces


def swatch(colour: str, text: str, mark: str = "■") -> str:
    """A coloured mark and its name, for notes that serve as legends."""
    return f'<span style="color:{colour};font-size:13px">{mark}</span>\u00a0{text}'


def drawn_part(first: int, end: int, num_tokens: int) -> str:
    """ ", tokens 256 to 511 of 2,009" where only these of the text's tokens are drawn; empty where all are."""
    return "" if end - first == num_tokens else f", tokens {first} to {end - 1} of {num_tokens:,}"


def quoted(trace: RoutingTrace, token: int) -> str:
    """The token's label in quotation marks, safe inside a figure."""
    return f"“{plotly_text(token_labels(trace)[token])}”"


# Axes -----------------------------------------------------------------------------------------------------------------


def layer_axis(trace: RoutingTrace, view: View) -> dict:
    """Layers 0..n-1, layer 0 at the bottom (or left), at most 16 named, the selected one in bold."""
    shown = range(0, trace.num_layers, -(-trace.num_layers // 16))
    return {
        "range": [-0.5, trace.num_layers - 0.5],
        "tickvals": list(shown),
        "ticktext": [f"<b>{layer}</b>" if layer == view.layer else str(layer) for layer in shown],
        "title": {"text": "layer"},
        "tickangle": 0,
    }


def token_axis(trace: RoutingTrace, view: View) -> tuple[dict, int]:
    """Axis of the drawn tokens and the bottom margin that its labels need, in pixels."""
    first, end = view.span(trace.num_tokens)
    axis = {"range": [first - 0.5, max(end, first + FEWEST_COLUMNS) - 0.5]}
    if not names_fit(view, end - first):
        step = next(step for step in (25, 50, 100, 250, 500, 10**9) if (end - first) / step <= 16)
        ticks = list(range(-(-first // step) * step, end, step))
        return axis | {"tickvals": ticks, "ticktext": [str(t) for t in ticks], "title": {"text": "token index"}}, 46
    labels = token_labels(trace)[first:end]
    texts = [_tick(label, bool(trace.special[first + i])) for i, label in enumerate(labels)]
    if first <= view.token < end:
        texts[view.token - first] = f"<b>{texts[view.token - first]}</b>"
    axis |= {"tickvals": list(range(first, end)), "ticktext": texts, "tickangle": -90}
    return axis, max(16 + round(6.8 * max(len(_readable(label)) for label in labels)), 30)


def names_fit(view: View, tokens: int) -> bool:
    """Whether the token axis names each of its tokens; if not, it counts them and cells lose their gap."""
    return tokens * NAME_PX <= (view.room - MAP_MARGINS_PX) * LEFT


def numbers_fit(view: View, tokens: int) -> bool:
    """Whether the cells of a map of so many tokens are wide enough for their numbers."""
    return tokens * NUMBER_PX <= (view.room - MAP_MARGINS_PX) * LEFT


def _tick(label: str, special: bool) -> str:
    text = plotly_text(_readable(label))
    return f"<i>{text}</i>" if special else text


def _readable(label: str) -> str:
    """A label that can be read upwards: the signs of blanks and tabs look like brackets there, so words follow them."""
    for sign, word in (("␣", "space"), ("⇥", "tab")):
        if label.startswith(sign) and not label.strip(f"{sign}×0123456789"):
            return f"{label} {word}"
    return label


# Selection ------------------------------------------------------------------------------------------------------------

SELECTION = "selection"
"""First word of the name of every shape that marks the selection; the next ones say where it stands: "x=token"."""
At = Literal["token", "layer"]
"""What of the selection places a mark on an axis."""


def mark(type: Literal["line", "rect"], *, x: At | None = None, y: At | None = None) -> dict:
    """The beginning of a shape that marks the selection, and what places it on each axis (None: it does not move)."""
    places = [f"{axis}={at}" for axis, at in (("x", x), ("y", y)) if at]
    return {"type": type, "name": " ".join([SELECTION, *places])}


def take_selection(fig: go.Figure) -> list[dict]:
    """Remove the marks of the selection from a figure and return them as plain shapes.

    What is left is the same for every selection that shows the same data: a caller who draws the marks over the figure
    need not draw the figure again when the reader selects another cell.
    """
    marks = [shape.to_plotly_json() for shape in fig.layout.shapes if _is_mark(shape)]
    fig.layout.shapes = [shape for shape in fig.layout.shapes if not _is_mark(shape)]
    for axis in (*fig.select_xaxes(), *fig.select_yaxes()):
        if axis.ticktext:
            axis.ticktext = [_without_bold(text) for text in axis.ticktext]
    return marks


def moved(marks: list[dict], before: View, after: View) -> list[dict]:
    """Marks that were taken from a figure of the view `before`, where one of the view `after` has them.

    For columns that are tokens: a word's column reaches as far as its pieces.
    """
    by = {"token": after.token - before.token, "layer": after.layer - before.layer}
    return [_moved(each, by) for each in marks]


def _moved(shape: dict, by: dict[str, int]) -> dict:
    there = dict(shape)
    for axis, at in (place.split("=") for place in shape["name"].split()[1:]):
        for end in (f"{axis}0", f"{axis}1"):
            there[end] += by[at]
    return there


def _is_mark(shape: go.layout.Shape) -> bool:
    return (shape.name or "").split(" ")[0] == SELECTION


def _without_bold(text: str) -> str:
    return text.removeprefix("<b>").removesuffix("</b>")


def row_and_column(trace: RoutingTrace, view: View, reach: tuple[float, float] | None = None) -> list[dict]:
    """Selected cell of a map on axes x (token), y (layer): thin lines along row and column, haloed outline.

    `reach` says from where to where the selected column reaches, if it is not the token's.
    """
    c = THEMES[view.theme]
    first, end = view.span(trace.num_tokens)
    t, layer = view.token, view.layer
    left, right = reach or (t - 0.5, t + 0.5)
    thin = {"line": {"width": 1, "color": faded(c["ink"], 0.55)}}
    row = mark("line", y="layer") | thin | {"x0": first - 0.5, "x1": end - 0.5}
    marks = [row | {"y0": y, "y1": y} for y in (layer - 0.5, layer + 0.5)]
    if not first <= t < end:
        return marks
    column = mark("line", x="token") | thin | {"y0": -0.5, "y1": trace.num_layers - 0.5}
    marks += [column | {"x0": x, "x1": x} for x in (left, right)]
    cell = mark("rect", x="token", y="layer") | {"x0": left, "x1": right, "y0": layer - 0.5, "y1": layer + 0.5}
    return marks + [
        cell | {"line": {"width": 5, "color": c["bg"]}},
        cell | {"line": {"width": 2, "color": c["ink"]}},
    ]


def band(view: View, *, x: At | None = None, y: At | None = None, xref: str = "x", yref: str = "y") -> dict:
    """Faint band at the selected token or layer on axis x or y, across the whole other axis."""
    shape = mark("rect", x=x, y=y) | {"layer": "below", "line": {"width": 0}}
    shape |= {"fillcolor": faded(THEMES[view.theme]["ink"], 0.08)}
    at = getattr(view, x or y)
    if x:
        return shape | {"xref": xref, "x0": at - 0.5, "x1": at + 0.5, "yref": f"{yref} domain", "y0": 0, "y1": 1}
    return shape | {"yref": yref, "y0": at - 0.5, "y1": at + 0.5, "xref": f"{xref} domain", "x0": 0, "x1": 1}


# Cells ----------------------------------------------------------------------------------------------------------------


def hover_card(trace: RoutingTrace, view: View) -> dict:
    """Hover of a map's cells, the same four lines on every page: where, loops and gate, experts, difficulty.

    customdata [layer, token, 6]: token, layer, loops, lambda, hard and soft difficulty.
    """
    first, end = view.span(trace.num_tokens)
    part = np.s_[:, first:end]
    shape = (trace.num_layers, end - first)
    layer, token = np.indices(shape)
    fields = [token + first, layer, trace.loops[part], trace.gate[part]]
    fields += [trace.difficulty_hard[part], trace.difficulty_soft[part]]
    names = [
        plotly_text(label) + (" (added by the tokenizer)" if special else "")
        for label, special in zip(token_labels(trace, 40)[first:end], trace.special[first:end], strict=True)
    ]
    return {
        "customdata": np.stack(fields, axis=-1).astype(np.float32),
        "hovertext": np.broadcast_to(np.array(names, dtype=object), shape),
        "text": chosen_experts(trace, first, end),
        "hovertemplate": (
            "<b>%{hovertext}</b><br>token %{customdata[0]}, layer %{customdata[1]}<br>"
            "loops %{customdata[2]}, width share %{customdata[3]:.2f}<br>%{text}<br>"
            "difficulty %{customdata[4]:.2f} hard, %{customdata[5]:.2f} soft<extra></extra>"
        ),
    }


def chosen_experts(trace: RoutingTrace, first: int, end: int) -> np.ndarray:
    """'experts 4 (0.57) 0 (0.43)' or 'did not route' for each cell, [layer, token] of strings."""
    ids = trace.expert_ids[:, first:end].reshape(-1, trace.expert_ids.shape[2]).tolist()
    weights = trace.expert_weights[:, first:end].reshape(-1, trace.expert_ids.shape[2]).tolist()
    ran = trace.width_ran[:, first:end]
    lines = np.empty(ran.size, dtype=object)
    for i, routed in enumerate(ran.ravel().tolist()):
        chosen = " ".join(f"{e} ({w:.2f})" for e, w in zip(ids[i], weights[i], strict=True)) if routed else ""
        lines[i] = f"experts {chosen}" if routed else "did not route"
    return lines.reshape(ran.shape)


def numbers(x: np.ndarray, y: np.ndarray, texts: list[str], colours: np.ndarray, **trace_fields) -> list[dict]:
    """Numbers on cells, one text trace per text colour: Plotly's own heat-map numbers are too weak on mid tones."""
    texts = np.asarray(texts, dtype=object)
    return [
        {
            "type": "scatter", "mode": "text", "x": x[colours == colour], "y": y[colours == colour],
            "text": texts[colours == colour], "textfont": {"size": 10, "color": colour}, "hoverinfo": "skip",
            "showlegend": False, **trace_fields,
        }
        for colour in np.unique(colours)
    ]  # fmt: skip


def strokes(x: np.ndarray, y: np.ndarray, view: View, half: float = 0.25, **trace_fields) -> dict:
    """One diagonal stroke per cell that did not run: a single line with breaks, so it stays vector in every export."""
    gap = np.full(len(x), np.nan)
    return {
        "type": "scatter", "mode": "lines", "name": "did not route", "hoverinfo": "skip", "showlegend": False,
        "line": {"width": 1, "color": THEMES[view.theme]["line"]},
        "x": np.stack([x - half, x + half, gap], axis=1).ravel(),
        "y": np.stack([y - half, y + half, gap], axis=1).ravel(),
        **trace_fields,
    }  # fmt: skip


def hatch(view: View) -> dict:
    """Marker of a bar that stands for 'did not run'."""
    c = THEMES[view.theme]
    pattern = {"shape": "/", "size": 6, "solidity": 0.18, "fgcolor": c["line"], "bgcolor": c["bg"]}
    return {"color": c["bg"], "pattern": pattern, "line": {"width": 1, "color": c["line"]}}
