"""PathTrace: what both paths of chosen layers computed for chosen tokens, as numpy arrays.

Names of axes as in `hooks.trace`, and three more:
    row     captured layer, in the order of `layers`
    state   recursion state, from 0: H(0) is the FFN's input, H(l) the state after loop l
    hidden  entry of the residual stream
The token axis holds only the captured tokens: entry 0 is token `first_token` of the text.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
from beartype import beartype
from jaxtyping import Float, Int, jaxtyped

from hooks.trace import RoutingTrace

BYTES_PER_NUMBER = 4


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False)
class PathTrace:
    """Recursion states, expert outputs and residual stream of chosen layers and tokens, routed as a trace says.

    It also holds states of loops beyond those that a token took, and outputs of experts that it did not choose. These
    did not reach the layer's output: `loops`, `width_ran` and `expert_ids` of `routing` say what did.
    """

    routing: RoutingTrace
    """The trace of the whole text, whose decisions the pass replayed."""
    layers: Int[np.ndarray, " row"]
    """Captured layers, ascending."""
    first_token: int
    """Position in the text of the first captured token."""
    states: Float[np.ndarray, "row token state hidden"]
    """H(0)..H(max_loops): those beyond `routing.loops` are not used."""
    expert_out: Float[np.ndarray, "row token expert hidden"]
    """f_e(H) of every expert, without the residual; over experts they sum to H(1) - H(0)."""
    resid_pre: Float[np.ndarray, "row token hidden"]
    """Residual stream before the layer's attention; H(0) minus it is what attention wrote."""
    resid_post: Float[np.ndarray, "row token hidden"]
    """Residual stream after the layer: Y."""
    embedding: Float[np.ndarray, "token hidden"]
    """Residual stream before layer 0."""
    resid_final: Float[np.ndarray, "token hidden"]
    """Residual stream after the last layer."""
    norm_scale: Float[np.ndarray, " token"]
    """1 / root mean square of `resid_final`, as the final norm applies it."""
    norm_weight: Float[np.ndarray, " hidden"]
    """The final norm's weight."""

    def __post_init__(self) -> None:
        if self.end_token > self.routing.num_tokens:
            raise ValueError(f"tokens {self.first_token}..{self.end_token - 1} lie outside {self.routing.num_tokens}")
        for field in fields(self):
            if field.name not in ("routing", "first_token"):
                getattr(self, field.name).setflags(write=False)

    @property
    def num_tokens(self) -> int:
        """Captured tokens."""
        return self.states.shape[1]

    @property
    def end_token(self) -> int:
        """Position after the last captured token."""
        return self.first_token + self.num_tokens

    @property
    def tokens(self) -> slice:
        """The captured tokens, for arrays over the whole text."""
        return slice(self.first_token, self.end_token)

    @property
    def nbytes(self) -> int:
        """Size of the arrays; `path_bytes` computes it in advance."""
        arrays = (getattr(self, field.name) for field in fields(self))
        return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))

    def row(self, layer: int) -> int:
        """Row of a captured layer; ValueError names the captured ones."""
        rows = np.flatnonzero(self.layers == layer)
        if not len(rows):
            raise ValueError(f"layer {layer} was not captured, only {self.layers.tolist()}: capture it too")
        return int(rows[0])

    def index(self, token: int) -> int:
        """Index of a token of the text among the captured ones; ValueError names their range."""
        if not self.first_token <= token < self.end_token:
            raise ValueError(
                f"token {token} was not captured, only {self.first_token}..{self.end_token - 1}: capture it too"
            )
        return token - self.first_token

    def only(self, token: int) -> "PathTrace":
        """The same capture, cut to one token of the text."""
        index = self.index(token)
        part = slice(index, index + 1)
        by_row = {name: getattr(self, name)[:, part] for name in ("states", "expert_out", "resid_pre", "resid_post")}
        by_token = {name: getattr(self, name)[part] for name in ("embedding", "resid_final", "norm_scale")}
        return replace(self, first_token=token, **by_row, **by_token)

    def in_layer(self, layer: int) -> "PathTrace":
        """The same capture, cut to one captured layer, of which row 0 of the derived arrays then is."""
        row = self.row(layer)
        part = slice(row, row + 1)
        names = ("layers", "states", "expert_out", "resid_pre", "resid_post")
        return replace(self, **{name: getattr(self, name)[part] for name in names})

    # Derived: never stored, since those of all layers are as large as the capture itself ------------------------------

    @property
    def steps(self) -> Float[np.ndarray, "row token loop hidden"]:
        """D_l = H(l) - H(l-1): what loop l adds to the state; those beyond `routing.loops` are not used."""
        return np.diff(self.states.astype(np.float64), axis=2)

    @property
    def width_out(self) -> Float[np.ndarray, "row token hidden"]:
        """Y_width = H + sum_k w_k f_{e_k}(H); what it would have been where `width_ran` is False."""
        ids = self.routing.expert_ids[self.layers, self.tokens]
        weights = self.routing.expert_weights[self.layers, self.tokens].astype(np.float64)
        chosen = np.take_along_axis(self.expert_out, ids[..., None], axis=2)
        return self.states[:, :, 0] + np.einsum("rtk,rtkd->rtd", weights, chosen)

    @property
    def depth_out(self) -> Float[np.ndarray, "row token hidden"]:
        """Y_depth = H(loops), the state at which the token left."""
        loops = self.routing.loops[self.layers, self.tokens]
        return np.take_along_axis(self.states, loops[..., None, None], axis=2)[:, :, 0]


def path_bytes(config, layers: int, tokens: int) -> int:
    """Bytes of a PathTrace of this many layers and tokens (without its RoutingTrace), known before the model runs.

    Of the model's `config` it uses hidden_size, max_loops and num_experts. During the pass, one layer's tensors for the
    whole text come on top.
    """
    vectors = layers * (config.max_loops + 1 + config.num_experts + 2) + 2  # states, experts, stream; both ends of it
    numbers = tokens * (vectors * config.hidden_size + 1) + config.hidden_size
    return BYTES_PER_NUMBER * numbers + np.dtype(np.int64).itemsize * layers


__all__ = ["PathTrace", "path_bytes"]
