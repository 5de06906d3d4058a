"""The visitor's what-if: setting and removing interventions, undo, redo, history, and the ones that are pinned."""

from contextlib import suppress

import streamlit as st

from analysis.what_if.comparison import Comparison
from analysis.what_if.joining import joined
from app.limits import MOST_INTERVENTIONS
from app.server import captures
from app.session import state
from app.session.intervened import (
    FUTURE,
    KEY,
    PAST,
    Interventions,
    chosen_interventions,
    fitting,
    misfits,
    put,
    sizes_of_trace,
)
from app.texts.what_if_link import from_link, to_link
from hooks.interventions import Intervention

PINNED_KEY = "pinned_interventions"
AGAINST_KEY = "what_if_against"
OWN, PINNED = "own", "pinned"
"""What the active interventions are compared with."""


def add(intervention: Intervention) -> None:
    """Set one more intervention, as `joined` puts it."""
    set_all(joined(chosen_interventions(), intervention))


def add_all(interventions: Interventions) -> bool:
    """Set several more, as one step that one undo takes back; return whether they could be."""
    together = chosen_interventions()
    for each in interventions:
        together = joined(together, each)
    return set_all(together)


def remove(intervention: Intervention) -> None:
    """Take one intervention away."""
    set_all(tuple(each for each in chosen_interventions() if each != intervention))


def switch_off() -> None:
    """Take all interventions away, which undo brings back."""
    set_all(())


def active() -> Interventions:
    """The interventions under which all pages show the current text."""
    return state.interventions()


def set_all(interventions: Interventions) -> bool:
    """Make these the visitor's interventions; return whether that could be done. If not, tell why and change nothing.

    The text is traced under them at once, so that a model that cannot run so is told here and not on every page.
    """
    if interventions == chosen_interventions():
        return True
    if why_not := _why_not(interventions):
        state.tell_problem(why_not)
        return False
    put(interventions)
    state.dismiss_problem()
    return True


def undo() -> None:
    """Go back one step."""
    _step(PAST, FUTURE)


def redo() -> None:
    """Take the last undo back."""
    _step(FUTURE, PAST)


def can_undo() -> bool:
    return bool(st.session_state.get(PAST))


def can_redo() -> bool:
    return bool(st.session_state.get(FUTURE))


def history() -> list[Interventions]:
    """What was set before, the newest first, each once, without what is set now."""
    past = dict.fromkeys(reversed(st.session_state.get(PAST, [])))
    return [each for each in past if each != chosen_interventions()]


def pin() -> None:
    """Keep the active interventions for others to be compared with, instead of those that were pinned before."""
    st.session_state[PINNED_KEY], st.session_state[AGAINST_KEY] = state.interventions(), OWN


def unpin() -> None:
    """Forget the pinned ones."""
    for key in (PINNED_KEY, AGAINST_KEY):
        st.session_state.pop(key, None)


def pinned() -> Interventions:
    """The pinned interventions that fit the current text; empty without any."""
    found: Interventions = st.session_state.get(PINNED_KEY, ())
    return fitting(found, *state.model_and_text()) if found and state.trace_file() is None else ()


def pinned_as_text() -> str:
    """The pinned interventions as a link has them; empty without any."""
    return to_link(st.session_state.get(PINNED_KEY, ()))


def pin_from_text(text: str) -> None:
    """Pin what `pinned_as_text` gave; of anything else, nothing."""
    with suppress(ValueError):
        st.session_state[PINNED_KEY] = from_link(text)


def compared_with() -> Interventions:
    """What the active interventions are compared with: the pinned ones, or none for the model's own choices."""
    return pinned() if st.session_state.get(AGAINST_KEY) == PINNED else ()


def current_comparison() -> Comparison:
    """The current text before and after the active interventions."""
    return captures.comparison_of(*state.model_and_text(), compared_with(), state.interventions())


def idle_interventions() -> dict[Intervention, str]:
    """The visitor's interventions that do not fit the current text or model -> why."""
    chosen = chosen_interventions()
    if not chosen or state.trace_file() is not None:
        return {}
    return misfits(chosen, sizes_of_trace(captures.trace_of(*state.model_and_text())))


def _step(back: str, forth: str) -> None:
    session, steps = st.session_state, st.session_state.get(back, [])
    if not steps:
        return
    if why_not := _why_not(steps[-1]):  # another text was chosen since
        state.tell_problem(why_not)
        return
    session[forth] = [*session.get(forth, []), chosen_interventions()]
    session[back], session[KEY] = steps[:-1], steps[-1]
    state.dismiss_problem()


def _why_not(interventions: Interventions) -> str | None:
    """Why the current text cannot be shown under these, in a sentence; None if it can. It is traced for that."""
    if len(interventions) > MOST_INTERVENTIONS:
        return f"At most {MOST_INTERVENTIONS} interventions can be active; remove one first."
    try:
        to_link(interventions)
        captures.trace_of(*state.model_and_text(), fitting(interventions, *state.model_and_text()))
    except ValueError as error:
        return state.why_refused(st.session_state[state.MODEL_KEY], error)
    return None
