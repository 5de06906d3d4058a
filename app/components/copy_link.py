"""A button that copies a link to what is shown."""

from pathlib import Path

import streamlit as st

_component = st.components.v2.component(
    "copy_link",
    html="<button></button>",
    css=(Path(__file__).parent / "button.css").read_text(encoding="utf-8"),
    js=(Path(__file__).parent / "copy_link.js").read_text(encoding="utf-8"),
)


def copy_link(label: str, query: dict[str, str | None] | None = None) -> None:
    """A button that copies the page's address with `query` added to its query; None removes a part."""
    _component(key=f"copy_link-{label}", data={"label": label, "query": query or {}}, width="content")
