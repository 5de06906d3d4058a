"""Encoding of a short text in the query of a link: compressed, URL-safe, and decoded with limits."""

from app.limits import LONGEST
from app.texts.packing import packed, unpacked
from app.texts.prompts import PromptError, check_text

_LONGEST_BYTES = 4 * LONGEST
_BROKEN = "The text in this link is damaged; ask for it again, or paste the text."


def text_to_link(text: str) -> str:
    """`text` encoded for the query of an address. Raises ValueError if it is longer than `LONGEST` characters."""
    if len(text) > LONGEST:
        raise ValueError(f"a link holds at most {LONGEST:,} characters, this text has {len(text):,}")
    return packed(text)


def text_from_link(value: str) -> str:
    """The text that `text_to_link` put into a link; PromptError for anything else.

    Never decompresses more than a text of `LONGEST` characters can have.
    """
    if len(value) > 2 * _LONGEST_BYTES:
        raise PromptError(_BROKEN)
    try:
        text = unpacked(value, _LONGEST_BYTES)
    except ValueError as error:
        raise PromptError(_BROKEN) from error
    if len(text) > LONGEST:
        raise PromptError(_BROKEN)
    return check_text(text)


__all__ = ["LONGEST", "text_from_link", "text_to_link"]
