"""The charts of the open page: what Streamlit was given, what they show by now, and the marks of the selection."""

from dataclasses import dataclass, replace
from weakref import ReferenceType, ref

import plotly.graph_objects as go
import streamlit as st

from analysis.catalogue import Drawn, FigureSpec
from analysis.figures.fitting import fit, map_room
from analysis.figures.selection import moved, take_selection
from analysis.texts.study import Study
from analysis.view import PAGE_PX, View, window_around
from app.session import state
from hooks.trace import RoutingTrace

STACKED_PX, COLUMN_GAP_PX, NARROW_WINDOW = 840, 15, 128
"""Below this room the columns of a page are stacked (frame.css says the same), and maps draw so many tokens at once."""
KEPT_PAGES = 4
"""So many pages that were left keep what was drawn, for the reader who comes back."""


@dataclass(frozen=True)
class Drawing:
    """A chart of the page, as it was last drawn."""

    number: int
    """In the chart's layout.meta, so that the browser side knows it."""
    first: go.Figure
    """What Streamlit was given: the chart stays in the browser, and later contents are put into it there."""
    first_content: str
    now: str | None
    """Plotly JSON that stands there by now, if it ever became another than the first."""
    is_sentence: bool
    """Whether there is nothing to draw, and one sentence says why."""
    trace: ReferenceType[RoutingTrace]
    drawn: ReferenceType[Drawn]
    """By reference only: how long captures are kept is for `app.server.captures` to say."""
    options: dict[str, str]
    view: View
    marks: list[dict]
    """Of the selection in `view`."""


def remember_marks(figure: str, marks: list[dict]) -> None:
    """Keep the selection marks of a figure of this run for the browser side, which draws them over it."""
    st.session_state.setdefault("marks", {})[figure] = marks


def taken_marks() -> dict[str, list[dict]]:
    """The marks of all figures of this run, once."""
    return st.session_state.pop("marks", {})


def enter_page(page: str) -> bool:
    """Note the page that is open; whether it was entered with this run. Its charts are then new to the browser."""
    session = st.session_state
    left = session.get("open_page")
    if page == left:
        return False
    kept = session.setdefault("kept_drawings", {})
    if left:
        kept[left] = session.drawings
    session.open_page, session.drawings, session.drawings_before = page, {}, kept.pop(page, {})
    if len(kept) > KEPT_PAGES:
        del kept[next(iter(kept))]
    return True


def measured_room() -> int:
    """Pixels across that the browser told of the page; 0 while it has not, or if figures have all that they want."""
    return st.session_state.get("room", 0)


def set_room(pixels: int) -> None:
    """Take what the browser measured."""
    st.session_state.room = pixels


def page_room() -> int:
    """Pixels across that the page has at least, in this reader's window."""
    return measured_room() or PAGE_PX


def figure_width(share: float = 1.0) -> float:
    """Pixels that a figure has which takes `share` of the page's width: all of it where columns are stacked."""
    room = page_room()
    return room if share == 1 or room < STACKED_PX else room * share - COLUMN_GAP_PX / 2


def page_view(share: float = 1.0) -> View:
    """The view of a figure that takes `share` of the page's width. In a narrow window, maps draw fewer tokens."""
    view = replace(state.current_view(), room=map_room(figure_width(share)))
    if page_room() >= STACKED_PX:
        return view
    return replace(view, window=window_around(view.token, state.current_trace().num_tokens, NARROW_WINDOW))


def drawing(key: str, spec: FigureSpec, drawn: Drawn, options: dict[str, str], share: float) -> Drawing:
    """The chart of a figure of this page up to date, drawn again only if what it shows has changed."""
    drawings, view = st.session_state.drawings, page_view(share)
    here, before = drawings.get(key), st.session_state.drawings_before.get(key)
    kept: Drawing | None = here or (before if before and before.now is None else None)
    unchanged = kept and kept.drawn() is drawn and kept.options == options and spec.seen(kept.view) == spec.seen(view)
    if unchanged:
        made = replace(kept, view=view, marks=moved(kept.marks, kept.view, view))
    else:
        made = _draw(here, spec, drawn, view, options, share)
    drawings[key] = made
    remember_marks(key, made.marks)
    return made


def _draw(
    kept: Drawing | None, spec: FigureSpec, drawn: Drawn, view: View, options: dict[str, str], share: float
) -> Drawing:
    """Draw a figure, for a chart of its own or, where only the selection moved, for the chart that is there.

    Streamlit throws a chart away and builds a new one whenever its content differs. So for a selection that moves, the
    chart that the page first drew is handed over again, and `redrawings` tells the browser side what it shows by now.
    """
    session, trace, figure = st.session_state, state.current_trace(), spec.figure(drawn, view, **options)
    fit(figure, figure_width(share))
    stays = (
        kept
        and kept.trace() is trace
        and (kept.drawn() is drawn or not isinstance(drawn, Study))  # another study speaks of other texts
        and kept.options == options
        and replace(kept.view, layer=view.layer, token=view.token, checkpoint=view.checkpoint) == view
        and kept.first.layout.height == figure.layout.height
    )
    if stays:
        number = kept.number
    else:
        number = session.drawings_made = session.get("drawings_made", 0) + 1
    marks, meta = take_selection(figure), figure.layout.meta or {}
    figure.layout.meta = {**meta, "drawing": number}
    _settle(figure)
    content = figure.to_json()
    first, first_content = (kept.first, kept.first_content) if stays else (figure, content)
    now = content if stays and (kept.now or content != first_content) else None
    says = bool(meta.get("sentence"))
    return Drawing(number, first, first_content, now, says, ref(trace), ref(drawn), options, view, marks)


def _settle(figure: go.Figure) -> None:
    """Take a figure apart once: it stays as it is, and Streamlit would do it again in every run."""
    apart = figure.to_dict()
    figure.to_dict = lambda: apart


def redrawings() -> dict[int, str]:
    """Charts of this page that by now show another content than Streamlit has: their number -> Plotly JSON."""
    return {drawing.number: drawing.now for drawing in st.session_state.drawings.values() if drawing.now}
