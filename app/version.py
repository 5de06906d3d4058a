"""The version of this program: of the checkout that it runs from or, once it is installed, of its distribution."""

import tomllib
from importlib.metadata import packages_distributions
from importlib.metadata import version as installed
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def version() -> str:
    """The version as in pyproject.toml."""
    if PROJECT.is_file():
        return tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["version"]
    return installed(packages_distributions()[__name__.partition(".")[0]][0])


__all__ = ["version"]
