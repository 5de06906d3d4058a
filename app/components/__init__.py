"""Browser-side pieces that Streamlit lacks, inline: no iframe, no network, token text only as text nodes."""

from pathlib import Path
from typing import Any

import streamlit as st

_HERE = Path(__file__).parent


def script(name: str) -> str:
    """JavaScript of a component that tells the app something, after what all of them do it with."""
    return "\n".join((_HERE / each).read_text(encoding="utf-8") for each in ("telling.js", name))


def told(key: str, event: str) -> Any:
    """What a component has just told with an event; None if nothing, or if it went with a page that was left."""
    return getattr(st.session_state.get(key), event, None)
