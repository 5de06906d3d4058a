"""What was last made for the export dialog, so that it is not made again while the dialog is open."""

import streamlit as st


def keep(key: tuple, content: bytes) -> None:
    """Keep what was made; `key` begins with its kind, and only the last of a kind is kept."""
    st.session_state.exported = {**st.session_state.get("exported", {}), key[0]: (key, content)}


def made(key: tuple) -> bytes | None:
    """What was made for exactly this key; None if that is not the last of its kind."""
    found, content = st.session_state.get("exported", {}).get(key[0], (None, None))
    return content if found == key else None
