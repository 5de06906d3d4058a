"""The catalogue of all figures, from which pages and exports are made.

Its entries are the `FIGURES` at the end of each file of figures, in the order in which `analysis.figures` exports them.
"""

from importlib import import_module

from analysis import figures
from analysis.figures.figure_spec import Choice, Drawn, FigureSpec, OfTexts, routing_of

_FILES = dict.fromkeys(getattr(figures, name).__module__ for name in figures.__all__ if name.endswith("_figure"))
CATALOGUE: tuple[FigureSpec, ...] = tuple(entry for file in _FILES for entry in import_module(file).FIGURES)
_BY_NAME = {entry.name: entry for entry in CATALOGUE}


def spec(name: str) -> FigureSpec:
    """The catalogue's entry of this name; ValueError names the known ones."""
    if name not in _BY_NAME:
        raise ValueError(f"there is no figure {name!r}; there are {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


__all__ = ["CATALOGUE", "Choice", "Drawn", "FigureSpec", "OfTexts", "routing_of", "spec"]
