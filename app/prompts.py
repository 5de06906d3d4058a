"""What the reader gives us to trace, typed or uploaded, checked before any model sees it. No Streamlit."""

import json
import re
from dataclasses import dataclass

MAX_CHARACTERS = 20_000
MAX_TOKENS = 4_096
MAX_PROMPTS = 500
MAX_FILE_MB = 5
FILE_TYPES = ("txt", "jsonl")
TEXT_FIELDS = ("text", "prompt")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")


class PromptError(ValueError):
    """Input that cannot be traced: one sentence for the reader that names the remedy."""


@dataclass(frozen=True)
class Prompt:
    """A text and the name it goes by; `example` is its id if it is one of ours, so that a link can name it."""

    name: str
    text: str
    example: str | None = None


@dataclass(frozen=True)
class PromptFile:
    """The prompts of an uploaded file, and one sentence for each part of it that cannot be used."""

    prompts: list[Prompt]
    problems: list[str]


def check_text(text: str) -> str:
    """The text as it is, or PromptError if there is nothing to trace or too much."""
    if not text.strip():
        raise PromptError("The text is empty: type at least one word, or choose an example.")
    if len(text) > MAX_CHARACTERS:
        raise PromptError(
            f"The text has {len(text):,} characters; the limit is {MAX_CHARACTERS:,}. Shorten it, or upload it as a "
            f"file with one passage per line."
        )
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise PromptError("The text holds halves of characters (lone surrogates); paste it again from its source.")
    if "\0" in text:
        raise PromptError("The text holds NUL characters, as binary files do; paste plain text instead.")
    return text


def check_token_count(count: int) -> None:
    """PromptError if a text has more tokens than one pass takes."""
    if count > MAX_TOKENS:
        raise PromptError(f"The text has {count:,} tokens; the limit is {MAX_TOKENS:,}. Shorten it.")


def typed_prompt(text: str) -> Prompt:
    """A prompt named after its first words."""
    return Prompt(_short(" ".join(check_text(text).split()[:4])), text)


def read_prompt_file(
    name: str, data: bytes, *, paragraphs: bool = False, max_prompts: int | None = MAX_PROMPTS
) -> PromptFile:
    """Prompts of an uploaded file.

    txt: one prompt per line, or per paragraph (blocks between blank lines) if `paragraphs`. jsonl: one per line, either
    a JSON string or an object with a field `text` or `prompt`, and optionally `id`. Raises PromptError if the file as a
    whole cannot be used; a line that cannot is left out and named in `problems`.
    """
    kind = name.rpartition(".")[2].lower()
    if kind not in FILE_TYPES:
        raise PromptError(f"{name} is no {' or '.join(FILE_TYPES)} file; save it as one of these.")
    if len(data) > MAX_FILE_MB * 2**20:
        raise PromptError(f"{name} has {len(data) / 2**20:.1f} MB; the limit is {MAX_FILE_MB} MB. Split it.")
    text = _decode(name, data)
    numbered = _json_lines(text) if kind == "jsonl" else _text_parts(text, paragraphs)
    prompts: list[Prompt] = []
    problems: list[str] = []
    for place, prompt_name, content in numbered:
        if isinstance(content, PromptError):
            problems.append(f"{name}, {place} {content}")
            continue
        try:
            prompts.append(Prompt(prompt_name, check_text(content)))
        except PromptError as error:
            problems.append(f"{name}, {place}: {error}")
    if not prompts:
        raise PromptError(problems[0] if problems else f"{name} is empty: it needs at least one line of text.")
    if max_prompts and len(prompts) > max_prompts:
        problems.append(f"{name} has {len(prompts):,} prompts; the first {max_prompts} are listed. Split the file.")
    return PromptFile(prompts[:max_prompts], problems)


def has_paragraphs(name: str, data: bytes) -> bool:
    """Whether blank lines divide a txt file, so that paragraphs are a choice."""
    text = data.decode("utf-8", errors="replace").replace("\r\n", "\n").strip()
    return name.lower().endswith(".txt") and bool(_BLANK_LINES.search(text))


def _short(name: str) -> str:
    """A name on one line of at most 28 characters."""
    name = " ".join(name.split())
    return name if len(name) <= 28 else name[:27] + "…"


def _decode(name: str, data: bytes) -> str:
    if b"\0" in data:
        raise PromptError(f"{name} is a binary file (it holds NUL bytes), not text; save its text as UTF-8.")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        bad = data[error.start]
        raise PromptError(
            f"{name} is not UTF-8 text (byte 0x{bad:02X} at position {error.start:,}); save it as UTF-8."
        ) from error


def _text_parts(text: str, paragraphs: bool):
    """(place, name, text) of each line or paragraph that is not blank."""
    parts = _BLANK_LINES.split(text.strip()) if paragraphs else text.split("\n")
    unit = "paragraph" if paragraphs else "line"
    for number, part in enumerate(parts, start=1):
        if part.strip():
            yield f"{unit} {number}", f"{unit} {number}", part.strip("\n")


def _json_lines(text: str):
    """(place, name, text or the PromptError that says what is wrong with it) of each line that is not blank."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            yield place, place, PromptError(f"is not JSON ({error.msg} at column {error.colno}).")
            continue
        except (ValueError, RecursionError):  # valid JSON that Python declines: a number or a nesting without measure
            yield place, place, PromptError("holds a number or a nesting that is too large; simplify it.")
            continue
        if isinstance(value, dict):
            found = next((value[field] for field in TEXT_FIELDS if isinstance(value.get(field), str)), None)
            identity = value.get("id")
            prompt_name = _short(str(identity)) if isinstance(identity, str | int) else place
        else:
            found, prompt_name = value if isinstance(value, str) else None, place
        if found is None:
            yield place, place, PromptError(f"has no text field {' or '.join(TEXT_FIELDS)}; name it so.")
        else:
            yield place, prompt_name, found
