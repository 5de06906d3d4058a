"""Knock-outs of the current text and of several texts: what the visitor chose, measuring them, and what is known."""

import streamlit as st

from analysis.catalogue import CATALOGUE
from analysis.texts.knock_out import KnockOutStudy, knock_out_study
from app.limits import MOST_TOKENS
from app.server import knock_outs as server
from app.server.models import ModelError
from app.session import choices, state, text_study
from app.texts.prompts import PromptError
from hooks.knock_out_trace import STAGES, KnockOutTrace, Path, Then

THEN_KEY = "knock-out-then"
THENS: dict[Then, str] = {"repick": "Router picks another", "kept": "Leave a hole", "mean": "Mean of the others"}
"""What may follow a drop in the width path -> its label; the first is the default."""
_MAP = next(each for each in CATALOGUE if each.of is KnockOutTrace)
"""The main figure, at which the path is chosen."""
_RUNNING, _RUNNING_TEXTS, _PROBLEMS = "knock_outs_run", "knock_out_texts_run", "knock_out_problems"


def chosen_then() -> Then:
    """What follows a drop in the width path."""
    return st.session_state.get(THEN_KEY) or next(iter(THENS))


def chosen_path() -> Path:
    """The path whose map is shown."""
    return _MAP.choice.chosen(choices.chosen_options(_MAP))


# The current text ----------------------------------------------------------------------------------------------------


def current_knock_outs() -> KnockOutTrace | None:
    """What is measured of the current text so far, by any visitor; None if nothing is."""
    return server.known_knock_outs(_key())


def why_none() -> str | None:
    """Why figures of the current text's knock-outs cannot be drawn; None if they can."""
    if current_knock_outs() is not None:
        return None
    return "The first experts are being dropped." if is_running() else "Press the button Drop experts to draw this."


def start() -> None:
    """Begin, or go on, to measure the current text."""
    st.session_state[_RUNNING] = _key()


def stop() -> None:
    """Stop measuring; what was measured stays."""
    st.session_state[_RUNNING] = None


def is_running() -> bool:
    """Whether the current text is being measured for this visitor."""
    return state.why_no_model() is None and st.session_state.get(_RUNNING) == _key()


def share_measured() -> float:
    """How much of the current text is measured, 0..1."""
    return server.share_measured(_key(), STAGES)


def current_stage() -> str | None:
    """The stage that is measured now or next; None if all are finished."""
    return next((stage for stage in STAGES if server.share_measured(_key(), (stage,)) < 1), None)


def measure() -> None:
    """Measure for a moment. If that ends it, or the text cannot be traced, nothing is running any more."""
    try:
        server.measure_knock_outs(_key(), STAGES)
    except (PromptError, ModelError) as error:
        state.tell_problem(str(error))
        stop()
    if current_stage() is None:
        stop()


def _key() -> server.Key:
    return *state.model_and_text(), chosen_then()


# Several texts -------------------------------------------------------------------------------------------------------


def start_texts() -> None:
    """Begin, or go on, to measure the chosen texts in the chosen path."""
    st.session_state[_RUNNING_TEXTS] = _texts_key()


def stop_texts() -> None:
    """Stop measuring the texts; what was measured stays."""
    st.session_state[_RUNNING_TEXTS] = None


def texts_are_running() -> bool:
    """Whether the chosen texts are being measured for this visitor."""
    return text_study.why_no_texts() is None and st.session_state.get(_RUNNING_TEXTS) == _texts_key()


def texts_measured() -> tuple[int, int]:
    """How many of the chosen texts are measured in the chosen path, or cannot be, and how many there are."""
    done = sum(text in _problems() or _is_measured(text) for text in _texts())
    return done, len(_texts())


def share_of_texts() -> float:
    """How much of the chosen texts is measured in the chosen path, 0..1."""
    shares = [
        1.0 if text in _problems() else server.share_measured(_key_of(text), (chosen_path(),)) for text in _texts()
    ]
    return sum(shares) / max(len(shares), 1)


def problems_of_texts() -> list[str]:
    """Why some of the chosen texts are left out: a sentence each."""
    return [problem for text, problem in _problems().items() if text in _texts()]


def measure_texts() -> None:
    """Measure the next of the chosen texts for a moment. A text that cannot be traced is left out."""
    text = next((each for each in _texts() if each not in _problems() and not _is_measured(each)), None)
    if text is None:
        stop_texts()
        return
    try:
        server.measure_knock_outs(_key_of(text), (chosen_path(),))
    except PromptError as error:
        _problems()[text] = str(error)
    except ModelError as error:
        state.tell_problem(str(error))
        stop_texts()


def current_study() -> KnockOutStudy | None:
    """What the texts that were measured in the chosen path say together; None if none was."""
    session, found, tokens = st.session_state, [], 0
    for text in _texts():
        if _is_measured(text) and (known := server.known_knock_outs(_key_of(text))) is not None:
            tokens += known.routing.num_tokens
            if tokens > MOST_TOKENS:
                break
            found.append(known)
    if not found:
        return None
    before = session.get("knock_out_study")
    if (
        before is None
        or len(before[0]) != len(found)
        or any(a is not b for a, b in zip(*(before[0], found), strict=True))
    ):
        session.knock_out_study = found, knock_out_study(found, name=text_study.name_of_texts())
    return session.knock_out_study[1]


def why_no_study() -> str | None:
    """Why figures of several texts cannot be drawn; None if they can."""
    if why_not := text_study.why_no_texts():
        return why_not
    if any(map(_is_measured, _texts())):
        return None
    return "The first text is being measured." if texts_are_running() else "Press the button Measure these texts."


def _texts() -> tuple[str, ...]:
    return text_study.chosen_texts() if text_study.why_no_texts() is None else ()


def _key_of(text: str) -> server.Key:
    return st.session_state[state.MODEL_KEY], text, chosen_then()


def _texts_key() -> tuple:
    return st.session_state[state.MODEL_KEY], _texts(), chosen_then(), chosen_path()


def _is_measured(text: str) -> bool:
    return server.share_measured(_key_of(text), (chosen_path(),)) == 1


def _problems() -> dict[str, str]:
    """Text -> why the current model cannot read it."""
    return st.session_state.setdefault(_PROBLEMS, {}).setdefault(st.session_state[state.MODEL_KEY], {})
