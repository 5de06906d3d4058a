"""Every figure that the pages show, once: name, words, picture and the table behind it. Pages and exports walk this."""

from analysis.catalogue.figure_spec import Drawn, FigureSpec, routing_of
from analysis.catalogue.many_texts import MANY_TEXTS
from analysis.catalogue.mechanism import MECHANISM
from analysis.catalogue.reading import READING

CATALOGUE: tuple[FigureSpec, ...] = (*READING, *MECHANISM, *MANY_TEXTS)
_BY_NAME = {each.name: each for each in CATALOGUE}


def spec(name: str) -> FigureSpec:
    """The catalogue's entry of this name; ValueError names the known ones."""
    if name not in _BY_NAME:
        raise ValueError(f"there is no figure {name!r}; there are {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


__all__ = ["CATALOGUE", "Drawn", "FigureSpec", "routing_of", "spec"]
