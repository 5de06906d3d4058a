"""The reader's list of prompts: what is known of each, and tracing it a few prompts at a time."""

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import pandas as pd
import streamlit as st

from analysis import parts
from analysis.figures.texts.prompts import MEASURES
from analysis.texts.summary import PromptSummary, PromptTable, as_numbers, column_names, grouping_columns, summary_table
from app.limits import MOST_TOKENS
from app.server import captures, queues
from app.server.uploads import is_table, prompts_of_upload
from app.session import state
from app.session.widgets import select_rows
from app.texts.examples import EXAMPLES
from app.texts.prompt_files import PromptList
from app.texts.prompts import Prompt, PromptError, opening
from hooks.trace import RoutingTrace

FILTER, QUANTITY, GROUPS = "prompt-filter", "prompts-choice", "prompt-groups"
"""Keys of what the reader looks for in a list, of what its picture shows, and of the column that groups its prompts."""
NO_GROUPS = "no groups"
TABLE = "prompt-table"
"""Key of the table of prompts: always the same, so that its order stays when its rows change."""
BATCH_PROMPTS, BATCH_CHARACTERS = 8, 8_000
"""Of a list, traced at a time: between two batches the page shows how far it is, and a stop takes effect."""
TEXT_CHARACTERS = 70
"""Of the beginning of a text in the table: more would be cut at the edge of a window of the usual width."""


def measures() -> list[str]:
    """The numbers of a prompt that the current model has, and whose picture can be chosen."""
    had = state.current_trace().parts
    found = [name for name in MEASURES if parts.SUMMARY.get(name) in (None, *had)]
    if st.session_state.get(QUANTITY) not in (None, *found):
        del st.session_state[QUANTITY]  # chosen for another model
    return found


def own_list() -> PromptList | None:
    """The list that the reader brought."""
    return st.session_state.get("prompt_list")


def read_upload(file_id: str, name: str, data: bytes, **how: str | None) -> PromptList:
    """The prompts of the file that is uploaded now, parsed once: pages draw it again at every click.

    `how` are the choices of `read_prompt_file`, which says what is raised. Kept are this file as it is read without
    choices, and as it was read last.
    """
    session, choices = st.session_state, tuple(how.items())
    kept = session.get("upload_read", {})
    if (found := kept.get((file_id, choices))) is None:
        try:
            with queues.upload_turn() if is_table(name) else nullcontext():
                found = prompts_of_upload(name, data, while_waiting=queues.stop_if_left, **how)
        except PromptError as error:
            found = error
        kept = {key: each for key, each in kept.items() if key == (file_id, ())}
        session.upload_read = {**kept, (file_id, choices): found}
    if isinstance(found, PromptError):
        raise found.with_traceback(None)
    return found


def forget_upload() -> None:
    """No file is uploaded any more."""
    st.session_state.pop("upload_read", None)


def prompt_list() -> PromptList:
    """The list that the reader brought; without one the examples."""
    return own_list() or PromptList("The examples", list(EXAMPLES.values()), [], [])


def take_list(found: PromptList) -> None:
    """Make these the prompts of the Prompts page. What is known of other texts is forgotten: memory is bounded."""
    session, texts = st.session_state, {prompt.text for prompt in found.prompts}
    session.prompt_list, session.tracing_list, session[FILTER] = found, False, ""
    session.summaries = {key: known for key, known in session.get("summaries", {}).items() if key[1] in texts}
    session.pop(GROUPS, None)
    state.dismiss_problem()  # of an earlier text
    forget_traces()


def forget_list() -> None:
    """Forget the reader's list and what is known of its texts."""
    for key in ("prompt_list", "summaries", FILTER, GROUPS):
        st.session_state.pop(key, None)
    st.session_state.tracing_list = False
    forget_traces()


def take_summaries(model: str, *, go_on: bool) -> None:
    """Take what the server still knows of a list that this model had traced; `go_on` has the rest traced anew."""
    session, texts = st.session_state, [prompt.text for prompt in prompt_list().prompts]
    found = {(model, text): known for text in texts if (known := captures.known_summary(model, text)) is not None}
    session.summaries = session.get("summaries", {}) | found
    session.tracing_list = go_on and len(found) < len(set(texts)) and st.query_params.get("model") == model


def prompt_summaries() -> list[PromptSummary | str | None]:
    """What is known of each prompt of the list by the current model: numbers, why there are none, or nothing yet."""
    known, model = st.session_state.get("summaries", {}), st.session_state[state.MODEL_KEY]
    return [known.get((model, prompt.text)) for prompt in prompt_list().prompts]


def prompt_table() -> tuple[pd.DataFrame, list[str]]:
    """The table of all prompts, and the names in it of the columns that the reader's file brought."""
    found = prompt_list()
    columns = column_names(found.others)
    rows = (
        (prompt.name, opening(prompt.text, TEXT_CHARACTERS), known)
        for prompt, known in zip(found.prompts, prompt_summaries(), strict=True)
    )
    return summary_table(rows, dict(zip(columns, found.others.values(), strict=True))), columns


def groupings(found: PromptList) -> list[str]:
    """The columns of a list, not yet taken, by which its prompts can be compared in groups."""
    columns = dict(zip(column_names(found.others), map(as_numbers, found.others.values()), strict=True))
    return grouping_columns(pd.DataFrame(columns), columns)


def chosen_grouping(table: pd.DataFrame, columns: list[str]) -> str | None:
    """The column by which the prompts are grouped: the chosen one, or else the first that groups them; None: none."""
    groups = grouping_columns(table, columns)
    chosen = st.session_state.get(GROUPS)
    if chosen == NO_GROUPS or not groups:
        return None
    return chosen if chosen in groups else groups[0]


def drawn_list() -> PromptTable:
    """The list as its figure takes it, to be exported."""
    table, columns = prompt_table()
    facts = state.model_facts()
    meta = {"model": facts.name, "weights_sha256": facts.weights_sha256, "gates_trained": facts.gates_trained}
    return PromptTable(prompt_list().name, table, chosen_grouping(table, columns), meta)


def untraced_prompts() -> list[Prompt]:
    """The prompts of the list that the current model has not read yet."""
    return [p for p, found in zip(prompt_list().prompts, prompt_summaries(), strict=True) if found is None]


def trace_list(go: bool) -> None:
    """Begin, or go on, to trace the list; or stop."""
    st.session_state.tracing_list = go


def tracing_list() -> bool:
    """Whether the list is being traced."""
    return st.session_state.get("tracing_list", False) and state.why_no_model() is None


def trace_next_prompts() -> None:
    """Trace the next few prompts of the list and keep one summary of each."""
    model, texts = st.session_state[state.MODEL_KEY], list(dict.fromkeys(prompt.text for prompt in untraced_prompts()))
    batch = prompt_batch(texts)
    known = st.session_state.setdefault("summaries", {})
    for text, found in zip(batch, list_traces(model, batch), strict=True):
        known[model, text] = captures.summary_of(model, text, found)


def list_traces(model: str, texts: list[str]) -> list[RoutingTrace | str]:
    """A trace of each text of the own list, or why there is none.

    Those of the first MOST_TOKENS tokens are kept for the pages over several texts, which read no more, until
    `forget_traces`: what is traced on one page is not traced again on another.
    """
    kept = st.session_state.setdefault("list_traces", {})
    if any(of_model != model for of_model, _ in kept):
        kept.clear()
    rest = [text for text in texts if (model, text) not in kept]
    found = dict(zip(rest, captures.traces_of(model, rest), strict=True)) if rest else {}
    tokens = sum(trace.num_tokens for trace in kept.values())
    for text, trace in found.items():
        if not isinstance(trace, str) and tokens + trace.num_tokens <= MOST_TOKENS:
            kept[model, text] = trace
            tokens += trace.num_tokens
    return [found[text] if text in found else kept[model, text] for text in texts]


def forget_traces() -> None:
    """Forget the traces of the list: they were studied, or there is another list."""
    st.session_state.pop("list_traces", None)


def mark_opened(shown: list[int]) -> None:
    """Mark the prompt that is shown on all pages in the table, whose rows are these prompts of the list."""
    prompts = prompt_list().prompts
    marked = [row for row, number in enumerate(shown) if prompts[number] == state.current_prompt()][:1]
    select_rows(TABLE, marked if state.trace_file() is None else [])


def prompt_batch(texts: Sequence[str]) -> list[str]:
    """The first of `texts` that are traced at a time, at least one."""
    sizes = np.cumsum([len(text) for text in texts])
    return list(texts[: max(1, min(BATCH_PROMPTS, int((sizes <= BATCH_CHARACTERS).sum())))])
