"""The study of the reader's own list: its texts are traced a few at a time, then studied together.

All of it is kept for the reader's session alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import streamlit as st

from analysis.study import Study, study
from app import shared, state
from app.prompt_list import own_list, prompt_batch
from hooks.trace import RoutingTrace

CHOICE_KEY = "studied"
SAMPLE, OWN = "sample", "own"
MOST_TOKENS = 10_000
"""Of one study: the texts that come first and fit are read. Half a minute's counting, and some megabytes of traces."""


@dataclass
class Reading:
    """How far the texts of a list have been traced."""

    asked: tuple[str, tuple[str, ...]]
    """Model, and the texts of the list, each once."""
    traces: list[RoutingTrace] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Why a text cannot be traced: one sentence for each that cannot."""
    tokens: int = 0
    full: bool = False
    """The next text has more tokens than the study has room for."""

    @property
    def read(self) -> int:
        return len(self.traces) + len(self.problems)


@dataclass(frozen=True)
class ListStudy:
    """A list that was read to its end."""

    asked: tuple[str, tuple[str, ...]]
    study: Study | None
    """None if not one of the texts can be traced."""
    left_out: list[str]
    """One sentence for each reason to leave texts out."""


def own_list_chosen() -> bool:
    """Whether pages over several texts are to study the reader's own list."""
    return st.session_state.get(CHOICE_KEY) == OWN


def start(go: bool = True) -> None:
    """Begin to read the list, or stop; what was traced is kept until another list or model is asked for."""
    st.session_state.reading_list = go


def reading_list() -> bool:
    """Whether the list is to be read to its end now."""
    return st.session_state.get("reading_list", False) and own_list() is not None and finished() is None


def read_list(progress: Callable[[float, str], None]) -> None:
    """Trace what is not traced yet, then study it. A list that was left in the middle goes on where it was.

    `progress` is told a share, 0..1, and of what; what it raises ends the reading.
    """
    session, asked, name = st.session_state, _asked(), own_list().name
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
    session.list_study, session.reading, session.reading_list = ListStudy(asked, found, _left_out(reading)), None, False


def finished() -> ListStudy | None:
    """The study of the list as it is now, by the current model; None while it was not read."""
    found = st.session_state.get("list_study")
    return found if found and own_list() and found.asked == _asked() else None


def why_not_studied() -> str | None:
    """Why there is no study of the reader's own list; None if there is one."""
    if own_list() is None:
        return "Drawn once you have brought a list."
    if (found := finished()) is None:
        return "Drawn once the texts of your list are read."
    return None if found.study else "Not one text of your list can be read by this model."


def _asked() -> tuple[str, tuple[str, ...]]:
    texts = dict.fromkeys(prompt.text for prompt in own_list().prompts)
    return st.session_state[state.MODEL_KEY], tuple(texts)


def _trace_batch(reading: Reading, model: str, texts: list[str]) -> None:
    for found in shared.traces_of(model, texts):
        if isinstance(found, str):
            reading.problems.append(found)
        elif reading.tokens + found.num_tokens > MOST_TOKENS:
            reading.full = True
            return
        else:
            reading.traces.append(found)
            reading.tokens += found.num_tokens


def _left_out(reading: Reading) -> list[str]:
    prompts, texts = len(own_list().prompts), len(reading.asked[1])
    said = []
    if prompts > texts:
        said.append(f"Texts that occur more than once count once: {prompts - texts:,} left out.")
    if reading.problems:
        said.append(f"{len(reading.problems):,} cannot be read by this model, the first because: {reading.problems[0]}")
    if reading.full:
        rest = texts - reading.read
        said.append(f"A study reads at most {MOST_TOKENS:,} tokens: the last {rest:,} of the list are left out.")
    return said
