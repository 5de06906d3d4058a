"""AttentionTrace: what the attention heads of every layer read at one token, as numpy arrays.

Names of axes as in `hooks.trace`, and four more:
    head     attention head, from 0
    shared   key head: as many as heads, or fewer where several heads share one (grouped-query attention)
    channel  entry of a query or key
    read     token that is read: from the first of the reading token's window (`RoutingTrace.windows`) up to itself
"""

from dataclasses import dataclass, fields

import numpy as np
from beartype import beartype
from jaxtyping import Float, jaxtyped
from scipy.special import softmax

from hooks.trace import RoutingTrace
from hooks.windows import Window

BYTES_PER_NUMBER = 4


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False)
class AttentionTrace:
    """The attention weights of every head of every layer at one token."""

    routing: RoutingTrace
    """The whole text's trace."""
    as_read: RoutingTrace
    """The same trace, with all tokens of the reading token's window as that window routed them. In a long text a window
    routes the tokens that it shares with the window before again, and its heads read that version of them."""
    token: int
    """The reading token, at which the queries are."""
    pattern: Float[np.ndarray, "layer head read"]
    """Attention weights; rows sum to 1. A layer's attention comes before its routing."""
    gap: Float[np.ndarray, " layer"]
    """Length of (attention's write rebuilt from the weights - the model's own), relative to the stream after it."""

    def __post_init__(self) -> None:
        reads = self.pattern.shape[2]
        if self.token >= self.routing.num_tokens or reads != self.token + 1 - self.first_read:
            raise ValueError(
                f"token {self.token} of {self.routing.num_tokens} reads itself and those before, not {reads}"
            )
        _freeze(self)

    @property
    def first_read(self) -> int:
        """Position in the text of the first token read."""
        return self.routing.window_of(self.token).first

    @property
    def reads(self) -> slice:
        """The tokens read, for arrays over the whole text."""
        return slice(self.first_read, self.token + 1)


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False)
class AttentionInputs:
    """Queries and keys of all layers, after the rotary embedding. Their size grows with the text, not with its square.

    The token axis is one window: the whole text, unless it is longer than the trained context.
    """

    routing: RoutingTrace
    """The whole text's trace."""
    as_read: RoutingTrace
    """As in AttentionTrace."""
    window: Window
    """The part of the text that the token axis covers."""
    queries: Float[np.ndarray, "layer head token channel"]
    keys: Float[np.ndarray, "layer shared token channel"]
    scale: float
    """Factor of the scores q·k."""
    gap: Float[np.ndarray, "layer token"]
    """As in AttentionTrace, for every token."""

    def __post_init__(self) -> None:
        _freeze(self)

    def at(self, token: int) -> AttentionTrace:
        """What the heads read at a token. Runs no model. ValueError if another window owns the token."""
        if not self.window.own <= token < self.window.end:
            other = token < self.routing.num_tokens
            raise ValueError(
                f"token must be {self.window.own}..{self.window.end - 1}, got {token}"
                + (f", of another window of the text: capture_attention(..., token={token})" if other else "")
            )
        layers, shared, _, channels = self.keys.shape
        at = token - self.window.first
        query = self.queries[:, :, at].reshape(layers, shared, -1, channels)  # heads that share keys are neighbours
        scores = self.scale * (query @ self.keys[:, :, : at + 1].swapaxes(-1, -2))
        pattern = softmax(scores, axis=-1).reshape(layers, -1, at + 1)
        return AttentionTrace(self.routing, self.as_read, token, pattern.astype(np.float32), self.gap[:, at])


def attention_bytes(layers: int, tokens: int, hidden_size: int) -> int:
    """Most bytes of AttentionInputs, without its RoutingTrace, if all heads together are as wide as the stream."""
    return BYTES_PER_NUMBER * layers * tokens * (2 * hidden_size + 1)


def _freeze(result: AttentionTrace | AttentionInputs) -> None:
    for field in fields(result):
        if isinstance(getattr(result, field.name), np.ndarray):
            getattr(result, field.name).setflags(write=False)


__all__ = ["AttentionInputs", "AttentionTrace", "attention_bytes"]
