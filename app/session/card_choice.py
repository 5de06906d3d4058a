"""The card that the visitor looks at: which expert or number of loops of which layer, and which domains."""

import streamlit as st

from analysis.runs.cards import Card
from analysis.runs.choices import Choice
from analysis.runs.schema import Sizes
from app.server import run_cards
from app.session import run_choice

LAYER, KIND, EXPERT, LOOPS, TOKEN = "card_layer", "card_kind", "card_expert", "card_loops", "card_token"
"""Keys of the widgets that choose a card, and of the token whose occurrences are shown."""
COLUMN, FIRST, SECOND = "card_column", "card_first_domain", "card_second_domain"
"""Keys of the widgets that choose two domains."""
KINDS = {"width": "Expert", "depth": "Loops"}
"""Part of a model that makes a choice -> what is chosen."""
ANY = -1
"""In place of the id of a token: occurrences of any of them."""


def offered_kinds(sizes: Sizes) -> dict[str, str]:
    """The parts of KINDS that a model has."""
    return {part: name for part, name in KINDS.items() if part in sizes.parts}


def chosen_card(sizes: Sizes) -> Choice | None:
    """The chosen expert or number of loops, as far as the model has it; None if it chooses neither."""
    session, kinds = st.session_state, offered_kinds(sizes)
    if not kinds:
        return None
    layer = min(session.get(LAYER, 0), sizes.num_layers - 1)
    if session.get(KIND, next(iter(kinds))) == "width" and "width" in kinds:
        return Choice(layer, expert=min(session.get(EXPERT, 0), sizes.num_experts - 1))
    return Choice(layer, loops=min(session.get(LOOPS, sizes.max_loops), sizes.max_loops)) if "depth" in kinds else None


def keep_offered(sizes: Sizes) -> None:
    """Forget choices of another run that this one has not, before widgets show them."""
    session = st.session_state
    ends = {LAYER: sizes.num_layers - 1, EXPERT: sizes.num_experts - 1, LOOPS: sizes.max_loops}
    for key, end in ends.items():
        if session.get(key, 0) > end:
            del session[key]
    if session.get(KIND) not in (None, *offered_kinds(sizes)):
        del session[KIND]


def current_card() -> Card | None:
    """The card of the chosen run under its filter; None if there is no run, or its model chooses nothing. Raises
    RunError like `run_choice.current_run`."""
    run = run_choice.current_run()
    choice = chosen_card(run.sizes) if run else None
    return run_cards.card_of(run_choice.run_folder(), run_choice.chosen_filter(), choice) if choice else None


def chosen_token(card: Card) -> int | None:
    """The id of the token whose occurrences are shown, if it is on the card; None: any token."""
    chosen = st.session_state.get(TOKEN, ANY)
    return chosen if chosen in card.tokens["token_id"].to_numpy() else None


def choose_token(token_id: int) -> None:
    """Show the occurrences of a token."""
    st.session_state[TOKEN] = token_id


def keep_token(card: Card) -> None:
    """Forget the token of another card, before the widget shows it."""
    if chosen_token(card) is None:
        st.session_state.pop(TOKEN, None)


def chosen_column(columns: dict[str, list[str]]) -> str | None:
    """The column that names domains, as far as the run has it."""
    chosen = st.session_state.get(COLUMN)
    return chosen if chosen in columns else None


def keep_domains(columns: dict[str, list[str]]) -> None:
    """Forget domains that this run, or the column, has not; the two stay different ones."""
    session = st.session_state
    if session.get(COLUMN) not in (None, *columns):
        del session[COLUMN]
    values = columns[session.get(COLUMN, next(iter(columns)))]
    for key in (FIRST, SECOND):
        if session.get(key) not in (None, *values):
            del session[key]
    if session.get(FIRST, values[0]) == session.get(SECOND, values[1]):
        session.pop(SECOND, None)
        if session.get(FIRST, values[0]) == values[1]:
            session[SECOND] = values[0]


__all__ = [
    "ANY", "COLUMN", "EXPERT", "FIRST", "KIND", "KINDS", "LAYER", "LOOPS", "SECOND", "TOKEN", "choose_token",
    "chosen_card", "chosen_column", "chosen_token", "current_card", "keep_domains", "keep_offered", "keep_token",
    "offered_kinds",
]  # fmt: skip
