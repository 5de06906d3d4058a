"""The visitor's own texts by number. The address names such a text by its number, so that it never holds the text."""

import streamlit as st

from app.limits import MAX_CHARACTERS, MOST_TEXTS
from app.texts.prompts import Prompt

_TEXTS = "own_texts"
MOST_CHARACTERS = 10 * MAX_CHARACTERS
"""Of all numbered texts; the oldest are forgotten first."""


def number_of(prompt: Prompt) -> int:
    """The number of a text, from 1; a new text gets the next one."""
    texts = texts_by_number()
    number = next((number for number, known in texts.items() if known == prompt), None)
    if number is None:
        number = max(texts, default=0) + 1
    elif next(reversed(texts)) == number:
        return number
    texts = {each: known for each, known in texts.items() if each != number} | {number: prompt}
    while len(texts) > MOST_TEXTS or sum(len(known.text) for known in texts.values()) > MOST_CHARACTERS:
        del texts[next(iter(texts))]  # never the newest: one text alone is within both limits
    st.session_state[_TEXTS] = texts
    return number


def text_number(number: str) -> Prompt | None:
    """The text of a number in an address; None if it was never there or is forgotten."""
    return texts_by_number().get(int(number)) if number.isdecimal() and len(number) < 10 else None


def texts_by_number() -> dict[int, Prompt]:
    """Number -> text, the one shown last at the end."""
    return st.session_state.get(_TEXTS, {})


def take_texts(texts: dict[int, Prompt]) -> None:
    """Take texts that the browser kept."""
    st.session_state[_TEXTS] = texts | texts_by_number()


def forget_texts() -> None:
    """Forget all texts. Numbers begin anew."""
    st.session_state[_TEXTS] = {}
