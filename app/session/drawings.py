"""The charts of the open page: the figure that Streamlit was given, its newer content, and the selection marks.

Streamlit throws a chart away and builds a new one whenever its figure changes. So while only the selection moves, it is
given the same figure again, and the browser side (`figure_bridge`) updates the chart in place.
"""

from dataclasses import dataclass, replace
from weakref import ReferenceType, ref

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from analysis.catalogue import Drawn, FigureSpec, OfTexts
from analysis.figures.figure_pair import FigurePair
from analysis.figures.fitting import fit, map_room
from analysis.figures.selection import moved, take_selection
from analysis.runs.map import TokenMap
from analysis.view import PAGE_PX, View, window_around
from app.session import state
from hooks.trace import RoutingTrace

STACKED_PX, COLUMN_GAP_PX, NARROW_WINDOW = 840, 15, 128
"""On a page narrower than STACKED_PX columns are stacked (as in frame.css), and maps draw NARROW_WINDOW tokens."""
REMEMBERED_PAGES = 4
"""Pages that were left whose drawings are remembered, for the visitor who comes back."""


@dataclass(frozen=True)
class Drawing:
    """A chart of the page, as it was last drawn."""

    number: int
    """Identifies the chart on the browser side, which reads it from layout.meta."""
    given_figure: go.Figure
    """The figure that Streamlit was given and is given again."""
    given_json: str
    newer_json: str | None
    """Plotly JSON that the browser side shows instead, if the content has ever changed since."""
    is_sentence: bool
    """Whether the figure is only a sentence that says why there is nothing to draw."""
    trace: ReferenceType[RoutingTrace]
    drawn: ReferenceType[Drawn]
    """Weak references, since the caches of `app.server.captures` decide how long captures stay in memory."""
    options: dict[str, str]
    view: View
    marks: list[dict]
    """Plotly shapes that mark the selection of `view`."""


def remember_marks(figure: str, marks: list[dict]) -> None:
    """Store a figure's selection marks for the browser side, which draws them over the chart after the run."""
    st.session_state.setdefault("marks", {})[figure] = marks


def take_marks() -> dict[str, list[dict]]:
    """Return the stored marks of all figures of this run, and remove them.

    Charts that this run did not draw were folded away. They are kept like those of a page that was left.
    """
    session = st.session_state
    marks = session.pop("marks", {})
    for key in session.drawings.keys() - marks.keys():
        session.drawings_before[key] = session.drawings.pop(key)
    return marks


def enter_page(page: str) -> bool:
    """Store which page is open; return whether this run entered it. Its charts are then new to the browser."""
    session = st.session_state
    session.pop("marks", None)  # of a run that did not come to its end, or of one panel alone
    left = session.get("open_page")
    if page == left:
        return False
    remembered = session.setdefault("drawings_of_left_pages", {})
    if left:
        remembered[left] = session.drawings
    session.open_page, session.drawings, session.drawings_before = page, {}, remembered.pop(page, {})
    if len(remembered) > REMEMBERED_PAGES:
        del remembered[next(iter(remembered))]
    return True


def measured_room() -> int:
    """Width of the page's column in pixels as the browser measured it; 0 if it is wide enough or not yet measured."""
    return st.session_state.get("room", 0)


def set_room(pixels: int) -> None:
    """Store the width that the browser measured, in pixels."""
    st.session_state.room = pixels


def page_room() -> int:
    """Width in pixels that the page has at least in this visitor's window."""
    return measured_room() or PAGE_PX


def figure_width(share: float = 1.0) -> float:
    """Width in pixels of a figure that takes `share` of the page's width: the whole width where columns are stacked."""
    room = page_room()
    return room if share == 1 or room < STACKED_PX else room * share - COLUMN_GAP_PX / 2


def page_view(share: float = 1.0) -> View:
    """The view of a figure that takes `share` of the page's width. In a narrow window, maps draw fewer tokens."""
    view = replace(state.current_view(), room=map_room(figure_width(share)))
    if page_room() >= STACKED_PX:
        return view
    return replace(view, window=window_around(view.token, state.current_trace().num_tokens, NARROW_WINDOW))


def drawing(key: str, spec: FigureSpec, drawn: Drawn, options: dict[str, str], share: float) -> Drawing:
    """The up-to-date chart of a figure of this page, drawn again only if what it shows has changed."""
    drawings, view = st.session_state.drawings, page_view(share)
    here, before = drawings.get(key), st.session_state.drawings_before.get(key)
    earlier: Drawing | None = here or (before if before and before.newer_json is None else None)
    unchanged = (
        earlier
        and earlier.drawn() is drawn
        and earlier.options == options
        and spec.seen(earlier.view) == spec.seen(view)
    )
    if unchanged:
        current = replace(earlier, view=view, marks=moved(earlier.marks, earlier.view, view))
    else:
        current = _draw(here, spec, drawn, view, options, share)
    drawings[key] = current
    remember_marks(key, current.marks)
    return current


def _draw(
    earlier: Drawing | None, spec: FigureSpec, drawn: Drawn, view: View, options: dict[str, str], share: float
) -> Drawing:
    """Draw a figure as a new chart or, where only the selection moved, as newer content of the earlier chart."""
    session, trace, figure = st.session_state, state.current_trace(), spec.figure(drawn, view, **options)
    fit(figure, figure_width(share))
    stays = (
        earlier
        and _of_one_text(earlier.trace(), trace)
        and (earlier.drawn() is drawn or not isinstance(drawn, OfTexts | TokenMap | FigurePair))  # of others
        and earlier.options == options
        and replace(earlier.view, layer=view.layer, token=view.token, checkpoint=view.checkpoint) == view
        and earlier.given_figure.layout.height == figure.layout.height
    )
    if stays:
        number = earlier.number
    else:
        number = session.drawings_made = session.get("drawings_made", 0) + 1
    marks, meta = take_selection(figure), figure.layout.meta or {}
    figure.layout.meta = {**meta, "drawing": number}
    _freeze_dict(figure)
    content = figure.to_json()
    given_figure, given_json = (earlier.given_figure, earlier.given_json) if stays else (figure, content)
    newer_json = content if stays and (earlier.newer_json or content != given_json) else None
    is_sentence = bool(meta.get("sentence"))
    return Drawing(
        number, given_figure, given_json, newer_json, is_sentence, ref(trace), ref(drawn), options, view, marks
    )


def _of_one_text(earlier: RoutingTrace | None, trace: RoutingTrace) -> bool:
    """Whether both traces are of one text in one model, be it under other interventions: their axes are the same."""
    if earlier is None or earlier is trace:
        return earlier is trace
    about = ("text", "weights_sha256", "dtype")
    return np.array_equal(earlier.token_ids, trace.token_ids) and all(
        earlier.meta.get(name) == trace.meta.get(name) for name in about
    )


def _freeze_dict(figure: go.Figure) -> None:
    """Cache a figure's dict: the figure no longer changes, and Streamlit would convert it in every run."""
    converted = figure.to_dict()
    figure.to_dict = lambda: converted


def redrawings() -> dict[int, str]:
    """Number of each chart of this page with newer content than Streamlit was given -> that content, as Plotly JSON."""
    return {drawing.number: drawing.newer_json for drawing in st.session_state.drawings.values() if drawing.newer_json}
