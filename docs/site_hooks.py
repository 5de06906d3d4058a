"""What `make docs` adds to the pages: the help of every command, and pages that are there without a place of their own.

mkdocs calls the functions that begin with `on_`. Needs no package but this project's own files.
"""

import argparse
import os
from pathlib import Path

from app.cli import parser

FOLDER = Path(__file__).parent
MARK = "<!-- commands -->"
HOW_TO = "How to"
ADAPTERS = "adapters.md"


def commands() -> str:
    """Markdown with the help of every command."""
    os.environ["COLUMNS"] = "100"
    top = parser()
    choices = next(each for each in top._actions if isinstance(each, argparse._SubParsersAction)).choices
    return "\n".join(f"## {name}\n\n```text\n{command.format_help()}```\n" for name, command in choices.items())


def on_config(config):
    """Give the page about families of models its place, if it is there."""
    if (FOLDER / ADAPTERS).is_file():
        how_to = next(section[HOW_TO] for section in config.nav if HOW_TO in section)
        if ADAPTERS not in (page for entry in how_to for page in entry.values()):
            how_to.append({"Add a family of models": ADAPTERS})
    return config


def on_page_markdown(markdown: str, **_) -> str:
    """The page with the help of every command in the place of the mark."""
    return markdown.replace(MARK, commands()) if MARK in markdown else markdown
