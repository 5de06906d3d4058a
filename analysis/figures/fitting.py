"""Fits a finished figure into less width than it was drawn for: a column of a paper, or a narrow window."""

import re

import plotly.graph_objects as go

from analysis.figures.template import LEFT

LINE_PX, LETTER_PX = 15, 6.2
MARGINS_PX = 74
"""Above and below the plot of a figure with named rows."""
NARROW_PX = 640
"""A narrower map gives a larger share of its width to the plots beside its token axis."""
NARROW_LEFT, NARROW_BESIDE = 0.72, 0.76
NAME_LETTERS, NAMES_PX = 16, 112
"""Letters in a line of the names of rows in a narrow figure, and the left margin for them."""
UNBROKEN_LETTERS = 44
"""A longer part of a note is a sentence, which may be broken between its words."""
PLAIN_MARKS = "┈┊┄━┃│□○●×◥▲╱"
"""Marks that have the colour of the words."""
ABOVE = ["paper", "paper", "bottom"]
"""xref, yref and yanchor of the notes above plots."""


def map_room(width: float) -> int:
    """`View.room` of a figure that `fit` will make `width` pixels wide."""
    return round(width * NARROW_LEFT / LEFT if width < NARROW_PX else width)


def figure_px(room: int) -> float:
    """Width of the figure that has this `View.room`: the inverse of `map_room`."""
    return room if room >= NARROW_PX else room * LEFT / NARROW_LEFT


def row_names(names: list[str], room: int, margin: int, height: int) -> tuple[list[str], int, int]:
    """Names of the rows of a figure, its left margin and its height; in a narrow figure the names are broken.

    There they would leave no room for the plot. `margin` and `height` are those of a wide figure.
    """
    if figure_px(room) >= NARROW_PX:
        return names, margin, height
    names = ["<br>".join(_broken(line, NAME_LETTERS) for line in name.split("<br>")) for name in names]
    row_px = LINE_PX * max(name.count("<br>") + 1 for name in names) + 3
    return names, NAMES_PX, max(height, len(names) * row_px + MARGINS_PX)


def corner_lines(text: str, room: int, beside: float, margins: int) -> int:
    """Lines that `fit` will make of a note above the bars beside a map, which begin at the share `beside`."""
    inner = figure_px(room) - margins
    return 1 + _broken(text, _letters_in_corner(inner, beside if room >= NARROW_PX else NARROW_BESIDE)).count("<br>")


def fit(fig: go.Figure, width: float) -> None:
    """Arrange a figure for `width` pixels: plots beside a map stay wide enough, and notes are broken, not cut."""
    if width < NARROW_PX and fig.layout.meta and fig.layout.meta.get("map"):
        _widen_side_plots(fig)
    if width < NARROW_PX and fig.layout.showlegend and fig.layout.legend.title.text:
        fig.layout.legend.title.side = "top"  # beside its entries it would push the last ones over the edge
    _fit_notes(fig, width)


def _widen_side_plots(fig: go.Figure) -> None:
    """Move the border between a map and the plots and colour bar beside it."""
    beside = NARROW_BESIDE if fig.layout.xaxis2.anchor == "y" else NARROW_BESIDE + 0.08  # its own axis has labels
    fig.update_xaxes(domain=[0, NARROW_LEFT], selector=lambda axis: axis.domain and axis.domain[0] == 0)
    fig.layout.xaxis2.domain = [beside, 1]
    for cells in fig.select_traces({"type": "heatmap"}):
        if cells.showscale:
            cells.colorbar.update(x=(beside + 1) / 2, len=1 - beside)


def _fit_notes(fig: go.Figure, width: float) -> None:
    """Break the notes above plots where they would overlap each other or the edge."""
    margin = fig.layout.margin
    inner = width - margin.l - margin.r if margin.l is not None else width - 68
    # Plain dictionaries, because every access to Plotly's own objects is slow.
    notes = [{"drawn": annotation, "yshift": 0} | annotation.to_plotly_json() for annotation in fig.layout.annotations]
    notes = [note for note in notes if [note.get(key) for key in ("xref", "yref", "yanchor")] == ABOVE]
    for y in {note["y"] for note in notes}:
        lines = 0
        for shift in sorted({note["yshift"] for note in notes if note["y"] == y}):
            row = [note for note in notes if (note["y"], note["yshift"]) == (y, shift)]
            texts = [_broken(note["text"], _letters_beside(fig, note, row, inner)) for note in row]
            if all(note["xanchor"] == "left" for note in row):  # heads of plots side by side begin at one height
                texts = _of_equal_height(texts)
            for note, text in zip(row, texts, strict=True):
                if lines or text != note["text"]:
                    note["drawn"].update(text=text, align=note["xanchor"], yshift=shift + LINE_PX * lines)
            lines += max(text.count("<br>") for text in texts)
        if lines and y == 1:
            top = (margin.t or 30) + LINE_PX * lines
            fig.update_layout(height=fig.layout.height + LINE_PX * lines, margin={"t": top})


def _of_equal_height(texts: list[str]) -> list[str]:
    """The texts with as many lines as the longest one: notes stand on their last line, so empty ones follow."""
    most = max(text.count("<br>") for text in texts)
    return [text + "<br>\u00a0" * (most - text.count("<br>")) for text in texts]


def _letters_beside(fig: go.Figure, note: dict, row: list[dict], inner: float) -> int:
    """Letters that fit into a line of this note beside the others of its row."""
    room = inner * (1 if _fit_beside(row, inner) else _share(note, row))
    if note["xanchor"] == "right" and note["y"] != 1:
        return _letters_in_corner(inner, fig.layout.xaxis2.domain[0])
    return max(int(room / LETTER_PX), 8)


def _letters_in_corner(inner: float, beside: float) -> int:
    """Letters that fit into a line above the bars that begin at the share `beside` of the plots' `inner` pixels."""
    return max(int((inner * (1 - beside) + LETTER_PX) / LETTER_PX), 8)


def _fit_beside(row: list[dict], inner: float) -> bool:
    """Whether the row is a left and a right note that fit beside each other in one line."""
    ends = {(note["x"], note["xanchor"]) for note in row} == {(0, "left"), (1, "right")}
    return ends and (sum(_letters(note["text"]) for note in row) + 2) * LETTER_PX <= inner


def _letters(text: str) -> int:
    """Visible letters of a line: tags count nothing, `&amp;` counts one."""
    return len(re.sub(r"&\w+;", "&", re.sub(r"<[^>]*>", "", text)))


def _share(note: dict, row: list[dict]) -> float:
    """Share of the width that a note has beside the others of its row."""
    if len(row) == 1:
        return 1.0
    if note["xanchor"] != "left":
        return 0.32
    following = min((other for other in row if other["x"] > note["x"]), key=lambda other: other["x"], default=None)
    if following is None:
        return 1 - note["x"]
    return following["x"] - note["x"] - 0.02 if following["xanchor"] == "left" else 0.66


def _broken(text: str, letters: int) -> str:
    """`text` broken into lines of at most `letters` letters; tags count nothing and are not broken.

    A mark stays with the first word of its name: a no-break space joins them, or is put between them. A name of up to
    `UNBROKEN_LETTERS`, which two spaces divide from the next one, stays in one line if it fits. A dot that divides two
    parts begins the line of the second.
    """
    lines, length, begins = [""], 0, True
    joined = re.sub(rf"(?<![^ >])([{PLAIN_MARKS}·]) (?=\S)", "\\1\u00a0", text)
    for found in re.finditer(r"(?:<[^>]*>|[^ <])+ *", joined):
        word = found.group()
        long = _letters(word.rstrip())
        name = _letters(joined[found.start() :].split("  ")[0]) if begins else long
        whole = name if name <= min(letters, UNBROKEN_LETTERS) else long
        begins = word.endswith("  ")
        if length and length + whole > letters:
            lines, length = [*lines, ""], 0
        lines[-1] += word
        length += long + 1
    return "<br>".join(line.rstrip() for line in lines) if len(lines) > 1 else text


__all__ = ["LINE_PX", "NARROW_PX", "corner_lines", "figure_px", "fit", "map_room", "row_names"]
