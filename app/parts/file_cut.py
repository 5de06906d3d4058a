"""How a text file is cut into prompts, as the reader chooses it."""

import streamlit as st

from app.texts.prompt_files import Per

LABELS: dict[Per, str] = {"line": "a line", "paragraph": "a paragraph", "file": "the whole file"}


def choose_cut(kind: str, key: str) -> Per:
    """The choice of what in a file is one prompt; `kind` is its ending, and `key` that of the widget."""
    return st.segmented_control(
        "One prompt is",
        list(LABELS),
        default="line" if kind == "txt" else "paragraph",
        required=True,
        format_func=LABELS.get,
        key=f"{key}-{kind}",
    )


__all__ = ["choose_cut"]
