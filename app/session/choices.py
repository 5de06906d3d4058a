"""What the reader chose about how things are drawn: options of figures, and the colours of the token strip."""

import streamlit as st

from analysis.catalogue import FigureSpec

QUANTITY_KEY, SCOPE_KEY = "quantity", "scope"


def choice_key(found: FigureSpec) -> str:
    """Key of the widget with a figure's choice."""
    return f"{found.name}-choice"


def chosen_options(found: FigureSpec) -> dict[str, str]:
    """What the reader chose for a figure on its page, so that an export shows the same."""
    chosen = st.session_state.get(choice_key(found)) if found.choice else None
    return {found.choice.option: chosen} if chosen else {}


def set_colouring(quantity: str, *, entered: bool) -> None:
    """Colour the strip by a page's own quantity when the page is `entered`, unless the reader has chosen one."""
    session = st.session_state
    # A rerun that interrupts another one can drop the values of widgets that were not reached: then they start anew.
    lost = session.get(QUANTITY_KEY) is None or session.get(SCOPE_KEY) is None
    if lost or (entered and not session.get("quantity_chosen")):
        session[QUANTITY_KEY] = quantity
        session[SCOPE_KEY] = "layer" if quantity in ("Experts", "Loops") else "all"


def remember_colouring() -> None:
    """From now on the reader's choice of the colouring holds on every page."""
    st.session_state.quantity_chosen = True
