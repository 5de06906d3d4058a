"""What the visitor's browser tab keeps of the session: own texts, the list of prompts, choices, what was asked for.

A session of the server ends with a reload, a restart, or two minutes without a connection. The tab (its sessionStorage,
see `app.components.keeper`) keeps what cannot be had from the address, and gives it to the session that follows. The
server itself stores nothing. Tabs do not share it, and it goes when the tab is closed.
"""

import json
import os
import secrets
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.limits import MAX_CHARACTERS, MAX_DECODED_MB, MOST_KEPT
from app.session import kept_choices, notes, own_run, own_texts, prompt_list, state, text_study
from app.session.comparing import LINK_KEY, NUMBERED
from app.session.prompt_list import own_list
from app.texts.kept_prompts import list_from_json, list_to_json, texts_from_json, texts_to_json
from app.texts.packing import packed, unpacked

KEEP_VARIABLE = "VERSATILEFFN_KEEP"
"""Environment variable that is "no" where browsers are to keep nothing, set by whoever starts the server."""
ENDED = "The server ended your session. A new one has begun where you were"
DAMAGED = "What this tab kept is partly damaged; everything that could be read is back."


@dataclass(frozen=True)
class ForTheTab:
    """What the tab is told in one run of the script."""

    session: str
    """Random name of this session: the tab gives back what it kept when it sees another one."""
    restored: bool
    """Whether this session has taken back what the tab kept."""
    waits: bool
    """Whether the page waits for the tab's answer, even if it kept nothing."""
    work: str | None
    """Texts and choices to keep; None removes them."""
    list_number: int
    """Number of the list to keep; 0 for none."""
    list: str | None
    """The list; None once the tab has it."""


def is_on() -> bool:
    """Whether the tab may keep anything."""
    return os.environ.get(KEEP_VARIABLE) != "no"


def awaits_tab() -> bool:
    """Whether the address names a text that only the tab can give, which has not answered yet."""
    session, link = st.session_state, st.query_params
    return (
        "prompt" not in session
        and "restored_from_tab" not in session
        and is_on()
        and ("own" in link or link.get(LINK_KEY, "").startswith(NUMBERED))
    )


def for_the_tab() -> ForTheTab:
    """What the tab is to keep now. Call this at the end of a run."""
    session = st.session_state
    name = session.setdefault("session_name", secrets.token_hex(8))
    restored, waits = "restored_from_tab" in session, awaits_tab()
    if waits or not is_on():
        return ForTheTab(name, restored, waits, None, 0, None)
    work, (before, kept) = _work(), session.get("kept_work", (None, None))
    if work != before:
        kept = packed(json.dumps(work)) if work else None
        session.kept_work = work, kept
    number, whole = _list_to_keep()
    return ForTheTab(name, restored, False, kept, number, None if session.get("list_in_tab") == number else whole)


def note_stored(number: int, stored: bool) -> None:
    """The tab has stored the list of this number, or has no room for it."""
    st.session_state.list_in_tab, st.session_state.list_stored = number, stored


def list_is_kept() -> bool:
    """Whether the tab keeps the visitor's list."""
    session = st.session_state
    return own_list() is not None and is_on() and session.get("list_stored", True) and _list_to_keep()[1] is not None


def take_back(answer: Any) -> None:
    """Take back what the tab kept: {"work", "list": as `for_the_tab` gave them or None, "ended": bool}.

    What is damaged is told and left out.
    """
    session, answer = st.session_state, answer if isinstance(answer, dict) else {}
    if "restored_from_tab" in session:
        return
    told = []
    for part, take in (("list", _take_list), ("work", _take_work)):  # what is known of the list is in "work"
        if is_on() and isinstance(value := answer.get(part), str):
            try:
                take(value)
            except (ValueError, RecursionError):
                told = [DAMAGED]
    if answer.get("ended") is True:
        back = is_on() and (answer.get("work") or answer.get("list"))
        told.append(ENDED + ("; your texts, list and choices are back." if back else "."))
    session.restored_from_tab = True
    session.told_by_tab = " ".join(told)


def tell_what_came_back() -> None:
    """Show above the page what `take_back` has to tell, once."""
    if told := st.session_state.pop("told_by_tab", ""):
        state.tell_problem(" ".join(filter(None, (told, state.problem()))), kept=False)


def forget() -> None:
    """Forget the visitor's texts, list and run, here and in the tab, and show the example.

    Choices and selection stay, but for the list's choice for studies.
    """
    for key in ("kept_list", "list_in_tab"):
        st.session_state.pop(key, None)
    own_run.forget()
    own_texts.forget_texts()
    notes.forget()
    prompt_list.forget_list()
    text_study.choose_texts(text_study.SAMPLE)
    state.forget_text()


def _work() -> dict[str, Any]:
    session, work = st.session_state, {}
    if texts := own_texts.texts_by_number():
        work["texts"] = texts_to_json(texts)
    typed = session.get(state.TYPED_KEY)
    if typed and typed != state.current_prompt().text and len(typed) <= MAX_CHARACTERS:
        work["typed"] = typed
    if chosen := kept_choices.chosen():
        work["choices"] = chosen
    if notes.all_notes():
        work["notes"] = notes.as_json()
    if asked := kept_choices.asked():
        work["asked"] = asked
    if (found := own_list()) and (model := session[state.MODEL_KEY]):
        traced = sum(known is not None for known in prompt_list.prompt_summaries())
        work |= {"traced": [model, traced == len(found.prompts) or prompt_list.tracing_list()]} if traced else {}
    return work


def _list_to_keep() -> tuple[int, str | None]:
    """Number and content of the visitor's list, packed once; (0, None) without one, no content if it is too large."""
    session, found = st.session_state, own_list()
    if found is None:
        return 0, None
    before, number, whole = session.get("kept_list", (None, 0, None))
    if before is not found:
        whole = packed(list_to_json(found))
        number, whole = number + 1, whole if len(whole) <= MOST_KEPT else None
        session.kept_list = found, number, whole
        session.list_stored = True
    return number, whole


def _take_list(value: str) -> None:
    session = st.session_state
    prompt_list.take_list(list_from_json(unpacked(value, MAX_DECODED_MB * 2**20)))
    session.kept_list, session.list_in_tab = (own_list(), 1, value), 1


def _take_work(value: str) -> None:
    work = json.loads(unpacked(value, MAX_DECODED_MB * 2**20))
    work = work if isinstance(work, dict) else {}
    own_texts.take_texts(texts_from_json(work.get("texts", [])))
    if isinstance(typed := work.get("typed"), str):
        st.session_state[state.TYPED_KEY] = typed
    if isinstance(kept := work.get("notes"), str):
        notes.take(kept)
    kept_choices.choose(work.get("choices"))
    kept_choices.ask_again(work.get("asked"))
    match work.get("traced"):
        case [str(model), bool(whole)] if own_list():
            prompt_list.take_summaries(model, go_on=whole)
