"""Escaping of text for Streamlit's labels and captions, which are Markdown."""

import re


def literal(text: str) -> str:
    """`text` with every character escaped that has a meaning in Markdown."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!$:|~<>&^])", r"\\\1", text)
