"""`python -m app completion SHELL`: a script with which a shell completes the installed command `versatileffn`."""

import argparse
from pathlib import Path

from app.cli_output import say

SHELLS = ("bash", "zsh", "fish", "tcsh")
COMMAND = "versatileffn"


def add_completion(commands: argparse._SubParsersAction, top: argparse.ArgumentParser) -> None:
    """The command's arguments; `top` is the whole command line, which the script completes."""

    def completion(args: argparse.Namespace) -> None:
        try:
            import shtab
        except ImportError:
            raise ValueError("completion needs the package shtab: pip install shtab") from None
        for parser in (top, *commands.choices.values()):
            for action in parser._actions:
                if action.type is Path:
                    action.complete = shtab.DIRECTORY if action.dest in ("out", "models", "target") else shtab.FILE
        top.prog = COMMAND
        say(shtab.complete(top, args.shell))

    command = commands.add_parser("completion", help=f"print a completion script of the installed {COMMAND}")
    command.add_argument("shell", choices=SHELLS)
    command.set_defaults(run=completion)


__all__ = ["add_completion"]
