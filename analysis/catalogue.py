"""Every figure, once: name, words, picture and the table behind it. Pages and exports walk this.

The entries stand beside the figures, as `FIGURES` at the end of each file; here the files of all figures that
`analysis.figures` exports are put in a row.
"""

from importlib import import_module

from analysis import figures
from analysis.figures.figure_spec import Choice, Drawn, FigureSpec, routing_of

_FILES = dict.fromkeys(getattr(figures, name).__module__ for name in figures.__all__ if name.endswith("_figure"))
CATALOGUE: tuple[FigureSpec, ...] = tuple(found for file in _FILES for found in import_module(file).FIGURES)
_BY_NAME = {found.name: found for found in CATALOGUE}


def spec(name: str) -> FigureSpec:
    """The catalogue's entry of this name; ValueError names the known ones."""
    if name not in _BY_NAME:
        raise ValueError(f"there is no figure {name!r}; there are {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


__all__ = ["CATALOGUE", "Choice", "Drawn", "FigureSpec", "routing_of", "spec"]
