"""Windows: a text longer than the trained context is read in several that overlap, with one pass over each.

A pass sees nothing before its window's first token, and counts positions from there. Each token's numbers come from the
first window that holds it, which has the most context before it: that window owns the token.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """The tokens that one pass reads, as positions in the text."""

    first: int
    own: int
    """First token that this window owns; the tokens before it are read again, as context."""
    end: int
    """Position after the last token."""

    @property
    def own_part(self) -> slice:
        """The tokens that this window owns, as indices into its pass."""
        return slice(self.own - self.first, self.end - self.first)


def reading_windows(tokens: int, context: int, overlap: int) -> list[Window]:
    """One window for a text within the context; else windows of `context` tokens, of which the last may be shorter.

    Each overlaps the one before by `overlap` tokens. Raises ValueError unless the overlap is smaller than the context.
    """
    if not 0 <= overlap < context:
        raise ValueError(f"overlap must be 0..{context - 1} tokens for windows of {context}, got {overlap}")
    starts = range(0, max(tokens - overlap, 1), context - overlap)
    return [Window(first, first and first + overlap, min(first + context, tokens)) for first in starts]


__all__ = ["Window", "reading_windows"]
