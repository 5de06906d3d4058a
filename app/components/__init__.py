"""Browser-side pieces that Streamlit lacks, inline: no iframe, no network, token text only as text nodes."""

from typing import Any

import streamlit as st


def told(key: str, event: str) -> Any:
    """What a component has just told with an event; None if nothing, or if it went with a page that was left."""
    return getattr(st.session_state.get(key), event, None)
