"""The study of several texts, the sample texts or the reader's own list: traced a few at a time, then studied together.

What comes of the sample texts is the same for every reader and shared; the reader's own stays in their session.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import streamlit as st

from analysis.texts.sample_texts import SAMPLE_TEXTS
from analysis.texts.study import SAMPLES, study
from app.server import captures, text_studies
from app.server.text_studies import Asked, TextStudy
from app.session import state
from app.session.prompt_list import own_list, prompt_batch
from hooks.trace import RoutingTrace

CHOICE_KEY = "studied"
SAMPLE, OWN = "sample", "own"
MOST_TOKENS = 10_000
"""Of one study: the texts that come first and fit are read. Half a minute's counting, and some megabytes of traces."""


@dataclass
class Reading:
    """How far the texts have been traced."""

    asked: Asked
    traces: list[RoutingTrace] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Why a text cannot be traced: one sentence for each that cannot."""
    tokens: int = 0
    full: bool = False
    """The next text has more tokens than the study has room for."""

    @property
    def read(self) -> int:
        return len(self.traces) + len(self.problems)


def own_list_chosen() -> bool:
    """Whether pages over several texts are to study the reader's own list."""
    return st.session_state.get(CHOICE_KEY) == OWN


def why_no_texts() -> str | None:
    """Why there is nothing to read; None if there is."""
    if own_list_chosen():
        return None if own_list() else "Drawn once you have brought a list."
    if state.model_facts().reads_ids:
        return "This model has no tokenizer: it reads token ids, and so cannot read the sample texts."
    return None


def start(go: bool = True) -> None:
    """Begin to read the chosen texts, or stop; what was traced is kept until other texts or models are asked for."""
    st.session_state[_wish()] = go


def reading_texts() -> bool:
    """Whether the chosen texts are to be read now: the sample at once, an own list when the reader asks for it."""
    wished = st.session_state.get(_wish(), not own_list_chosen())
    return wished and why_no_texts() is None and finished() is None


def read_texts(progress: Callable[[float, str], None]) -> None:
    """Trace what is not traced yet, then study it. A reading that was left in the middle goes on where it was.

    `progress` is told a share, 0..1, and of what; what it raises ends the reading.
    """
    session, asked, name = st.session_state, _asked(), name_of_texts()
    reading = session.get("reading")
    if reading is None or reading.asked != asked:
        reading = session.reading = Reading(asked)
    model, texts = asked
    while reading.read < len(texts) and not reading.full:
        progress(reading.read / len(texts), f"{name}: {reading.read:,} of {len(texts):,} texts traced…")
        _trace_batch(reading, model, prompt_batch(texts[reading.read :]))
    found = None
    if reading.traces:
        said = f"{name}: comparing {len(reading.traces):,} texts with each other and with chance…"
        found = study(reading.traces, name=name, progress=lambda done: progress(done, said))
    done = TextStudy(asked, found, _left_out(reading))
    if own_list_chosen():
        session.list_study = done
    else:
        text_studies.sample_studies()[model] = done
    session.reading = None
    session.pop(_wish(), None)


def finished() -> TextStudy | None:
    """The study of the chosen texts as they are now, by the current model; None while they were not read."""
    if not own_list_chosen():
        return text_studies.sample_studies().get(st.session_state[state.MODEL_KEY])
    found = st.session_state.get("list_study")
    return found if found and own_list() and found.asked == _asked() else None


def why_not_studied() -> str | None:
    """Why there is no study of the chosen texts; None if there is one, or one is made when it is asked for."""
    if why_not := why_no_texts():
        return why_not
    texts = "your list" if own_list_chosen() else "the sample"
    if found := finished():
        return None if found.study else f"Not one text of {texts} can be read by this model."
    return None if reading_texts() else f"Drawn once the texts of {texts} are read."


def name_of_texts() -> str:
    """What the chosen texts are called."""
    return own_list().name if own_list_chosen() else SAMPLES


def number_of_texts() -> int:
    """Of the chosen texts, as they were given."""
    return len(own_list().prompts if own_list_chosen() else SAMPLE_TEXTS)


def _wish() -> str:
    """Key of the reader's wish to read the chosen texts, or to stop."""
    return f"reading-{OWN if own_list_chosen() else SAMPLE}"


def _asked() -> Asked:
    texts = (prompt.text for prompt in own_list().prompts) if own_list_chosen() else SAMPLE_TEXTS
    return st.session_state[state.MODEL_KEY], tuple(dict.fromkeys(texts))


def _trace_batch(reading: Reading, model: str, texts: list[str]) -> None:
    for found in captures.traces_of(model, texts):
        if isinstance(found, str):
            reading.problems.append(found)
        elif reading.tokens + found.num_tokens > MOST_TOKENS:
            reading.full = True
            return
        else:
            reading.traces.append(found)
            reading.tokens += found.num_tokens


def _left_out(reading: Reading) -> list[str]:
    texts = len(reading.asked[1])
    prompts = len(own_list().prompts) if own_list_chosen() else texts
    said = []
    if prompts > texts:
        said.append(f"Texts that occur more than once count once: {prompts - texts:,} left out.")
    if reading.problems:
        said.append(f"{len(reading.problems):,} cannot be read by this model, the first because: {reading.problems[0]}")
    if reading.full:
        rest = texts - reading.read
        said.append(f"A study reads at most {MOST_TOKENS:,} tokens: {rest:,} left out at the end.")
    return said
