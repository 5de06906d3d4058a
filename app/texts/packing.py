"""Texts as short strings for addresses and a browser's storage: compressed, URL-safe, and unpacked with a limit."""

import base64
import binascii
import zlib


def packed(text: str) -> str:
    """`text` as letters, digits, "-" and "_"."""
    return base64.urlsafe_b64encode(zlib.compress(text.encode("utf-8"), 9)).decode("ascii").rstrip("=")


def unpacked(value: str, most_bytes: int) -> str:
    """The text that `packed` was given; ValueError for anything else, and for a text of more than `most_bytes`.

    Never decompresses more than that.
    """
    try:
        content = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(content, most_bytes + 1).decode("utf-8")
    except (binascii.Error, zlib.error, ValueError) as error:
        raise ValueError("this is not a packed text") from error
    if not unpacker.eof:
        raise ValueError(f"this packed text is cut off, or holds more than {most_bytes:,} bytes")
    return text
