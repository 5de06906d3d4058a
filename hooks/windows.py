"""How a text longer than the trained context is read: in windows that overlap, each a pass of its own.

A window sees nothing before its first token, and counts its positions from there. Each token's numbers come from the
first window that holds it, where it has the most context before it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """The tokens that one pass reads, as positions in the text."""

    first: int
    own: int
    """First token whose numbers come from this pass; those before it are read again, as context."""
    end: int
    """Position after the last token."""

    @property
    def own_part(self) -> slice:
        """The tokens whose numbers come from this pass, as indices into it."""
        return slice(self.own - self.first, self.end - self.first)


def reading_windows(tokens: int, context: int, overlap: int) -> list[Window]:
    """One window for a text within the context; else windows of `context` tokens, of which the last may be shorter.

    Each overlaps the former by `overlap` tokens. Raises ValueError for an overlap that would never come to an end.
    """
    if not 0 <= overlap < context:
        raise ValueError(f"overlap must be 0..{context - 1} tokens for windows of {context}, got {overlap}")
    starts = range(0, max(tokens - overlap, 1), context - overlap)
    return [Window(first, first and first + overlap, min(first + context, tokens)) for first in starts]


__all__ = ["Window", "reading_windows"]
