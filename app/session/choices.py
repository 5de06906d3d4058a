"""The visitor's choices about drawing: options of figures, and what the token strip is coloured by."""

from collections.abc import Container, Sequence

import streamlit as st

from analysis.catalogue import CATALOGUE, FigureSpec

QUANTITY_KEY, SCOPE_KEY = "quantity", "scope"
SCOPES = ("all", "layer")


def choice_key(figure_spec: FigureSpec) -> str:
    """Key of the widget with a figure's choice, which may stand at another figure."""
    return f"{figure_spec.choice.set_at or figure_spec.name}-choice"


def sets_others(figure_spec: FigureSpec) -> bool:
    """Whether the figure's control also sets the choice of other figures."""
    return any(each.choice and each.choice.set_at == figure_spec.name for each in CATALOGUE)


def draw_others() -> None:
    """Remember, before a figure is drawn with a new choice, that others must be drawn with it."""
    st.session_state.draw_others = True


def others_must_be_drawn() -> bool:
    """Whether a choice has changed that other figures share; only the first call after the change says so."""
    return st.session_state.pop("draw_others", False)


def chosen_options(figure_spec: FigureSpec) -> dict[str, str]:
    """The options that the visitor chose for a figure on its page; exports use them too."""
    chosen = st.session_state.get(choice_key(figure_spec)) if figure_spec.choice else None
    by_page = {name: st.session_state.get(f"{figure_spec.name}-{name}") for name in figure_spec.set_by_page}
    options = {figure_spec.choice.option: chosen} if chosen else {}
    return options | {name: value for name, value in by_page.items() if value is not None}


def forget_unless_offered(figure_spec: FigureSpec, offered: Container[str]) -> None:
    """Forget the choice of a figure that the current model does not have."""
    key = choice_key(figure_spec)
    if st.session_state.get(key) is not None and st.session_state[key] not in offered:
        del st.session_state[key]


def set_colouring(quantity: str, *, entered: bool, offered: Sequence[str]) -> None:
    """Colour the strip by the page's `quantity` when the page is `entered`, unless the visitor has chosen one.

    A quantity that is not `offered` for the current model gives way to the first that is.
    """
    session = st.session_state
    quantity = quantity if quantity in offered else offered[0]
    if session.get(QUANTITY_KEY) not in (None, *offered):
        session[QUANTITY_KEY] = None
    # A rerun that interrupts another can drop the values of widgets that it had not reached.
    lost = session.get(QUANTITY_KEY) is None or session.get(SCOPE_KEY) is None
    given = session.pop("colouring_given", False)
    if lost or (entered and not given and not session.get("quantity_chosen")):
        session[QUANTITY_KEY] = quantity
        session[SCOPE_KEY] = "layer" if quantity in ("Experts", "Loops") else "all"
        session.scope_chosen = False


def remember_colouring() -> None:
    """Keep the visitor's choice of colouring on every page from now on."""
    st.session_state.quantity_chosen = True


def remember_scope() -> None:
    """Note that the visitor has chosen the layers by which this page is coloured."""
    st.session_state.scope_chosen = True


def shown_scope() -> str:
    """Of which layers a strip of tokens shows loops: one of SCOPES."""
    return st.session_state.get(SCOPE_KEY) or "all"


def shown_colouring() -> tuple[str | None, str]:
    """By what the strip is coloured, None before it was drawn, and of which layers: one of SCOPES."""
    return st.session_state.get(QUANTITY_KEY), shown_scope()


def chosen_colouring() -> list | None:
    """Quantity, scope, and whether they hold for every page; None unless the visitor has chosen one of them."""
    session = st.session_state
    if not session.get("quantity_chosen") and not session.get("scope_chosen"):
        return None
    return [session.get(QUANTITY_KEY), session.get(SCOPE_KEY), bool(session.get("quantity_chosen"))]


def give_colouring(quantity: str, scope: str, *, for_good: bool) -> None:
    """Colour the strip as `chosen_colouring` says: on the page that is open or opened next, `for_good` on all."""
    session = st.session_state
    session[QUANTITY_KEY], session[SCOPE_KEY] = quantity, scope
    session.quantity_chosen, session.scope_chosen, session.colouring_given = for_good, True, True
