"""Text as Markdown that shows it as it is: labels and captions of Streamlit are Markdown."""

import re


def literal(text: str) -> str:
    """`text` with every sign that Markdown could take for its own escaped."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!$:|~<>&^])", r"\\\1", text)
