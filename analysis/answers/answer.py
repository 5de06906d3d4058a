"""`Answer`: one or two plain sentences, with the parts that name a token, layer or expert, put together from pieces."""

from dataclasses import dataclass

import numpy as np

from analysis.words.labels import how_many, token_label
from analysis.words.numbers import percent
from hooks.trace import RoutingTrace

MOST_LAYERS_TOLD = 12
"""What happens in every layer is told in words of models with no more layers."""


@dataclass(frozen=True)
class Link:
    """A part of an answer's text that names something that can be selected, or a page."""

    start: int
    end: int
    """The part is `text[start:end]`."""
    layer: int | None = None
    token: int | None = None
    expert: int | None = None
    """An expert of `layer`."""
    page: str | None = None
    """Name of a page that says more. Such a part selects nothing."""


@dataclass(frozen=True)
class Answer:
    """What a page found, in one or two sentences."""

    text: str
    links: tuple[Link, ...] = ()
    """In the order of the text; they do not overlap."""

    def parts(self) -> list[tuple[str, Link | None]]:
        """The text cut into its links and what stands between them; joined, the parts are the text."""
        cut, at = [], 0
        for link in self.links:
            cut += [(self.text[at : link.start], None), (self.text[link.start : link.end], link)]
            at = link.end
        return [(part, link) for part, link in [*cut, (self.text[at:], None)] if part]

    def and_page(self, words: str, page: str) -> "Answer":
        """This answer, followed by a link to a page that says more."""
        start = len(self.text) + 1
        return Answer(f"{self.text} {words}", (*self.links, Link(start, start + len(words), page=page)))


@dataclass(frozen=True)
class Named:
    """Words that name a token, a layer, an expert of a layer, or a page."""

    words: str
    layer: int | None = None
    token: int | None = None
    expert: int | None = None
    page: str | None = None


Piece = str | Named


def answer(*pieces: Piece) -> Answer:
    """The pieces as one text, whose `Named` pieces are its links."""
    text, links = "", []
    for piece in pieces:
        if isinstance(piece, Named):
            end = len(text) + len(piece.words)
            links.append(Link(len(text), end, piece.layer, piece.token, piece.expert, piece.page))
            text += piece.words
        else:
            text += piece
    return Answer(text, tuple(links))


def a_token(trace: RoutingTrace, token: int, *, layer: int | None = None) -> Named:
    """A token in quotes, with its position where the text has several alike. With `layer` the link selects both."""
    label = token_label(trace, int(token))
    alike = sum(other == trace.tokens[token] for other in trace.tokens)
    words = f"“{label}” (token {token})" if alike > 1 else f"“{label}”"
    return Named(words, layer=None if layer is None else int(layer), token=int(token))


def a_layer(layer: int, *, capital: bool = False) -> Named:
    """A layer by its number."""
    return Named(f"{'L' if capital else 'l'}ayer {layer}", layer=int(layer))


def an_expert(expert: int, layer: int, *, capital: bool = False) -> Named:
    """An expert of a layer by its number. Experts of different layers have nothing in common, so name the layer too."""
    return Named(f"{'E' if capital else 'e'}xpert {expert}", layer=int(layer), expert=int(expert))


def share(value: float) -> str:
    """A share, 0..1, in per cent: whole, but never 0% or 100% of something that was not nothing or all."""
    if 0 < value < 0.005:
        return "under 1%"
    if 0.995 <= value < 1:
        return "over 99%"
    return percent(value)


def others_alike(values: np.ndarray, best: int) -> str:
    """Words for how many other values equal the best one; empty if none does."""
    alike = int((values == values[best]).sum()) - 1
    return f" and {how_many(alike, 'other')}" if alike else ""


__all__ = [
    "MOST_LAYERS_TOLD",
    "Answer",
    "Link",
    "Named",
    "a_layer",
    "a_token",
    "an_expert",
    "answer",
    "others_alike",
    "share",
]
