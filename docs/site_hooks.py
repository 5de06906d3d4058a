"""What `make docs` adds to the pages: the help of every command.

mkdocs calls the functions that begin with `on_`. Needs no package but this project's own files.
"""

import argparse
import os

from app.cli import parser

MARK = "<!-- commands -->"


def commands() -> str:
    """Markdown with the help of every command."""
    os.environ["COLUMNS"] = "100"
    top = parser()
    choices = next(each for each in top._actions if isinstance(each, argparse._SubParsersAction)).choices
    return "\n".join(f"## {name}\n\n```text\n{command.format_help()}```\n" for name, command in choices.items())


def on_page_markdown(markdown: str, **_) -> str:
    """The page with the help of every command in the place of the mark."""
    return markdown.replace(MARK, commands()) if MARK in markdown else markdown
