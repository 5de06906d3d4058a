"""A prompt (a text to trace), the limits of its length, and the errors for texts beyond them."""

import re
from dataclasses import dataclass

from app.limits import MAX_CHARACTERS, MAX_TOKENS

NAME_CHARACTERS = 28
_HALVES = re.compile("[\ud800-\udfff]")  # lone surrogates
# Control characters, bidirectional marks (which would turn the direction of following text), signs without width but
# those that join others, and lone surrogates.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


class PromptError(ValueError):
    """Input that cannot be traced; the message is one sentence for the visitor that names the remedy."""


@dataclass(frozen=True)
class Prompt:
    """A text and its name; `example` is its id if it is a shipped example, so that a link can name it."""

    name: str
    text: str
    example: str | None = None


def check_text(text: str, longest: int = MAX_CHARACTERS) -> str:
    """The text, unchanged. Raises PromptError if it is empty, too long, or not plain Unicode text."""
    if not text.strip():
        raise PromptError("The text is empty: type at least one word, or choose an example.")
    if len(text) > longest:
        raise PromptError(too_long(len(text), longest))
    if _HALVES.search(text):
        raise PromptError("The text contains incomplete characters (lone surrogates); paste it again from its source.")
    if "\0" in text:
        raise PromptError("The text contains NUL characters, as binary files do; paste plain text instead.")
    return text


def too_long(characters: int, longest: int = MAX_CHARACTERS) -> str:
    """The sentence for a text that is too long."""
    return (
        f"The text has {characters:,} characters; the limit is {longest:,}. Shorten it, or upload it as a "
        f"file with one passage per line."
    )


def check_token_count(count: int) -> None:
    """Raises PromptError if a text has more tokens than the app traces."""
    if count > MAX_TOKENS:
        raise PromptError(f"The text has {count:,} tokens; the limit is {MAX_TOKENS:,}. Shorten it.")


def typed_prompt(text: str) -> Prompt:
    """A prompt named after its first words."""
    return Prompt(opening(" ".join(check_text(text).split()[:4])), text)


def opening(text: str, longest: int = NAME_CHARACTERS) -> str:
    """The start of a text on one line of at most `longest` characters, without invisible control characters."""
    line = _UNSEEN.sub(" ", text[: 4 * longest])
    line = " ".join(line.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
