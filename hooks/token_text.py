"""Token ids to display strings that lose nothing: white space, control characters and lone bytes made visible.

A token of a byte-level tokenizer is a run of bytes, not always whole characters. Its display string is its text where
the bytes are whole characters, with these made visible; everything else is written as bytes in angle brackets:
    space -> U+2423 (␣)   newline -> U+21B5 (↵)   tab -> U+21E5 (⇥)   other controls, lone bytes -> ⟨0D⟩, ⟨E2 80⟩
A text that itself contains one of these signs shows it as bytes, so that a display string stands for one thing only.
"""

import re
from functools import lru_cache

VISIBLE = {" ": "␣", "\n": "↵", "\t": "⇥"}
_TEXT_OF = {sign: char for char, sign in VISIBLE.items()}
_RESERVED = frozenset([*_TEXT_OF, "⟨", "⟩"])
_BYTES = re.compile(r"⟨([0-9A-F]{2}(?: [0-9A-F]{2})*)⟩")


def display_token(raw: bytes) -> str:
    """Display string of a token's bytes."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return _as_bytes(raw)
    shown = (VISIBLE.get(char) or (char if char.isprintable() and char not in _RESERVED else None) for char in text)
    return "".join(sign or _as_bytes(char.encode()) for sign, char in zip(shown, text, strict=True))


def token_bytes(display: str) -> bytes:
    """The bytes that a display string stands for: the inverse of `display_token`."""
    parts = _BYTES.split(display)  # text, hex, text, hex, ..., text
    pieces = (
        bytes.fromhex(part) if i % 2 else "".join(_TEXT_OF.get(char, char) for char in part).encode()
        for i, part in enumerate(parts)
    )
    return b"".join(pieces)


def display_tokens(tokenizer, ids: list[int]) -> list[str]:
    """Display strings of token ids. Byte-level tokenizers give exact bytes; others their own text of each token.

    A model may have more embeddings than its tokenizer has tokens, and may predict them: they are shown as ⟨#50290⟩.
    """
    vocabulary = _display_vocabulary(tokenizer)
    return [vocabulary[i] if i < len(vocabulary) else f"⟨#{i}⟩" for i in ids]


@lru_cache(maxsize=8)
def _display_vocabulary(tokenizer) -> list[str]:
    """Display strings of all tokens by id: made once per tokenizer, since every trace needs thousands of them."""
    pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    if _is_byte_level(tokenizer):
        added = tokenizer.added_tokens_encoder
        alphabet = _byte_alphabet()
        raw = (p.encode() if p in added else bytes(alphabet[char] for char in p) for p in pieces)
    else:
        raw = (tokenizer.convert_tokens_to_string([piece]).encode() for piece in pieces)
    return [display_token(each) for each in raw]


def _as_bytes(raw: bytes) -> str:
    return f"⟨{raw.hex(' ').upper()}⟩"


def _is_byte_level(tokenizer) -> bool:
    return type(getattr(tokenizer.backend_tokenizer, "decoder", None)).__name__ == "ByteLevel"


@lru_cache(maxsize=1)
def _byte_alphabet() -> dict[str, int]:
    """GPT-2's bijection of bytes and printable characters: printable Latin-1 stays, the others move up from U+0100."""
    kept = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    moved = [byte for byte in range(256) if byte not in kept]
    return {chr(b): b for b in kept} | {chr(256 + i): b for i, b in enumerate(moved)}
