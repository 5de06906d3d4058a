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
OWN, PINS = "own", ("pinned", "pinned-2")
"""What the active interventions are compared with: the model's own choices, or one of those that are pinned."""


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
    """Keep the active interventions, to compare others with them; of two that are pinned the earlier makes room."""
    kept = [each for each in _pinned() if each != state.interventions()]
    st.session_state[PINNED_KEY] = (*kept[-(len(PINS) - 1) :], state.interventions())
    st.session_state[AGAINST_KEY] = OWN


def unpin(number: int) -> None:
    """Forget one of the pinned ones."""
    kept = tuple(each for place, each in enumerate(_pinned()) if place != number)
    st.session_state[PINNED_KEY], st.session_state[AGAINST_KEY] = kept, OWN


def compare_pins() -> None:
    """Make the second pinned ones active, compared with the first."""
    if set_all(_pinned()[1]):
        st.session_state[AGAINST_KEY] = PINS[0]


def pinned() -> list[Interventions]:
    """The pinned ones, in the order of PINS, as far as they fit the current text; none while a trace file is open."""
    if not _pinned() or state.trace_file() is not None:
        return []
    return [fitting(each, *state.model_and_text()) for each in _pinned()]


def pinned_as_json() -> list[str]:
    """The pinned interventions, each as a link has them."""
    return [to_link(each) for each in _pinned()]


def pin_from_json(found: object) -> None:
    """Pin what `pinned_as_json` gave; of anything else, nothing."""
    texts = found if isinstance(found, list) else [found]  # one text in links of earlier versions
    with suppress(ValueError):
        st.session_state[PINNED_KEY] = tuple(from_link(text) for text in texts[: len(PINS)] if isinstance(text, str))


def fill_choice() -> None:
    """Compare with the model's own choices unless something is chosen: a reload brings back the pins alone."""
    st.session_state.setdefault(AGAINST_KEY, OWN)


def compared_with() -> Interventions:
    """What the active interventions are compared with: pinned ones, or none for the model's own choices."""
    against, kept = st.session_state.get(AGAINST_KEY), pinned()
    return kept[PINS.index(against)] if against in PINS[: len(kept)] else ()


def _pinned() -> tuple[Interventions, ...]:
    return st.session_state.get(PINNED_KEY, ())


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
