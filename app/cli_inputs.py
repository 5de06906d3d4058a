"""Inputs of the command line: files, folders and prompts, or a ValueError with one sentence."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli_output import say

if TYPE_CHECKING:
    from app.texts.prompts import Prompt
    from hooks.interventions import Intervention
    from hooks.trace import RoutingTrace

STDIN = "-"
"""The text that stands for the standard input."""


def trace_file(path: Path) -> "RoutingTrace":
    """The trace in a file."""
    from hooks.trace import RoutingTrace

    return RoutingTrace.load(existing_file(path))


def port(text: str) -> int:
    """The port in an argument of the command line."""
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to 65535, got {text}")
    return int(text)


def existing_file(path: Path) -> Path:
    """The path of a trace file; ValueError if there is no such file."""
    if not path.is_file():
        raise ValueError(f"{path} is not a file: give a trace file written by `python -m app trace`")
    return path


def existing_folders(roots: list[Path]) -> list[Path]:
    """Folders that hold model folders; ValueError if one does not exist."""
    if missing := [root for root in roots if not root.is_dir()]:
        raise ValueError(f"{missing[0]} is not a folder: give folders that hold model folders")
    return roots


def tell_strange_folders(roots: list[Path]) -> None:
    """Say on stderr which folders below the roots are skipped, and why."""
    from sample_models.registry import strange_folders

    for sentence in strange_folders(roots):
        say(f"skipped: {sentence}", to=sys.stderr)


def prompts_of(args: argparse.Namespace) -> "list[Prompt]":
    """The prompts that a command was given, as a text or a file; notes about the file go to stderr."""
    from app.server.uploads import prompts_of_upload
    from app.texts.prompt_columns import ColumnNeeded
    from app.texts.prompts import typed_prompt

    if (args.text is None) == (args.file is None):
        raise ValueError("give either a text or --file PATH")
    if args.text is not None and (args.text != STDIN or args.per is None):
        return [typed_prompt(text_of(args.text))]
    if args.text is None and not args.file.is_file():
        raise ValueError(f"{args.file} is not a file: give a txt, md, jsonl, csv or parquet file of prompts")
    how = {"per": args.per, "text_column": args.column, "id_column": args.id_column}
    name, data = ("stdin.txt", stdin_bytes()) if args.text else (args.file.name, args.file.read_bytes())
    try:
        found = prompts_of_upload(name, data, own=True, **how)
    except ColumnNeeded as error:
        raise ValueError(f"{str(error).removesuffix('.')} (--column NAME chooses).") from None
    if found.problems:
        rest = f" ({len(found.problems)} problems in all)" if len(found.problems) > 1 else ""
        raise ValueError(f"{found.problems[0]}{rest}")
    for note in found.notes:
        say(note, to=sys.stderr)
    return found.prompts


def text_of(argument: str) -> str:
    """The text in an argument; for "-" that of the standard input, without its last line break."""
    if argument != STDIN:
        return argument
    try:
        return stdin_bytes().decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("the standard input is not text in UTF-8") from None


def stdin_bytes() -> bytes:
    """All of the standard input. ValueError if there is none, as where a shell has closed it."""
    if sys.stdin is None:
        raise ValueError("there is no standard input to read the text from")
    return sys.stdin.buffer.read()


def interventions_of(args: argparse.Namespace) -> "tuple[Intervention, ...]":
    """The interventions of `--intervene`; none without it. They are told on stderr."""
    if args.intervene is None:
        return ()
    from hooks.intervention_file import read_interventions
    from hooks.interventions import in_words

    found = read_interventions(args.intervene)
    say(f"with interventions: {in_words(found)}", to=sys.stderr)
    return found


EXTRAS = {
    **dict.fromkeys(("starlette", "streamlit"), "app"),
    **dict.fromkeys(("sklearn", "umap"), "umap"),
    "gguf": "train",
    "datasets": "data",
    "ray": "ray",
    "wordcloud": "clouds",
}
"""Library -> the extra that brings it. Pictures tell their own (`analysis.export.pictures`)."""


def without_extra(module: str | None) -> str | None:
    """What to do about a library that is not installed; None if it is of no extra, but should be there."""
    library = (module or "").partition(".")[0]
    if library not in EXTRAS:
        return None
    remedy = f"pip install 'versatileffn[{EXTRAS[library]}]' brings it"
    return f"this needs {library}, which is not installed: {remedy}"


def empty_folder(args: argparse.Namespace, earlier: str) -> Path:
    """The folder of `--out`, created if it is missing.

    Raises ValueError if it holds anything, so that runs are never mixed, unless there is `--overwrite`, which replaces
    `earlier` files and leaves all others.
    """
    folder = args.out
    try:
        folder.mkdir(parents=True, exist_ok=True)
        holds = next((path.name for path in folder.iterdir() if not path.name.startswith(".")), None)
    except OSError as error:
        raise ValueError(f"cannot write to {folder}: {error.strerror}") from error
    if holds is not None and not args.overwrite:
        raise ValueError(
            f"{folder} is not empty (it holds {holds}): choose another folder, or add --overwrite, which replaces "
            f"{earlier} and leaves other files as they are"
        )
    return folder


def add_out(command: argparse.ArgumentParser, what: str, earlier: str) -> None:
    """`--out` and `--overwrite`, which `empty_folder` reads."""
    command.add_argument("--out", type=Path, required=True, help=f"folder for {what}; it must be new or empty")
    command.add_argument("--overwrite", action="store_true", help=f"replace {earlier}; other files stay")


__all__ = [
    "add_out",
    "empty_folder",
    "existing_file",
    "existing_folders",
    "interventions_of",
    "port",
    "prompts_of",
    "tell_strange_folders",
    "text_of",
    "trace_file",
    "without_extra",
]
