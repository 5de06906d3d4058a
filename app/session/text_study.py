"""The study of several texts, the sample texts or the visitor's own list: traced in batches, then studied together.

The study of the sample texts is shared by all visitors; that of the visitor's list is for the visitor who asked for it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import streamlit as st

from analysis.texts.sample_texts import SAMPLE_TEXTS
from analysis.texts.study import SAMPLES, study
from analysis.words.labels import how_many
from app.limits import MOST_TOKENS
from app.server import captures, sample_studies
from app.server.sample_studies import StudyKey, TextStudy
from app.session import run_study, state
from app.session.prompt_list import forget_traces, list_traces, own_list, prompt_batch, untraced_prompts
from hooks.trace import RoutingTrace

CHOICE_KEY = "studied"
SAMPLE, OWN, RUN = "sample", "own", "run"
LIST_STUDIED = "list_studied"
"""Key of whether a session before this one had studied the visitor's list."""


@dataclass
class Tracing:
    """How far the tracing of the texts has come, and its traces."""

    key: StudyKey
    traces: list[RoutingTrace] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """One sentence for each text that cannot be traced."""
    tokens: int = 0
    full: bool = False
    """Whether the next text would exceed `MOST_TOKENS`."""

    @property
    def done(self) -> int:
        """Texts that were traced or cannot be."""
        return len(self.traces) + len(self.problems)


def own_list_chosen() -> bool:
    """Whether pages over several texts study the visitor's own list instead of the sample texts."""
    return st.session_state.get(CHOICE_KEY) == OWN


def run_chosen() -> bool:
    """Whether pages over several texts study the run that the page Atlas shows."""
    return st.session_state.get(CHOICE_KEY) == RUN


def choose_texts(texts: str) -> None:
    """Have the pages over several texts study SAMPLE, OWN or RUN from now on."""
    st.session_state[CHOICE_KEY] = texts


def why_no_texts() -> str | None:
    """Why the chosen texts cannot be read; None if they can."""
    if own_list_chosen():
        return None if own_list() else "To draw this, bring a list of texts first."
    if state.model_facts().reads_ids:
        return "This model has no tokenizer and reads only token ids, so it cannot read the sample texts."
    return None


def why_nothing_to_study() -> str | None:
    """Why neither the chosen texts nor the chosen run can be studied; None if they can."""
    return run_study.why_none() if run_chosen() else why_no_texts()


def start_reading(go: bool = True) -> None:
    """Start to read the chosen texts (`go`), or stop. Traces stay until other texts or another model are chosen."""
    st.session_state[_reading_key()] = go


def is_reading() -> bool:
    """Whether the chosen texts are to be read now.

    Sample texts are read without being asked, and so is an own list that was traced already; another one, and a run,
    after the button.
    """
    at_once = not run_chosen() and (not own_list_chosen() or _list_is_traced())
    wanted = st.session_state.get(_reading_key(), at_once)
    return wanted and why_nothing_to_study() is None and finished_study() is None


def read_texts(progress: Callable[[float, str], None]) -> None:
    """Trace the chosen texts and study them. An interrupted call is resumed by the next one.

    `progress` is called with the share done, 0..1, and a sentence; an exception that it raises interrupts the call.
    """
    session = st.session_state
    if run_chosen():
        run_study.read(progress)
        session.pop(_reading_key(), None)
        return
    key, name = _study_key(), name_of_texts()
    tracing = session.get("study_tracing")
    if tracing is None or tracing.key != key:
        tracing = session.study_tracing = Tracing(key)
    model, texts = key
    while tracing.done < len(texts) and not tracing.full:
        progress(tracing.done / len(texts), f"{name}: {tracing.done:,} of {len(texts):,} texts traced…")
        _trace_batch(tracing, model, prompt_batch(texts[tracing.done :]))
    result = None
    if tracing.traces:
        message = f"{name}: comparing {len(tracing.traces):,} texts with each other and with chance…"
        result = study(tracing.traces, name=name, progress=lambda share: progress(share, message))
    finished = TextStudy(key, result, _left_out(tracing))
    if own_list_chosen():
        session.list_study = finished
        forget_traces()
        sample_studies.keep_list_study(name, finished)
    else:
        sample_studies.sample_studies()[model] = finished
    session.study_tracing = None
    session.pop(_reading_key(), None)


def finished_study() -> TextStudy | None:
    """The current model's study of the chosen texts, or that of the chosen run; None if they have not been read."""
    if run_chosen():
        return run_study.finished()
    if not own_list_chosen():
        return sample_studies.sample_studies().get(st.session_state[state.MODEL_KEY])
    session, found = st.session_state, own_list()
    if found and session.get(LIST_STUDIED):  # by the session before this one
        session[LIST_STUDIED] = False
        session.list_study = sample_studies.list_studies().get((found.name, _study_key()))
        session[_reading_key()] = session.list_study is None
    latest = session.get("list_study")
    return latest if latest and found and latest.key == _study_key() else None


def list_is_studied() -> bool:
    """Whether the visitor has had the list studied, in this session or the one before it."""
    session, found = st.session_state, own_list()
    if found is None:
        return False
    latest = session.get("list_study")
    return bool(session.get(LIST_STUDIED) or (latest and latest.key[1] == _texts_once()))


def why_not_studied() -> str | None:
    """Why figures of the study cannot be drawn; None if it is finished or being read."""
    if why_not := why_nothing_to_study():
        return why_not
    texts = "your list" if own_list_chosen() else "the sample"
    if finished := finished_study():
        if run_chosen():
            return None if finished.study else finished.left_out[0]
        return None if finished.study else f"This model can read none of the texts of {texts}."
    button = "Study this run" if run_chosen() else "Trace these texts"
    return None if is_reading() else f"Press the button {button} to draw this."


def name_of_texts() -> str:
    """Name of the chosen texts, for messages."""
    return own_list().name if own_list_chosen() else SAMPLES


def number_of_texts() -> int:
    """Number of the chosen texts, repeats included."""
    return len(own_list().prompts if own_list_chosen() else SAMPLE_TEXTS)


def chosen_texts() -> tuple[str, ...]:
    """The chosen texts, without repeats."""
    return _texts_once() if own_list_chosen() else tuple(dict.fromkeys(SAMPLE_TEXTS))


def _reading_key() -> str:
    """Key in the session of whether the chosen texts are to be read."""
    return f"reading-{st.session_state.get(CHOICE_KEY) or SAMPLE}"


def _study_key() -> StudyKey:
    return st.session_state[state.MODEL_KEY], chosen_texts()


def _texts_once() -> tuple[str, ...]:
    """The texts of the visitor's list, without repeats."""
    return tuple(dict.fromkeys(prompt.text for prompt in own_list().prompts))


def _list_is_traced() -> bool:
    """Whether every prompt of the own list was traced on its page."""
    return own_list() is not None and not untraced_prompts()


def _trace_batch(tracing: Tracing, model: str, texts: list[str]) -> None:
    for trace in list_traces(model, texts) if own_list_chosen() else captures.traces_of(model, texts):
        if isinstance(trace, str):
            tracing.problems.append(trace)
        elif tracing.tokens + trace.num_tokens > MOST_TOKENS:
            tracing.full = True
            return
        else:
            tracing.traces.append(trace)
            tracing.tokens += trace.num_tokens


def _left_out(tracing: Tracing) -> list[str]:
    """One sentence for each reason why texts were left out."""
    texts = len(tracing.key[1])
    prompts = len(own_list().prompts) if own_list_chosen() else texts
    sentences = []
    if prompts > texts:
        sentences.append(f"Repeated texts count once, which leaves out {how_many(prompts - texts, 'text')}.")
    if tracing.problems:
        sentences.append(
            f"This model cannot read {len(tracing.problems):,} of the texts. The first problem: {tracing.problems[0]}"
        )
    if tracing.full:
        rest = texts - tracing.done
        sentences.append(
            f"A study reads at most {MOST_TOKENS:,} tokens, which leaves out {how_many(rest, 'text')} at the end."
        )
    return sentences
