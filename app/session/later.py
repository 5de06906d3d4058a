"""What a page draws after its figures because it takes longer than they do: meanwhile they are in sight."""

from collections.abc import Callable

import streamlit as st

from app.session.drawings import was_entered

KEY = "drawn_later"


def later(draw: Callable[[], None]) -> None:
    """Call `draw` in this place at the end of the run, or at once on a page that was just entered.

    There nothing stands in the place that could stay meanwhile, and what is below it would move.
    """
    place = st.container()
    if was_entered():
        with place:
            draw()
    else:
        st.session_state.setdefault(KEY, []).append((place, draw))


def draw_what_comes_later() -> None:
    """Draw what has to come at the end of the run."""
    for place, draw in st.session_state.pop(KEY, ()):
        with place:
            draw()


def forget_what_comes_later() -> None:
    """Forget what an earlier run did not come to: call this before a page is drawn."""
    st.session_state.pop(KEY, None)
