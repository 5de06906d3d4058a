"""Encoding of a short text in the query of a link: compressed, URL-safe, and decoded with limits."""

import base64
import binascii
import zlib

from app.limits import LONGEST
from app.texts.prompts import PromptError, check_text

_LONGEST_BYTES = 4 * LONGEST
_BROKEN = "The text in this link is damaged; ask for it again, or paste the text."


def text_to_link(text: str) -> str:
    """`text` encoded for the query of an address. Raises ValueError if it is longer than `LONGEST` characters."""
    if len(text) > LONGEST:
        raise ValueError(f"a link holds at most {LONGEST:,} characters, this text has {len(text):,}")
    return base64.urlsafe_b64encode(zlib.compress(text.encode("utf-8"), 9)).decode("ascii").rstrip("=")


def text_from_link(value: str) -> str:
    """The text that `text_to_link` put into a link; PromptError for anything else.

    Never decompresses more than a text of `LONGEST` characters can have.
    """
    if len(value) > 2 * _LONGEST_BYTES:
        raise PromptError(_BROKEN)
    try:
        packed = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(packed, _LONGEST_BYTES + 1)
        text = content.decode("utf-8")
    except (binascii.Error, zlib.error, ValueError) as error:
        raise PromptError(_BROKEN) from error
    if not unpacker.eof or len(text) > LONGEST:
        raise PromptError(_BROKEN)
    return check_text(text)


__all__ = ["LONGEST", "text_from_link", "text_to_link"]
