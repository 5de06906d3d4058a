"""What the browser's tab keeps of the visitor's work: the part that talks to the tab, and the switch to forget."""

import streamlit as st

from app.components.keeper import keeper
from app.session import kept_work, link, own_run, pending
from app.session.prompt_list import own_list


def keep_in_tab(page: str) -> None:
    """Give the tab what it is to keep, and take back what it kept. Call this at the end of a run."""
    told = kept_work.for_the_tab()
    keeper(page, told, link.address_to_replace(), _given_back, _stored)


def fetch_from_tab(page: str) -> None:
    """Where the address names a text that only the tab has, ask for it and end the run; the answer begins the next."""
    if not kept_work.awaits_tab():
        return
    st.caption("Fetching your text from this tab…")
    keep_in_tab(page)
    st.stop()


def forget_button() -> None:
    """What is kept where, and the button to forget it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if not kept_work.is_on():
            kept = "This server keeps nothing for you, so a reload forgets your texts."
        elif own_list() and not kept_work.list_is_kept():
            kept = (
                "This tab keeps your texts until you close it. Your list is too large to keep, so a reload forgets it."
            )
        else:
            kept = "This tab keeps your texts until you close it; no server stores them."
        if own_run.is_there():
            kept += " For now the server has the file of your run, and the run; both end with this session."
        st.caption(kept, width="stretch")
        st.button("Forget my texts", key="forget", type="tertiary", on_click=pending.callback(kept_work.forget))


def _given_back(answer) -> None:
    kept_work.take_back(answer)


def _stored(answer) -> None:
    kept_work.note_stored(answer.get("number"), answer.get("stored") is True)
