"""Options of a run as a frozen dataclass whose fields also define the command line and the settings file.

The fields give the command line (`parse_options`, and the inverse `option_words`), the run's `settings.json`, and the
check that a resumed run has the same settings (`save_settings`). Field types: str, int, float, bool, Path, tuples of
one of these, and `... | None`.
"""

import argparse
import json
from dataclasses import MISSING, Field, asdict, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin

Options = TypeVar("Options")
InCard = Literal["always", "if changed", "never"]


def option(
    default: Any = MISSING,
    help: str = "",
    *,
    fixed: bool = False,
    in_card: InCard = "if changed",
    inherited: bool = False,
    **parser: Any,
) -> Any:
    """A field of an options dataclass; without a default the option is required.

    fixed: it must not change when the run is resumed. in_card: whether the training command in a model card names it.
    inherited: a run that continues another takes its value from there. `parser` is passed to argparse's `add_argument`.
    """
    flags = {"fixed": fixed, "in_card": in_card, "inherited": inherited}
    return field(default=default, metadata={"help": help, "parser": parser, **flags})


def parse_options(kind: type[Options], prog: str, description: str, argv: list[str] | None = None) -> Options:
    """Parse a command line into options. Invalid ones, also by a ValueError of the class, end the program."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=prog, description=description, formatter_class=raw)
    for setting in fields(kind):
        how = {"required": setting.default is MISSING, "default": argparse.SUPPRESS, "help": _help(setting)}
        parser.add_argument(option_name(setting), **how, **_argument(setting.type), **setting.metadata["parser"])
    given = vars(parser.parse_args(argv))
    try:
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})
    except ValueError as error:
        parser.error(str(error))


def option_name(setting: Field) -> str:
    """The command-line flag of a field."""
    return "--" + setting.name.replace("_", "-")


def option_words(options: Any, setting: Field) -> list[str]:
    """The command-line words that set a field to its value; none for None."""
    name, value = option_name(setting), getattr(options, setting.name)
    if value is None:
        return []
    if isinstance(value, bool):
        return [name if value else f"--no-{name[2:]}"]
    return [name, *map(str, value if isinstance(value, tuple) else [value])]


def read_settings(kind: type[Options], path: Path) -> Options:
    """The options in a run's `settings.json`, as `options_of` reads them."""
    return options_of(kind, json.loads(path.read_text()))


def options_of(kind: type[Options], stored: dict[str, Any]) -> Options:
    """Options from their JSON form. Those missing there have their defaults, unknown ones are ignored."""
    return kind(
        **{
            setting.name: _typed(setting.type, stored[setting.name])
            for setting in fields(kind)
            if setting.name in stored
        }
    )


def save_settings(options: Any, path: Path) -> None:
    """Write the options of a run. If it has been started before, its fixed options must not have changed.

    Raises ValueError with one sentence if they have; files are compared by name. A run without the file is accepted.
    """
    now = json.loads(json.dumps(asdict(options), default=str))
    before = json.loads(path.read_text()) if path.exists() else {}
    for setting in fields(options):
        if setting.metadata["fixed"] and setting.name in before:
            was, given = (_by_name(setting.type, settings[setting.name]) for settings in (before, now))
            if was != given:
                name = option_name(setting)
                raise ValueError(
                    f"{path.parent} is a run with {name} {was} and cannot go on with {name} {given}: give the same "
                    "option, or another --out"
                )
    path.write_text(json.dumps(now, indent=2) + "\n")


def _one(kind: Any) -> type:
    """The type of a single value: the item type of a tuple, T of `T | None`."""
    return get_args(kind)[0] if get_origin(kind) in (tuple, UnionType) else kind


def _argument(kind: Any) -> dict:
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    return {"type": _one(kind)} | ({"nargs": "+"} if get_origin(kind) is tuple else {})


def _help(setting: Field) -> str:
    """The help text of a field, with its default."""
    default = "" if setting.default in (MISSING, None) else f"(default: {setting.default})"
    return f"{setting.metadata['help']} {default}".strip().replace("%", "%%")


def _typed(kind: Any, stored: Any) -> Any:
    """A value read from JSON, converted to the type of its field."""
    if stored is None or _one(kind) is not Path:
        return tuple(stored) if isinstance(stored, list) else stored
    return tuple(map(Path, stored)) if isinstance(stored, list) else Path(stored)


def _by_name(kind: Any, stored: Any) -> Any:
    """A value read from JSON for comparison: only the names of files and folders, which may have moved."""
    if stored is None or _one(kind) is not Path:
        return stored
    return [Path(path).name for path in stored] if isinstance(stored, list) else Path(stored).name


__all__ = [
    "InCard",
    "option",
    "option_name",
    "option_words",
    "options_of",
    "parse_options",
    "read_settings",
    "save_settings",
]
