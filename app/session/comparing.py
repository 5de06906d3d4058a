"""What the visitor has set beside the text: B, which is another text, model or training step, or no interventions."""

from collections.abc import Container
from dataclasses import dataclass

import streamlit as st

from analysis.catalogue import CATALOGUE, spec
from analysis.compare.pair import TracePair
from analysis.compare.texts import MINIMAL_PAIRS
from analysis.figures.figure_pair import FigurePair
from app.limits import LONGEST
from app.server import comparisons, models
from app.server.comparisons import Read
from app.session import own_texts, state, training_steps
from app.session.intervened import chosen_interventions, fitting
from app.texts.examples import PAIRS
from app.texts.prompts import PromptError, typed_prompt
from app.texts.text_link import text_from_link, text_to_link
from hooks.trace import RoutingTrace
from hooks.transplant_trace import TransplantTrace, why_no_transplant
from sample_models.intermediate_checkpoints import IntermediateCheckpoint

KEY, LINKED = "beside", "linked_beside"
WAY_KEY, TYPED_KEY, MODEL_KEY, STEP_KEY = "compare_way", "compare_typed", "compare_model", "compare_step"
"""Keys of the widgets of the page."""
FIGURE_KEY = "compare_figure"
"""Key of the figure that is drawn of A, of B and as B minus A."""
BESIDE = tuple(each for each in CATALOGUE if each.of is RoutingTrace)
"""Figures of one trace, which can be drawn so."""
FIRST_BESIDE = BESIDE[0].name
TEXT, PAIR, MODEL, STEP, OWN = "text", "pair", "model", "step", "own-choices"
WAYS = {TEXT: "Another text", MODEL: "Another model", STEP: "A training step", OWN: "Without interventions"}
LINK_KEY = "compare"
"""Name of B in an address."""
NUMBERED = "own."
"""Before the number of a typed text in an address."""
NOT_SET = "To draw this, choose above what to compare this text with."
GONE = "What this link compares the text with is not known here, so nothing is compared."
ELSEWHERE = (
    "The second text of this address is not in this tab, because typed texts stay in the tab where they were typed."
)


@dataclass(frozen=True)
class Beside:
    """B, as the session holds it."""

    kind: str
    """TEXT, PAIR, MODEL, STEP or OWN."""
    value: str = ""
    """The text, the id of the minimal pair, the name of the model, or the step."""


def beside() -> Beside | None:
    """What is set beside the text; None for nothing."""
    return st.session_state.get(KEY)


def set_beside(chosen: Beside) -> None:
    """Set B. If it cannot be traced, tell why and keep what was there."""
    try:
        _pair(chosen)
    except ValueError as error:
        state.tell_problem(state.why_refused(chosen.value if chosen.kind == MODEL else _model(), error))
        return
    _put(chosen)
    state.dismiss_problem()


def set_typed() -> None:
    """Set the text in the field for B."""
    try:
        set_beside(Beside(TEXT, typed_prompt(st.session_state.get(TYPED_KEY) or "").text))
    except PromptError as error:
        state.tell_problem(str(error))


def set_model() -> None:
    """Set the model chosen in the list for B."""
    if name := st.session_state.get(MODEL_KEY):
        set_beside(Beside(MODEL, name))


def set_step() -> None:
    """Set the training step chosen for B."""
    if (step := st.session_state.get(STEP_KEY)) is not None:
        set_beside(Beside(STEP, str(step)))


def set_pair(key: str) -> None:
    """Show the first text of a minimal pair, and set the second one beside it."""
    state.show(PAIRS[key])
    set_beside(Beside(PAIR, key))


def remove() -> None:
    """Set nothing beside the text."""
    for key in (KEY, LINKED, MODEL_KEY, STEP_KEY):
        st.session_state.pop(key, None)


def text_of_b() -> str:
    """The text of B, if B is another text; empty if it is not."""
    chosen = beside()
    return _text(chosen) if chosen and chosen.kind in (TEXT, PAIR) else ""


def fill_form() -> None:
    """Give the form, before it is drawn, what is set: the kind of B, and its text."""
    st.session_state.setdefault(WAY_KEY, TEXT)
    if TYPED_KEY not in st.session_state:
        st.session_state[TYPED_KEY] = text_of_b()


def fill_choice(key: str, options: list) -> None:
    """Give the list of models or of steps, before it is drawn, what is set, if that is one of its options."""
    chosen, kind = beside(), MODEL if key == MODEL_KEY else STEP
    value = chosen.value if chosen and chosen.kind == kind else None
    value = int(value) if value and kind == STEP else value
    st.session_state[key] = value if value in options else None


def other_models() -> list[str]:
    """The models that can be set beside the current one: no others than VersatileFFNs."""
    return [name for name in state.model_names() if name != _model() and models.is_versatile(name)]


def other_steps() -> list[IntermediateCheckpoint]:
    """The checkpoints of the current model that can be set beside it. ValueError if a file is damaged."""
    return training_steps.checkpoints()


def current_pair() -> TracePair:
    """The current text and B."""
    return _pair(beside())


def current_transplants() -> TransplantTrace:
    """The current text and B, each with the routing of the other."""
    return comparisons.transplants_of(*_both(beside()))


def figure_beside() -> tuple[str, dict[str, str]]:
    """Name of the figure that is drawn of A and of B, and its chosen option if it has any."""
    name = st.session_state.get(FIGURE_KEY) or FIRST_BESIDE
    choice, chosen = spec(name).choice, st.session_state.get(option_key(name))
    return name, {choice.option: chosen} if choice and chosen in choice.labels else {}


def option_key(figure: str) -> str:
    """Key of the widget with the option of a figure that is drawn of A and of B."""
    return f"compare-option-{figure}"


def forget_unless_offered(figure: str, offered: Container[str]) -> None:
    """Forget the option of a figure that is drawn of A and of B if these two do not have it."""
    key = option_key(figure)
    if st.session_state.get(key) is not None and st.session_state[key] not in offered:
        del st.session_state[key]


def current_figure_pair() -> FigurePair:
    """The figure that is drawn of A and of B, of both."""
    name, options = figure_beside()
    return comparisons.figure_pair_of(*_both(beside()), name, "".join(options.values()))


def why_none(kind: type) -> str | None:
    """Why figures of TracePair, FigurePair or TransplantTrace cannot be drawn now, in a sentence; None if they can."""
    if why_not := state.why_no_model():
        return why_not
    if beside() is None:
        return NOT_SET
    try:
        pair = current_pair()
    except ValueError as error:
        return f"This text cannot be compared with B: {state.why_refused(_model(), error)}"
    return why_no_transplant(pair.a, pair.b) if kind is TransplantTrace else None


def to_link() -> str:
    """B as an address holds it; empty for nothing. A typed text is named by a number, unless the link had it."""
    chosen = beside()
    if chosen is None:
        return ""
    if chosen.kind != TEXT:
        return f"{chosen.kind}.{chosen.value}" if chosen.value else chosen.kind
    text, value = st.session_state.get(LINKED, (None, None))
    return value if text == chosen.value else f"{NUMBERED}{own_texts.number_of(typed_prompt(chosen.value))}"


def own_text() -> str:
    """The text of B if the visitor typed it; empty if not."""
    chosen = beside()
    return chosen.value if chosen and chosen.kind == TEXT else ""


def link_with_text() -> dict[str, str]:
    """What a link with the visitor's own texts has for a typed B. ValueError if it is longer than LONGEST."""
    text = own_text()
    return {LINK_KEY: f"{TEXT}.{text_to_link(text)}"} if text else {}


def fits_into_link() -> bool:
    """Whether a typed B is short enough for a link."""
    return len(own_text()) <= LONGEST


def take_from_link(value: str | None, told: list[str]) -> None:
    """Set what an address says; of one that says nothing, nothing. What is not there is added to `told`."""
    if not value:
        remove()
        return
    kind, _, rest = value.partition(".")
    chosen: Beside | None = None
    if value.startswith(NUMBERED):
        found = own_texts.text_number(rest)
        chosen = Beside(TEXT, found.text) if found else None
        told += [] if found else [ELSEWHERE]
    elif kind == TEXT:
        try:
            chosen = Beside(TEXT, text_from_link(rest))
        except PromptError as error:
            told.append(str(error))
    elif _known(kind, rest):
        chosen = Beside(kind, rest)
    else:
        told.append(GONE)
    if chosen is None:
        remove()
        return
    _put(chosen)
    if kind == TEXT:
        st.session_state[LINKED] = chosen.value, value


def _known(kind: str, value: str) -> bool:
    """Whether a link can mean this: whether it can be traced too is told where it is drawn."""
    if kind == PAIR:
        return value in MINIMAL_PAIRS
    if kind == MODEL:
        return value in models.folders()
    return (kind == STEP and value.isdecimal() and len(value) < 10) or (kind == OWN and not value)


def _put(chosen: Beside) -> None:
    session = st.session_state
    session[KEY], session[WAY_KEY] = chosen, TEXT if chosen.kind == PAIR else chosen.kind
    if chosen.kind in (TEXT, PAIR):
        session[TYPED_KEY] = _text(chosen)


def _text(chosen: Beside) -> str:
    return MINIMAL_PAIRS[chosen.value].b if chosen.kind == PAIR else chosen.value


def _model() -> str:
    return st.session_state[state.MODEL_KEY]


def _pair(chosen: Beside) -> TracePair:
    """A and B. ValueError, in a sentence, if B cannot be traced."""
    a, b = _both(chosen)
    null = comparisons.paraphrases_of(a.model) if chosen.kind in (TEXT, PAIR) else ()
    return comparisons.pair_of(a, b, null)


def _both(chosen: Beside) -> tuple[Read, Read]:
    """What A and B are of. B is under those of the visitor's interventions that fit it, unless it is without them."""
    model, text = state.model_and_text()
    a = Read(model, text, state.interventions())
    if chosen.kind in (TEXT, PAIR):
        other = _text(chosen)
        return a, Read(model, other, fitting(chosen_interventions(), model, other))
    if chosen.kind == MODEL:
        if chosen.value == model:
            raise ValueError("it is the same model, choose another one")
        models.folder_of(chosen.value)
        return a, Read(chosen.value, text, fitting(chosen_interventions(), chosen.value, text))
    if chosen.kind == STEP:
        if int(chosen.value) not in {each.step for each in other_steps()}:
            raise ValueError(f"this model kept no weights of step {int(chosen.value):,}")
        return a, Read(model, text, a.interventions, int(chosen.value))
    if not a.interventions:
        raise ValueError("no intervention is active, so A is the model's own choices already")
    return a, Read(model, text)


GETTERS = {TracePair: current_pair, FigurePair: current_figure_pair, TransplantTrace: current_transplants}
"""Type of a result (`FigureSpec.of`) -> what gives the current one."""

__all__ = [
    "BESIDE", "FIGURE_KEY", "FIRST_BESIDE", "GETTERS", "LINK_KEY", "NOT_SET", "NUMBERED", "OWN", "STEP", "WAYS",
    "Beside", "beside", "current_figure_pair", "current_pair", "current_transplants", "figure_beside", "fill_choice",
    "fill_form", "fits_into_link", "forget_unless_offered",
    "link_with_text", "option_key", "other_models", "other_steps", "own_text", "remove",
    "set_beside", "set_model", "set_pair", "set_step", "set_typed", "take_from_link", "text_of_b", "to_link",
    "why_none",
]  # fmt: skip
