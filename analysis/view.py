"""View: the selection and the way of looking. A figure depends on its data, a view and its options only."""

from dataclasses import dataclass
from typing import Literal

Theme = Literal["light", "dark"]
Level = Literal["token", "word"]
WINDOW = 256
PAGE_PX = 1060
"""Least width in pixels of a figure that fills a wide page."""


@dataclass(frozen=True)
class View:
    """The selected cell, the part of the text that is drawn, and the theme."""

    layer: int = 0
    token: int = 0
    window: tuple[int, int] | None = None
    """Tokens drawn by the maps, (first, last + 1); None = the whole text."""
    theme: Theme = "light"
    room: int = PAGE_PX
    """Width of a map in pixels, which decides whether its tokens are named and its cells numbered."""
    level: Level = "token"
    """What a column of the maps of difficulty, gate and loops is: a token, or a word with the mean over its tokens."""
    checkpoint: int | None = None
    """Index of the training checkpoint that is shown, from 0; None = the last."""

    def span(self, num_tokens: int) -> tuple[int, int]:
        """First and last + 1 token drawn, within the text."""
        if self.window is None:
            return 0, num_tokens
        first, end = max(self.window[0], 0), min(self.window[1], num_tokens)
        if first >= end:
            raise ValueError(f"window {self.window} holds no token of a text of {num_tokens} tokens")
        return first, end


DEFAULT_VIEW = View()


def window_around(token: int, num_tokens: int, width: int = WINDOW) -> tuple[int, int] | None:
    """Window of `width` tokens that holds `token`; None when the whole text fits.

    Windows start at multiples of half the width, so that stepping through the text seldom moves the map. The token has
    at least a quarter of the window on both sides, except at the ends of the text.
    """
    if num_tokens <= width:
        return None
    half = max(width // 2, 1)
    first = max((token - half // 2) // half * half, 0)
    first = min(first, num_tokens - width)
    return first, first + width


__all__ = ["DEFAULT_VIEW", "PAGE_PX", "WINDOW", "Level", "Theme", "View", "window_around"]
