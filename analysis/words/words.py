"""Words: the tokens of a text merged, so that a word stands as one. A reading aid: the model itself knows tokens only.

A word begins at a leading space, at a punctuation mark, at the letter after one, and after a line break; an apostrophe
between letters parts nothing, nor does a seam inside a character. Signs of scripts that write no spaces,
and tokens that the tokenizer added, stand alone.
"""

import re
import unicodedata
from functools import lru_cache

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hooks.token_text import display_token, token_bytes
from hooks.trace import RoutingTrace

# Han, kana, Thai, Lao, Khmer and Burmese: neighbouring signs need not belong to one word.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_APOSTROPHES = ("'", "\u2019")


def spells_its_text(trace: RoutingTrace) -> bool:
    """Whether the tokens, put together, are the text that was traced: else (token ids) their seams mean nothing.

    The one space that SentencePiece puts before a text does not count.
    """
    return _spelled(trace) in (text := str(trace.meta.get("text")).encode(), b" " + text)


def _spelled(trace: RoutingTrace) -> bytes:
    return b"".join(token_bytes(each) for each, added in zip(trace.tokens, trace.special, strict=True) if not added)


def same_place(before: RoutingTrace, token: int, after: RoutingTrace) -> int | None:
    """The token of another trace of the same text that holds the first byte of this one; None if that is not known.

    So it is where the tokens of one of them do not spell the text, and for what a tokenizer added.
    """
    if before.tokens == after.tokens:
        return token
    if before.special[token] or not (spells_its_text(before) and spells_its_text(after)):
        return None
    begins = _ends(before)[token] - len(token_bytes(before.tokens[token]))
    return int(np.searchsorted(_ends(after), begins, side="right"))


def _ends(trace: RoutingTrace) -> Int[np.ndarray, " token"]:
    """Bytes of the text up to the end of every token; what the tokenizer added holds none, also before the text."""
    lengths = [0 if added else len(token_bytes(each)) for each, added in zip(trace.tokens, trace.special, strict=True)]
    return np.cumsum(lengths) - (len(_spelled(trace)) - len(str(trace.meta.get("text")).encode()))


@lru_cache(maxsize=8)  # a trace never changes, and every click asks again
def word_starts(trace: RoutingTrace) -> Int[np.ndarray, " word"]:
    """First token of every word, ascending from 0. Every token is a word of its own if they do not spell the text."""
    if not spells_its_text(trace):
        return _frozen(np.arange(trace.num_tokens))
    pieces = [token_bytes(token) for token in trace.tokens]
    text = b"".join(pieces).decode("utf-8", "surrogateescape")
    begins = np.cumsum([0, *(len(char.encode("utf-8", "surrogateescape")) for char in text)])  # first byte of each sign
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
    starts.setflags(write=False)  # shared by all who ask
    return starts


def word_table(trace: RoutingTrace) -> pd.DataFrame:
    """One row per word: its first token, number of pieces, text, means over pieces (and layers) of soft difficulty,
    loops and lambda, and its surprisal: the sum over its pieces, since log p adds (NaN with the first token in it)."""
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
    """Whether a word goes on over the seam between two pairs of signs; an apostrophe between letters parts nothing."""
    if before[-1:] in _APOSTROPHES:
        before = before[:-1]
    elif after[:1] in _APOSTROPHES:
        after = after[1:]
    return _is_letter(before[-1:]) and _is_letter(after[:1])


def _is_letter(char: str) -> bool:
    """Letter, digit or combining sign of a script that writes spaces between its words."""
    return bool(char) and (char.isalnum() or unicodedata.category(char).startswith("M")) and not _UNSPACED.match(char)


__all__ = [
    "piece_counts", "same_place", "spells_its_text", "spread_over_pieces", "word_displays", "word_means", "word_starts",
    "word_table",
]  # fmt: skip
