"""Fit a finished figure into less room than it was drawn for: the column of a paper, or a narrow window."""

import re

import plotly.graph_objects as go

from analysis.figures.template import LEFT

LINE_PX, LETTER_PX = 14, 5.7
NARROW_PX = 640
"""A map with less room than this gives a larger share of it to what stands beside its token axis."""
NARROW_LEFT, NARROW_BESIDE = 0.72, 0.76
ABOVE = ["paper", "paper", "bottom"]
"""Where a small line above a plot is anchored: xref, yref, yanchor."""


def map_room(width: float) -> int:
    """`View.room` of a figure that `fit` will make `width` pixels wide."""
    return round(width * NARROW_LEFT / LEFT if width < NARROW_PX else width)


def figure_px(room: int) -> float:
    """Width of a figure whose `View.room` this is."""
    return room if room >= NARROW_PX else room * LEFT / NARROW_LEFT


def fit(fig: go.Figure, width: float) -> None:
    """Arrange a figure for `width` pixels: what stands beside a map keeps its room, and no line is cut."""
    if width < NARROW_PX and fig.layout.meta and fig.layout.meta.get("map"):
        _divide_anew(fig)
    _fit_notes(fig, width)


def _divide_anew(fig: go.Figure) -> None:
    """Move the border between a map and what stands beside it, colour scale included."""
    beside = NARROW_BESIDE if fig.layout.xaxis2.anchor == "y" else NARROW_BESIDE + 0.04  # its own axis has labels
    fig.update_xaxes(domain=[0, NARROW_LEFT], selector=lambda axis: axis.domain and axis.domain[0] == 0)
    fig.layout.xaxis2.domain = [beside, 1]
    for cells in fig.select_traces({"type": "heatmap"}):
        if cells.showscale:
            cells.colorbar.update(x=(beside + 1) / 2, len=1 - beside)


def _fit_notes(fig: go.Figure, width: float) -> None:
    """Break the small lines above plots where two of them, or one and the edge, would run into each other."""
    margin = fig.layout.margin
    inner = width - margin.l - margin.r if margin.l is not None else width - 68
    # Read as plain dictionaries, and written only where it changes: each look into Plotly's own objects is slow.
    notes = [{"drawn": each, "yshift": 0} | each.to_plotly_json() for each in fig.layout.annotations]
    notes = [each for each in notes if [each.get(key) for key in ("xref", "yref", "yanchor")] == ABOVE]
    for y in {each["y"] for each in notes}:
        lines = 0
        for shift in sorted({each["yshift"] for each in notes if each["y"] == y}):
            row = [each for each in notes if (each["y"], each["yshift"]) == (y, shift)]
            texts = [_broken(each["text"], _letters_beside(fig, each, row, inner)) for each in row]
            for each, text in zip(row, texts, strict=True):
                if lines or text != each["text"]:
                    each["drawn"].update(text=text, align=each["xanchor"], yshift=shift + LINE_PX * lines)
            lines += max(text.count("<br>") for text in texts)
        if lines and y == 1:
            top = (margin.t or 30) + LINE_PX * lines
            fig.update_layout(height=fig.layout.height + LINE_PX * lines, margin={"t": top})


def _letters_beside(fig: go.Figure, note: dict, row: list[dict], inner: float) -> int:
    """Letters that a line of this note has room for beside the others of its row."""
    room = inner * (1 if _fit_beside(row, inner) else _share(note, row))
    if note["xanchor"] == "right" and note["y"] != 1:
        room = inner * (1 - fig.layout.xaxis2.domain[0]) + LETTER_PX  # the corner above the bars beside it
    return max(int(room / LETTER_PX), 8)


def _fit_beside(row: list[dict], inner: float) -> bool:
    """Whether the small lines at the two ends of a row fit beside each other as they are."""
    ends = {(each["x"], each["xanchor"]) for each in row} == {(0, "left"), (1, "right")}
    return ends and (sum(_letters(each["text"]) for each in row) + 2) * LETTER_PX <= inner


def _letters(text: str) -> int:
    """Letters of a line as they are seen: tags count nothing, `&amp;` counts one."""
    return len(re.sub(r"&\w+;", "&", re.sub(r"<[^>]*>", "", text)))


def _share(note: dict, row: list[dict]) -> float:
    """Part of the width that a small line has beside the others of its row."""
    if len(row) == 1:
        return 1.0
    if note["xanchor"] != "left":
        return 0.32
    following = min((other for other in row if other["x"] > note["x"]), key=lambda other: other["x"], default=None)
    if following is None:
        return 1 - note["x"]
    return following["x"] - note["x"] - 0.02 if following["xanchor"] == "left" else 0.66


def _broken(text: str, letters: int) -> str:
    """`text` with a line break before each word that would pass `letters`; tags count nothing and stay whole.

    A coloured mark stays with the first word of its name: a no-break space stands between them.
    """
    lines, length = [""], 0
    for word in re.findall(r"(?:<[^>]*>|[^ <])+ *", text):
        long = _letters(word.rstrip())
        if length and length + long > letters:
            lines, length = [*lines, ""], 0
        lines[-1] += word
        length += long + 1
    return "<br>".join(line.rstrip() for line in lines)


__all__ = ["NARROW_PX", "figure_px", "fit", "map_room"]
