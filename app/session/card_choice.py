"""The card that the visitor looks at: which expert or number of loops of which layer, and which domains."""

from typing import Any

import pandas as pd
import streamlit as st

from analysis.runs.about import DomainContrast, Saturated, Specialised
from analysis.runs.cards import Card
from analysis.runs.choices import Choice
from analysis.runs.domains import domain_columns, domain_difference
from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.run import Run
from analysis.runs.schema import Sizes
from analysis.runs.specialisation import specialisation
from app.server import runs
from app.server.cards import card_of
from app.server.saturations import saturation_of
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
    if "depth" not in kinds:
        return None
    loops = session.get(LOOPS)
    return Choice(layer, loops=loops if loops and loops <= sizes.max_loops else sizes.max_loops)


def keep_offered(sizes: Sizes) -> None:
    """Choose what `chosen_card` says where nothing is chosen, or what this run has not, before widgets show it."""
    session, kinds = st.session_state, offered_kinds(sizes)
    offered = {LAYER: range(sizes.num_layers), EXPERT: range(sizes.num_experts), LOOPS: range(1, sizes.max_loops + 1)}
    for key, values in offered.items():
        if session.get(key) not in values:
            session[key] = values[-1] if key in session or key == LOOPS else values[0]
    if session.get(KIND) not in kinds:
        session[KIND] = next(iter(kinds))


def current_card() -> Card | None:
    """The card of the chosen run under its filter; None if there is no run, or its model chooses nothing. Raises
    RunError like `run_choice.current_run`."""
    run = run_choice.current_run()
    choice = chosen_card(run.sizes) if run else None
    return card_of(run_choice.run_folder(), choice, run_choice.chosen_filter()) if choice else None


def chosen_token(card: Card) -> int | None:
    """The id of the token whose occurrences are shown, if it is on the card; None: any token."""
    chosen = st.session_state.get(TOKEN, ANY)
    return chosen if chosen in card.tokens["token_id"].to_numpy() else None


def keep_token(card: Card) -> None:
    """Forget the token of another card, before the widget shows it."""
    if chosen_token(card) is None:
        st.session_state.pop(TOKEN, None)


def domain_values() -> dict[str, list[str]]:
    """Column of the chosen run's prompts -> its values: each column that tells domains apart."""
    return runs.answer(run_choice.run_folder(), domain_columns)


def chosen_domains(columns: dict[str, list[str]]) -> tuple[str, str, str]:
    """The column and the two domains, as far as the run has them; the two are different ones."""
    session = st.session_state
    column = session.get(COLUMN) if session.get(COLUMN) in columns else next(iter(columns))
    values = columns[column]
    first = session.get(FIRST) if session.get(FIRST) in values else values[0]
    others = [each for each in values if each != first]
    return column, first, session.get(SECOND) if session.get(SECOND) in others else others[0]


def keep_domains(columns: dict[str, list[str]]) -> None:
    """Choose what `chosen_domains` says, before widgets show it."""
    for key, value in zip((COLUMN, FIRST, SECOND), chosen_domains(columns), strict=True):
        if st.session_state.get(key) != value:
            st.session_state[key] = value


def current_contrast() -> DomainContrast | None:
    """The two domains of the chosen run, set against each other; None if it has no two."""
    run, columns, chosen = run_choice.current_run(), domain_values(), run_choice.chosen_filter()
    choice = chosen_card(run.sizes)
    if not columns or choice is None:
        return None
    column, first, second = chosen_domains(columns)
    table = runs.answer(run_choice.run_folder(), domain_difference, column, first, second, chosen)
    return DomainContrast(**_about_run(run), column=column, first=first, second=second, layer=choice.layer, table=table)


def current_specialised() -> Specialised:
    """What the layers of the chosen run follow."""
    run, columns = run_choice.current_run(), domain_values()
    column = chosen_domains(columns)[0] if columns else None
    table = runs.answer(run_choice.run_folder(), _specialised, run_choice.chosen_filter(), column)
    return Specialised(**_about_run(run), column=column, table=table)


def current_saturated() -> Saturated:
    """How early the other runs of the same texts agree with the chosen one; no filter applies."""
    about = _about_run(run_choice.current_run()) | {"chosen": ALL_TOKENS}
    return Saturated(**about, table=saturation_of(run_choice.run_folder()))


def _about_run(run: Run) -> dict[str, Any]:
    return {"run": run_choice.run_name(), "meta": run.meta, "chosen": run_choice.chosen_filter()}


def _specialised(run: Run, chosen: TokenFilter, column: str | None) -> pd.DataFrame:
    return specialisation(run, chosen, column=column)


def part_clicked(what: Any, value: Any, layer: Any) -> None:
    """What a click on a part of a figure about a run does: it opens a card, or shows the tokens behind the part.

    The arguments come from the browser: what the chosen run does not have is left out.
    """
    if what != "card":
        run_choice.look_behind(what, value, layer)
        return
    try:
        run = run_choice.current_run()
        choice = Choice(
            TokenFilter.from_json({"layer": layer}).layer, expert=TokenFilter.from_json({"expert": value}).expert
        )
        choice.check(run.sizes)
    except (ValueError, TypeError, AttributeError):
        return
    st.session_state[LAYER], st.session_state[KIND], st.session_state[EXPERT] = choice.layer, "width", choice.expert


GETTERS = {
    Card: current_card,
    DomainContrast: current_contrast,
    Specialised: current_specialised,
    Saturated: current_saturated,
}
"""Type of what the figures of the page are drawn from -> what gives it."""

__all__ = [
    "ANY", "COLUMN", "EXPERT", "FIRST", "GETTERS", "KIND", "KINDS", "LAYER", "LOOPS", "SECOND", "TOKEN", "chosen_card",
    "chosen_domains", "chosen_token", "current_card", "current_contrast", "current_saturated", "current_specialised",
    "domain_values", "keep_domains", "keep_offered", "keep_token", "offered_kinds", "part_clicked",
]  # fmt: skip
