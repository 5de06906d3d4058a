"""What every figure shares: the Plotly template, notes, tables beside a plot, and the token and layer axes."""

from collections.abc import Sequence
from functools import lru_cache

import plotly.graph_objects as go

from analysis.palette import THEMES
from analysis.runs.schema import Sizes
from analysis.view import View
from analysis.words.labels import named, plotly_text, token_labels
from hooks.trace import RoutingTrace

FONT = "'Source Sans', 'Source Sans 3', 'Source Sans Pro', Helvetica, Arial, sans-serif"
LEFT = 0.86
"""Share of a map's width that belongs to its token axis."""
MAP_MARGINS_PX = 64
FEWEST_COLUMNS = 16
"""A token axis has room for at least this many columns: the cells of a two-token text are not half a page wide."""
NAME_PX, NUMBER_PX = 9.5, 11.4
"""Width that a token needs for its name on the axis, and a cell of a map for its number: 90 and 75 fit on a page."""
ROW_PX, ROUND_ROWS_PX = 15, 84
"""Height of a row that is tall enough for a number, and of what stands above and below all rows."""
COUNTED = "token index"
COUNTS_PX = 46
"""Bottom margin of a token axis that counts."""
"""Title of a token axis that counts its tokens, since their names do not fit."""
SENTENCE = {"sentence": True}
"""Marks a figure that shows a sentence because there is nothing to draw: it needs no "how to read"."""
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
        "gridcolor": c["grid"], "gridwidth": 1, "tickfont": {"size": 12, "color": c["muted"]},
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
            "annotationdefaults": {"font": {"size": 12, "color": c["muted"]}, "showarrow": False},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": c["line"], "activecolor": c["ink"]},
        }
    )  # fmt: skip


def config(name: str) -> dict:
    """Plotly config: the mode bar saves an SVG under this file name; no logo and no zoom buttons."""
    clutter = ["zoom2d", "pan2d", "select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "resetScale2d"]
    return {
        "displaylogo": False,
        "displayModeBar": "hover",
        "modeBarButtonsToRemove": clutter,
        "toImageButtonOptions": {"format": "svg", "scale": 2, "filename": name},
    }


MINUS_SCRIPT = """
const figure = document.getElementById("{plot_id}");
const write_minus = () => {
  const locale = figure._fullLayout._d3locale, { numberFormat } = locale;
  if (locale.with_minus) return;
  locale.with_minus = true;
  locale.numberFormat = (form) => (value) => numberFormat(form)(value).replace("-", "\u2212");
};
write_minus();
figure.on("plotly_afterplot", write_minus);
"""
"""For figures that stand alone in a file: hover cards write the minus sign of axes and cells, as in the app."""


def figure(view: View, data: list[dict], *, clickable: bool = True, **layout) -> go.Figure:
    """Figure from plain dictionaries, in the view's theme."""
    meta = {"meta": TO_CELL} if clickable else {}
    content = {"data": data, "layout": {"template": template(view.theme), **meta, **layout}}
    # Plotly's check of every property is most of its work: the tests do it for every figure of the catalogue.
    fig = go.Figure(content, _validate=False)
    for part in (fig, fig.layout, *fig.data):
        part._validate = True  # later changes are checked
    return fig


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
    """A small line of text above a plot, in paper coordinates."""
    return {
        "text": text, "xref": "paper", "yref": "paper", "x": x, "y": y,
        "xanchor": anchor, "yanchor": "bottom", "yshift": 4,
    }  # fmt: skip


def height_of_rows(rows: int, least: int) -> int:
    """Height of a figure with numbers or dots in a row per layer: `least`, or more where they would not be read."""
    return max(least, ROW_PX * rows + ROUND_ROWS_PX)


def table_axis(left: float) -> dict:
    """Second x axis for a table beside a plot; `left`, where the table begins, and places on it: paper coordinates."""
    return {"domain": [left, 1], "range": [left, 1], "visible": False}


def table_cells(cells: list[tuple[str, float, float, str]]) -> list[dict]:
    """Text traces of a table on `table_axis`; a cell is (text, x, row of the plot, colour).

    Not annotations: thirty of these took Plotly longer than all the rest of a figure.
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
    """Words such as ", tokens 256 to 511 of 2,009" if only a part of the text is drawn; empty if all of it is."""
    return "" if end - first == num_tokens else f", tokens {first} to {end - 1} of {num_tokens:,}"


def quoted(trace: RoutingTrace, token: int) -> str:
    """The token's label in quotation marks, safe inside a figure."""
    return named(token_labels(trace)[token])


# Axes -----------------------------------------------------------------------------------------------------------------


def layer_axis(of: RoutingTrace | Sizes, view: View) -> dict:
    """Layers 0..n-1, layer 0 at the bottom (or left), at most 16 named, the selected one in bold."""
    return {
        "range": [-0.5, of.num_layers - 0.5],
        **layer_names(of.num_layers, view.layer),
        "title": {"text": "layer"},
        "tickangle": 0,
    }


def layer_names(count: int, selected: int) -> dict:
    """Ticks of an axis of layers 0..count-1 that name 16 of them at most, the last one always, `selected` in bold."""
    step = -(-count // 16)
    shown = [*range(0, count - step, step), count - 1]  # none so near to the last one that their names would touch
    return {
        "tickvals": shown,
        "ticktext": [f"<b>{layer}</b>" if layer == selected else str(layer) for layer in shown],
    }


def token_axis(trace: RoutingTrace, view: View) -> tuple[dict, int]:
    """Axis of the drawn tokens and the bottom margin that its labels need, in pixels."""
    first, end = view.span(trace.num_tokens)
    axis = {"range": [first - 0.5, max(end, first + FEWEST_COLUMNS) - 0.5], "tickfont": {"size": 11}}
    if not names_fit(view, end - first):
        step = next(step for step in (25, 50, 100, 250, 500, 10**9) if (end - first) / step <= 16)
        ticks = list(range(-(-first // step) * step, end, step))
        return axis | {"tickvals": ticks, "ticktext": [str(t) for t in ticks], "title": {"text": COUNTED}}, COUNTS_PX
    names, bottom = _names(trace, view)
    return axis | names, bottom


def every_nth_name(trace: RoutingTrace, view: View, step: int) -> tuple[dict, int]:
    """Ticks of a token axis that name every `step`-th token, and the bottom margin that they need, in pixels.

    For pictures that nobody can point at: a page tells the names of the tokens between in hover cards.
    """
    ticks, bottom = _names(trace, view, step)
    nth = {2: "2nd", 3: "3rd"}.get(step, f"{step}th")
    return ticks | {"title": {"text": f"token, every {nth} is named"}}, bottom + 20


def _names(trace: RoutingTrace, view: View, step: int = 1) -> tuple[dict, int]:
    first, end = view.span(trace.num_tokens)
    shown, labels = range(first, end, step), token_labels(trace)[first:end:step]
    texts = [_tick(label, bool(trace.special[token])) for token, label in zip(shown, labels, strict=True)]
    if view.token in shown:
        at = shown.index(view.token)
        texts[at] = f"<b>{texts[at]}</b>"
    return {"tickvals": list(shown), "ticktext": texts, "tickangle": -90}, _names_px(labels)


def _names_px(labels: Sequence[str]) -> int:
    return max(16 + round(6.8 * max(len(_readable(label)) for label in labels)), 30)


def any_names_px(trace: RoutingTrace) -> int:
    """The bottom margin that is enough for the token axis of any part of the text, in pixels."""
    return max(_names_px(token_labels(trace)), COUNTS_PX)


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
    """A label for vertical text, where the signs of spaces and tabs look like brackets: a word follows them."""
    for sign, word in (("␣", "space"), ("⇥", "tab")):
        if label.startswith(sign) and not label.strip(f"{sign}×0123456789"):
            return f"{label} {word}"
    return label
