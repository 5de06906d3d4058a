"""The program that tries one tokenizer.json and ends: `python -m sample_models.tokenizer_trial PATH`.

A tokenizer is a program: it may panic, take for ever on some texts, or turn one letter into gigabytes. So a foreign one
is first tried here, under limits of memory and time, on texts that its own patterns may find hard. It answers in JSON:
`{}`, or `{"refused": why}`. It imports only the tokenizers library, so that it takes a fraction of a second.
"""

import json
import os
import sys
from collections.abc import Iterator

from sample_models.bounded import limit_self

MEMORY_MB = 3_000
CPU_S = 15
LONG, SHORT = 1_000, 30
"""Repetitions in the texts: a pattern that takes exponential time is found by few, one of a high power by many."""
OWN_SIGNS = 40
"""Characters of the tokenizer's own patterns that are tried."""
MOST_PER_CHARACTER = 64
"""Tokens that one character may become; a byte-level tokenizer makes four of an emoji."""
SIGNS = "aA1 \n\t-'._ä中😀"
"""Characters of every kind that patterns tell apart."""


def main() -> None:
    """Try the tokenizer that the arguments name, and answer on stdout."""
    limit_self(MEMORY_MB, CPU_S)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        refused = trial(sys.argv[1])
    except BaseException as error:  # the library panics with one; whatever it raises is about this file
        refused = f"{type(error).__name__}: {error}"
    print(json.dumps({"refused": refused[:300]} if refused else {}))


def trial(path: str) -> str | None:
    """Why a tokenizer cannot be used; None if it can."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    for text in texts(path):
        ids = tokenizer.encode(text).ids
        if len(ids) > MOST_PER_CHARACTER * (len(text) + 1):
            return f"it makes {len(ids):,} tokens of {len(text):,} characters"
        tokenizer.decode(ids, skip_special_tokens=False)
    return None


def texts(path: str) -> Iterator[str]:
    """Texts of one character repeated, with another end, and of all together."""
    own = dict.fromkeys(sign for pattern in _patterns(path) for sign in pattern)
    signs = [*dict.fromkeys([*SIGNS, *own])][: len(SIGNS) + OWN_SIGNS]
    yield "".join(signs)
    for sign in signs:
        for times in (1, SHORT, LONG):
            yield sign * times
            yield sign * times + "\x00"


def _patterns(path: str) -> Iterator[str]:
    """Every pattern in the file, whatever uses it."""
    with open(path, encoding="utf-8") as file:
        parts = json.load(file)
    todo = [part for name, part in parts.items() if name not in ("model", "added_tokens")]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            yield from (part[name] for name in ("Regex", "String") if isinstance(part.get(name), str))
            todo += part.values()
        elif isinstance(part, list):
            todo += part


if __name__ == "__main__":
    main()
