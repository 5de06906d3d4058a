"""The last files made for the export dialog, so that they are not made again while the dialog is open."""

import streamlit as st


def store(key: tuple, content: bytes) -> None:
    """Store a file under a key whose first item is its kind; only the last file of each kind is stored."""
    st.session_state.exported = {**st.session_state.get("exported", {}), key[0]: (key, content)}


def stored(key: tuple) -> bytes | None:
    """The file stored under exactly this key; None if another of its kind was stored since, or none."""
    last_key, content = st.session_state.get("exported", {}).get(key[0], (None, None))
    return content if last_key == key else None
