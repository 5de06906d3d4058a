"""Token ids to lossless display strings: white space, control characters and lone bytes made visible.

A token is a run of bytes, not always whole characters. Its display string is its text where the bytes are whole
characters, with these made visible; everything else is written as bytes in angle brackets:
    space -> U+2423 (␣)   newline -> U+21B5 (↵)   tab -> U+21E5 (⇥)   other controls, lone bytes -> ⟨0D⟩, ⟨E2 80⟩
Other invisible characters are written as bytes too: blanks that count as letters, and a combining mark that has no
letter before it to stand on. So are these signs themselves where the text contains them: a display string stands for
one byte string only.

Two kinds of tokenizer give the exact bytes of every token: byte-level ones (GPT-2's alphabet), and SentencePiece ones,
where ▁ is a space and <0xE2> a byte. For any other kind it is the text that the tokenizer decodes the token to.
"""

import json
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

VISIBLE = {" ": "␣", "\n": "↵", "\t": "⇥"}
WHITE = "".join(VISIBLE.values())
"""The signs of white space: a display string of no others is a blank token."""
_TEXT_OF = {sign: char for char, sign in VISIBLE.items()}
_RESERVED = frozenset([*_TEXT_OF, "⟨", "⟩"])
_BYTES = re.compile(r"⟨([0-9A-F]{2}(?: [0-9A-F]{2})*)⟩")
_BLANK = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\U0001d159")
"""Fillers, the empty Braille cell and the empty note head: printable by their Unicode class, but invisible."""
_SPACE_PIECE = "▁"
_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def display_token(raw: bytes) -> str:
    """Display string of a token's bytes."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return _as_bytes(raw)
    shown, carries = "", False
    for char in text:
        shown += (sign := _display_char(char, carried=carries))
        carries = sign == char
    return shown


def _display_char(char: str, *, carried: bool) -> str:
    """`carried`: whether the character before is shown as itself, so that a mark can stand on it."""
    if sign := VISIBLE.get(char):
        return sign
    unseen = char in _BLANK or (not carried and unicodedata.category(char) in ("Mn", "Me"))
    return _as_bytes(char.encode()) if unseen or char in _RESERVED or not char.isprintable() else char


def token_bytes(display: str) -> bytes:
    """The bytes of a display string: the inverse of `display_token`."""
    parts = _BYTES.split(display)  # text, hex, text, hex, ..., text
    pieces = (
        bytes.fromhex(part) if i % 2 else "".join(_TEXT_OF.get(char, char) for char in part).encode()
        for i, part in enumerate(parts)
    )
    return b"".join(pieces)


def token_text(display: str) -> str | None:
    """The text that a display string stands for; None for lone bytes, and for an id without a token."""
    if display.startswith("⟨#"):
        return None
    try:
        return token_bytes(display).decode("utf-8")
    except UnicodeDecodeError:
        return None


def display_tokens(tokenizer, ids: list[int]) -> list[str]:
    """Display strings of token ids.

    A model may have embeddings for ids that no token of its tokenizer has, and may predict them: they are shown as
    ⟨#50290⟩.
    """
    vocabulary = _display_vocabulary(tokenizer)
    return [vocabulary.get(i) or f"⟨#{i}⟩" for i in ids]


@lru_cache(maxsize=8)
def _display_vocabulary(tokenizer) -> dict[int, str]:
    """Id -> display string of every token, cached because every trace needs thousands of them."""
    added, bytes_of = tokenizer.added_tokens_encoder, _reader_of_pieces(tokenizer)
    return {
        i: display_token(piece.encode() if piece in added else bytes_of(piece))
        for piece, i in tokenizer.get_vocab().items()
    }


def _reader_of_pieces(tokenizer) -> Callable[[str], bytes]:
    """The function that turns an entry of the vocabulary into bytes."""
    kinds = _parts_of(tokenizer)
    if "ByteLevel" in kinds:
        return _bytes_of_byte_level
    if kinds & {"Metaspace", "ByteFallback"}:
        return _bytes_of_sentencepiece
    return lambda piece: tokenizer.convert_tokens_to_string([piece]).encode()


def _parts_of(tokenizer) -> set[str]:
    """Types of the tokenizer's decoder and of the decoders nested in it."""
    decoder = tokenizer.backend_tokenizer.decoder
    parts, kinds = [json.loads(decoder.__getstate__()) if decoder else {}], set()
    while parts:
        part = parts.pop()
        kinds.add(part.get("type"))
        parts += part.get("decoders", [])
    return kinds


def _bytes_of_byte_level(piece: str) -> bytes:
    """A piece with a character outside the alphabet is its own text, as in the tokenizers library."""
    alphabet = _byte_alphabet()
    return bytes(alphabet[char] for char in piece) if all(char in alphabet for char in piece) else piece.encode()


def _bytes_of_sentencepiece(piece: str) -> bytes:
    if byte := _BYTE_PIECE.fullmatch(piece):
        return bytes.fromhex(byte.group(1))
    return piece.replace(_SPACE_PIECE, " ").encode()


def _as_bytes(raw: bytes) -> str:
    return f"⟨{raw.hex(' ').upper()}⟩"


@lru_cache(maxsize=1)
def _byte_alphabet() -> dict[str, int]:
    """GPT-2's bijection of bytes and printable characters: printable Latin-1 stays, the others move up from U+0100."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    moved = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(moved)}
