"""Token labels for axes and hover cards, and the escaping that lets Plotly show any token literally."""

import html
import re

from hooks.token_text import display_token, token_bytes
from hooks.trace import RoutingTrace

SPACE = "␣"
LONGEST = 12
LONGEST_CHARACTER = 4
"""Bytes of a character in UTF-8, and so the most tokens over which one is spread."""
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_RUN = re.compile(r"([␣↵⇥])\1{2,}")


def token_labels(trace: RoutingTrace, longest: int = LONGEST) -> list[str]:
    """A short label per token, not escaped (see `plotly_text`).

    The leading space sign is dropped unless the token is only white space; a run of white space is counted, as in ␣×7.
    Where a character is spread over several tokens, the first one shows the whole character and the later ones their
    bytes, such as ⟨9F⟩.
    """
    return [short_label(label, longest) for label in _whole_characters(trace.tokens)]


def token_label(trace: RoutingTrace, token: int, longest: int = LONGEST) -> str:
    """The label of one token, as in `token_labels`, in a time that does not grow with the text."""
    return short_label(_whole_characters(trace.tokens[token : token + LONGEST_CHARACTER])[0], longest)


def short_label(display: str, longest: int = LONGEST) -> str:
    """The label of a display string: without its leading space, runs of white space counted, cut to `longest`."""
    return _cut(_count_runs(_without_space(display)), longest)


def how_many(count: int, noun: str) -> str:
    """A count with its noun: 1 token, 2,000 tokens."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def plotly_text(text: str) -> str:
    """`text` as Plotly must receive it to show it literally: no tags, no LaTeX between dollar signs."""
    return html.escape(text, quote=False).replace("$", "&#36;")


def named(label: str) -> str:
    """A label in quotation marks, safe inside a figure: what stands beside it cannot be read as a part of it."""
    return f"“{plotly_text(isolated(label))}”"


def isolated(text: str) -> str:
    """`text`, in invisible signs if its letters run from right to left, so that its neighbours keep their order."""
    return f"\u2068{text}\u2069" if _RIGHT_TO_LEFT.search(text) else text


def _without_space(label: str) -> str:
    return label[1:] if label.startswith(SPACE) and label.strip(SPACE + "↵⇥") else label


def _count_runs(label: str) -> str:
    return _RUN.sub(lambda run: f"{run[1]}×{len(run[0])}", label)


def _cut(label: str, longest: int) -> str:
    return label if len(label) <= longest else label[: longest - 1] + "…"


def _whole_characters(tokens: list[str]) -> list[str]:
    """Display strings in which a character spread over several tokens is shown whole at the first of them."""
    labels = list(tokens)
    for index, token in enumerate(tokens):
        if "⟨" not in token:  # no lone bytes: the common case, made fast
            continue
        raw = token_bytes(token)
        start = _start_of_unfinished_character(raw)
        need = _length_of_character(raw[start]) - (len(raw) - start) if start < len(raw) else 0
        if need <= 0:
            continue
        following = b"".join(token_bytes(piece) for piece in tokens[index + 1 : index + 1 + need])
        whole = display_token(raw[start:] + following[:need])
        if not whole.startswith("⟨"):
            labels[index] = (display_token(raw[:start]) if start else "") + whole
    return labels


def _start_of_unfinished_character(raw: bytes) -> int:
    """Index of a last character that may continue in the next token; len(raw) if there is none."""
    for back in range(1, min(len(raw), 3) + 1):
        byte = raw[-back]
        if byte & 0xC0 != 0x80:  # not a continuation byte
            return len(raw) - back if byte >= 0xC0 else len(raw)
    return len(raw)


def _length_of_character(lead: int) -> int:
    return 4 if lead >= 0xF0 else 3 if lead >= 0xE0 else 2


__all__ = ["how_many", "isolated", "named", "plotly_text", "short_label", "token_label", "token_labels"]
