"""Words: the tokens of a text merged into words, for easier reading. The model itself knows only tokens.

A word begins at a leading space, at a punctuation mark, at the letter after one, and after a line break. It does not
end at an apostrophe between letters, nor at a token boundary inside a character. Characters of scripts that are written
without spaces, and tokens that the tokenizer added, are words of their own.
"""

import re
import unicodedata
from functools import lru_cache

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hooks.token_text import display_token, token_bytes
from hooks.trace import RoutingTrace

# Han, kana, Thai, Lao, Khmer and Burmese: neighbouring characters need not belong to one word.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_APOSTROPHES = ("'", "\u2019")


def spells_its_text(trace: RoutingTrace) -> bool:
    """Whether the tokens joined together are the text that was traced; those of a model without tokenizer are not.

    The one space that SentencePiece puts before a text is ignored.
    """
    return _spelled(trace) in (text := str(trace.meta.get("text")).encode(), b" " + text)


def _spelled(trace: RoutingTrace) -> bytes:
    return b"".join(token_bytes(token) for token, added in zip(trace.tokens, trace.special, strict=True) if not added)


def same_place(before: RoutingTrace, token: int, after: RoutingTrace) -> int | None:
    """The token of another trace of the same text that holds this token's first byte; None if that is not known.

    It is not known if the tokens of either trace do not spell the text, and for tokens that a tokenizer added.
    """
    if before.tokens == after.tokens:
        return token
    if before.special[token] or not (spells_its_text(before) and spells_its_text(after)):
        return None
    begins = token_ends(before)[token] - len(token_bytes(before.tokens[token]))
    return int(np.searchsorted(token_ends(after), begins, side="right"))


def token_ends(trace: RoutingTrace) -> Int[np.ndarray, " token"]:
    """Number of bytes of the text up to the end of every token; tokens that the tokenizer added hold none."""
    lengths = [
        0 if added else len(token_bytes(token)) for token, added in zip(trace.tokens, trace.special, strict=True)
    ]
    return np.cumsum(lengths) - (len(_spelled(trace)) - len(str(trace.meta.get("text")).encode()))


@lru_cache(maxsize=8)  # a trace never changes, and every click asks for its words
def word_starts(trace: RoutingTrace) -> Int[np.ndarray, " word"]:
    """First token of every word, ascending from 0. If the tokens do not spell the text, each is a word of its own."""
    if not spells_its_text(trace):
        return _frozen(np.arange(trace.num_tokens))
    pieces = [token_bytes(token) for token in trace.tokens]
    text = b"".join(pieces).decode("utf-8", "surrogateescape")
    begins = np.cumsum(
        [0, *(len(char.encode("utf-8", "surrogateescape")) for char in text)]
    )  # first byte of each character
    seams = np.cumsum([0, *map(len, pieces)])[:-1]
    sign = np.searchsorted(begins, seams)
    apart = [
        begins[at] == seam and not _joined(text[max(at - 2, 0) : at], text[at : at + 2])
        for at, seam in zip(sign.tolist(), seams.tolist(), strict=True)
    ]
    added = trace.special | np.append(True, trace.special[:-1])  # the text's first token begins a word too
    return _frozen(np.flatnonzero(np.array(apart) | added))


def piece_counts(starts: Int[np.ndarray, " word"], tokens: int) -> Int[np.ndarray, " word"]:
    """Tokens in each word."""
    return np.diff(np.append(starts, tokens))


def word_means(values: np.ndarray, starts: Int[np.ndarray, " word"]) -> Float[np.ndarray, "... word"]:
    """Mean over the pieces of each word along the last axis; NaN where a piece is undefined."""
    return np.add.reduceat(values, starts, axis=-1, dtype=float) / piece_counts(starts, values.shape[-1])


def spread_over_pieces(values: np.ndarray, starts: Int[np.ndarray, " word"], tokens: int) -> np.ndarray:
    """Values of words [.., word], at each of their tokens [.., token]."""
    return np.repeat(values, piece_counts(starts, tokens), axis=-1)


@lru_cache(maxsize=8)
def word_displays(trace: RoutingTrace) -> tuple[str, ...]:
    """Display strings of the words, as those of tokens: lossless, white space made visible."""
    starts = word_starts(trace)
    ends = np.append(starts[1:], trace.num_tokens)
    return tuple(
        trace.tokens[first] if end == first + 1 else display_token(b"".join(map(token_bytes, trace.tokens[first:end])))
        for first, end in zip(starts.tolist(), ends.tolist(), strict=True)
    )


def _frozen(starts: np.ndarray) -> np.ndarray:
    starts.setflags(write=False)  # the cached array is shared
    return starts


def word_table(trace: RoutingTrace) -> pd.DataFrame:
    """One row per word: first token, number of pieces, text, means over pieces (and layers), and surprisal.

    The means are of soft difficulty, loops and lambda. The surprisal is the sum over the pieces, since log p adds up;
    it is NaN for the word that holds the first token.
    """
    starts = word_starts(trace)
    return pd.DataFrame(
        {
            "token": starts,
            "pieces": piece_counts(starts, trace.num_tokens),
            "text": word_displays(trace),
            "special": trace.special[starts],
            "difficulty_soft": word_means(trace.difficulty_soft.mean(axis=0), starts),
            "loops": word_means(trace.loops.mean(axis=0), starts),
            "gate": word_means(trace.gate.mean(axis=0), starts),
            "surprisal": np.add.reduceat(trace.surprisal, starts),
        }
    )


def _joined(before: str, after: str) -> bool:
    """Whether a word continues between two pairs of characters; an apostrophe between letters does not end it."""
    if before[-1:] in _APOSTROPHES:
        before = before[:-1]
    elif after[:1] in _APOSTROPHES:
        after = after[1:]
    return _is_letter(before[-1:]) and _is_letter(after[:1])


def _is_letter(char: str) -> bool:
    """Whether a character is a letter, digit or combining mark of a script with spaces between words."""
    return bool(char) and (char.isalnum() or unicodedata.category(char).startswith("M")) and not _UNSPACED.match(char)


__all__ = [
    "piece_counts", "same_place", "spells_its_text", "spread_over_pieces", "token_ends", "word_displays", "word_means",
    "word_starts", "word_table",
]  # fmt: skip
