"""The options of a run as one frozen dataclass, of which each field is said once, with its help and its flags.

From the fields come the command line (`parse_options`, and back: `option_words`), the run's `settings.json`, and the
check that a run which goes on is the same one (`save_settings`). Field types: str, int, float, bool, Path, tuples of
one of these, and `... | None`.
"""

import argparse
import json
from dataclasses import MISSING, Field, asdict, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin

Options = TypeVar("Options")
Told = Literal["always", "if changed", "never"]


def option(
    default: Any = MISSING,
    help: str = "",
    *,
    shapes: bool = False,
    told: Told = "if changed",
    inherited: bool = False,
    **parser: Any,
) -> Any:
    """A field of an options dataclass; without a default the option must be given.

    shapes: it must stay the same when the run goes on. told: whether a model card names it. inherited: a run that
    continues another takes it over from there. `parser` goes to argparse's `add_argument` as it is.
    """
    flags = {"fixed": shapes, "told": told, "inherited": inherited}
    return field(default=default, metadata={"help": help, "parser": parser, **flags})


def parse_options(kind: type[Options], prog: str, description: str, argv: list[str] | None = None) -> Options:
    """The options of a command line; a mistake, also one that the class itself refuses, ends the program."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=prog, description=description, formatter_class=raw)
    for each in fields(kind):
        how = {"required": each.default is MISSING, "default": argparse.SUPPRESS, "help": _help(each)}
        parser.add_argument(option_name(each), **how, **_argument(each.type), **each.metadata["parser"])
    given = vars(parser.parse_args(argv))
    try:
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})
    except ValueError as error:
        parser.error(str(error))


def option_name(each: Field) -> str:
    """How the command line calls a field."""
    return "--" + each.name.replace("_", "-")


def option_words(options: Any, each: Field) -> list[str]:
    """The words of a command line that give a field its value; none for None."""
    name, value = option_name(each), getattr(options, each.name)
    if value is None:
        return []
    if isinstance(value, bool):
        return [name if value else f"--no-{name[2:]}"]
    return [name, *map(str, value if isinstance(value, tuple) else [value])]


def read_settings(kind: type[Options], path: Path) -> Options:
    """The options of the run that wrote `settings.json`: what an older version did not ask is at its default.

    What no option asks any more is left out.
    """
    stored = json.loads(path.read_text())
    return kind(**{each.name: _typed(each.type, stored[each.name]) for each in fields(kind) if each.name in stored})


def save_settings(options: Any, path: Path) -> None:
    """Write the options of a run; if it has some already, those that shape it must be the same, files by name.

    Raises ValueError with one sentence if they are not. A run without the file, of an older version, is accepted.
    """
    now = json.loads(json.dumps(asdict(options), default=str))
    before = json.loads(path.read_text()) if path.exists() else {}
    for each in fields(options):
        if each.metadata["fixed"] and each.name in before:
            was, given = (_by_name(each.type, settings[each.name]) for settings in (before, now))
            if was != given:
                name = option_name(each)
                raise ValueError(
                    f"{path.parent} is a run with {name} {was} and cannot go on with {name} {given}: give the same "
                    "option, or another --out"
                )
    path.write_text(json.dumps(now, indent=2) + "\n")


def _one(kind: Any) -> type:
    """The type of one value: of a tuple its items', of `... | None` what is not None."""
    return get_args(kind)[0] if get_origin(kind) in (tuple, UnionType) else kind


def _argument(kind: Any) -> dict:
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    return {"type": _one(kind)} | ({"nargs": "+"} if get_origin(kind) is tuple else {})


def _help(each: Field) -> str:
    """Its help and its default."""
    default = "" if each.default in (MISSING, None) else f"(default: {each.default})"
    return f"{each.metadata['help']} {default}".strip().replace("%", "%%")


def _typed(kind: Any, stored: Any) -> Any:
    """A value read from JSON as its field holds it."""
    if stored is None or _one(kind) is not Path:
        return tuple(stored) if isinstance(stored, list) else stored
    return tuple(map(Path, stored)) if isinstance(stored, list) else Path(stored)


def _by_name(kind: Any, stored: Any) -> Any:
    """A value read from JSON for comparison: of files and folders the names, since they may have moved."""
    if stored is None or _one(kind) is not Path:
        return stored
    return [Path(path).name for path in stored] if isinstance(stored, list) else Path(stored).name


__all__ = ["Told", "save_settings", "option", "option_name", "option_words", "parse_options", "read_settings"]
