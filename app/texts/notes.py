"""Notes on a token in a layer of a text, as JSON that a browser keeps or a visitor downloads, changed perhaps since."""

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from app.limits import MAX_CHARACTERS, MAX_FILE_MB, MOST_NOTE_CHARACTERS, MOST_NOTES
from app.texts.prompts import PromptError, check_text, opening

VERSION = 1
LONGEST_NAME = 200
_DAMAGED = "This file holds no notes, or it is damaged: give a JSON file that the button Download notes made."


@dataclass(frozen=True)
class Note:
    """What a visitor noted about a token; a bookmark if there are no words."""

    text: str
    """The whole text."""
    name: str
    """Of the text, such as the example or the run that it is from."""
    token: int
    label: str
    """The token as it is shown."""
    layer: int | None
    """None: all layers."""
    model: str
    words: str = ""


@lru_cache(maxsize=16)  # the tab is asked in every run whether it has them
def notes_to_json(notes: tuple[Note, ...]) -> str:
    """Notes as a JSON file. Texts that several notes are about stand in it once."""
    texts = list(dict.fromkeys(note.text for note in notes))
    rows = [asdict(note) | {"text": texts.index(note.text)} for note in notes]
    return json.dumps({"notes_version": VERSION, "texts": texts, "notes": rows}, ensure_ascii=False, indent=1)


def notes_from_json(given: str | bytes) -> tuple[Note, ...]:
    """The notes of `notes_to_json`. Raises PromptError, in a sentence, for anything else and for more than there may
    be."""
    if len(given) > MAX_FILE_MB * 2**20:
        raise PromptError(f"A file of notes has at most {MAX_FILE_MB} MB.")
    try:
        found = json.loads(given)
        if found["notes_version"] != VERSION:
            raise PromptError("These notes are of another version of this program.")
        texts, rows = found["texts"], found["notes"]
        if len(rows) > MOST_NOTES or len(texts) > MOST_NOTES:
            raise PromptError(f"There may be at most {MOST_NOTES} notes, and these are {max(len(rows), len(texts))}.")
        known = [check_text(text) for text in texts]
        return tuple(_note(row, known) for row in rows)
    except PromptError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        raise PromptError(_DAMAGED) from error


def _note(row: dict[str, Any], texts: list[str]) -> Note:
    layer = row["layer"]
    return Note(
        text=texts[_whole(row["text"], len(texts))],
        name=opening(_string(row["name"])),
        token=_whole(row["token"], MAX_CHARACTERS),
        label=_string(row["label"]),
        layer=None if layer is None else _whole(layer, 10_000),
        model=_string(row["model"]),
        words=_string(row["words"], MOST_NOTE_CHARACTERS),
    )


def _whole(value: Any, end: int) -> int:
    if type(value) is not int or not 0 <= value < end:
        raise TypeError
    return value


def _string(value: Any, longest: int = LONGEST_NAME) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise TypeError
    value.encode()  # half characters cannot be shown
    return value


__all__ = ["LONGEST_NAME", "Note", "notes_from_json", "notes_to_json"]
