"""Texts and lists of prompts as JSON that a browser keeps and gives back, changed perhaps by whoever owns the browser.

What comes back is held to the same limits as a text that is typed or a file that is uploaded.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from app.limits import MAX_PROMPTS, MOST_TEXTS
from app.texts.prompt_columns import Columns
from app.texts.prompt_files import PromptList
from app.texts.prompts import Prompt, PromptError, check_text, opening

_DAMAGED = "The texts that this tab kept are damaged; paste or upload them again."


def texts_to_json(texts: Mapping[int, Prompt]) -> list[list]:
    """Number, name and text of each of the visitor's own texts, as JSON has them."""
    return [[number, prompt.name, prompt.text] for number, prompt in texts.items()]


def texts_from_json(found: Any) -> dict[int, Prompt]:
    """The texts of `texts_to_json`; PromptError for anything else."""
    try:
        rows = [(number, name, check_text(text)) for number, name, text in found]
    except (AttributeError, TypeError, ValueError) as error:
        raise PromptError(_DAMAGED) from error
    whole = all(type(number) is int and 0 < number < 10**9 and isinstance(name, str) for number, name, _ in rows)
    if not whole or len(rows) > MOST_TEXTS:
        raise PromptError(_DAMAGED)
    return {number: Prompt(opening(name), text) for number, name, text in rows}


def list_to_json(found: PromptList) -> str:
    """A list of prompts as JSON."""
    return json.dumps(asdict(found), separators=(",", ":"))


def list_from_json(text: str) -> PromptList:
    """The list of `list_to_json`; PromptError for anything else."""
    try:
        found = json.loads(text)
        prompts = [Prompt(**each) for each in found.pop("prompts")]
        columns = found.pop("columns")
        made = PromptList(**found, prompts=prompts, columns=columns and Columns(**columns))
        for prompt in prompts:
            check_text(prompt.text)
        words = [made.name, *made.problems, *made.notes, *(prompt.name for prompt in prompts)]
        words += [word for column, cells in made.others.items() for word in (column, *cells)]
        whole = all(len(cells) == len(prompts) for cells in made.others.values())
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise PromptError(_DAMAGED) from error
    if not whole or not 0 < len(prompts) <= MAX_PROMPTS or not all(isinstance(word, str) for word in words):
        raise PromptError(_DAMAGED)
    return made


__all__ = ["list_from_json", "list_to_json", "texts_from_json", "texts_to_json"]
