"""Write ledger: the writes of a layer's FFN to the residual stream, and all writes to the stream of a token.

The writes of an FFN are (1 - lambda) * D_l for every loop that ran, and lambda * w_e * f_e(H) for every chosen expert.
They sum to its update Y - H exactly (up to rounding), and their projections on the update sum to its length.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from beartype import beartype
from jaxtyping import Bool, Float, Int, jaxtyped

from analysis.words.numbers import significant
from hooks.path_trace import PathTrace

TOLERANCE = {"float32": 1e-5, "float64": 1e-5, "bfloat16": 2e-2, "float16": 5e-3}
"""Model's number format -> least allowed gap between the sum of the writes and the update, relative to the update."""
ROUNDOFF = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}
"""Number format -> largest relative error of a rounded number."""
STREAM_UNITS = 2
"""Allowed gap in units of ROUNDOFF * |stream|: the model rounds the whole stream, however little a layer adds to it.
The shipped models have up to 0.9 in every number format."""
MOST_ROUNDING = 0.2
"""Where rounding alone makes up more of an update than this, its parts are not drawn."""


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False)
class LayerLedger:
    """The FFN writes of one layer. Axis `write`: the loops 1..max_loops, then the chosen experts, best first.

    A write that did not run is zero in `writes` and NaN in every measure.
    """

    layer: int
    first_token: int
    loops: int
    """How many entries of the write axis are loops."""
    expert_ids: Int[np.ndarray, "token k"]
    ran: Bool[np.ndarray, "token write"]
    weight: Float[np.ndarray, "token write"]
    """1 - lambda for a loop, lambda * w_e for an expert."""
    writes: Float[np.ndarray, "token write hidden"]
    update: Float[np.ndarray, "token hidden"]
    """Y - H: what the FFN added, taken from the model's own output."""
    allowed: Float[np.ndarray, " token"]
    """Largest residual that rounding explains: `allowed_residual`."""

    @cached_property
    def update_norm(self) -> Float[np.ndarray, " token"]:
        """Euclidean length of the update."""
        return np.linalg.norm(self.update, axis=-1)

    @cached_property
    def norm(self) -> Float[np.ndarray, "token write"]:
        """Length of each write, weight included."""
        return np.where(self.ran, np.linalg.norm(self.writes, axis=-1), np.nan)

    @cached_property
    def projection(self) -> Float[np.ndarray, "token write"]:
        """Length along the update, negative if a write works against it; a token's projections sum to `update_norm`."""
        along = np.einsum("twd,td->tw", self.writes, self.update)
        return np.where(self.ran, divided(along, self.update_norm[:, None]), np.nan)

    @cached_property
    def share(self) -> Float[np.ndarray, "token write"]:
        """Projection as a share of the update; a token's shares sum to 1."""
        return divided(self.projection, self.update_norm[:, None])

    @cached_property
    def cosine(self) -> Float[np.ndarray, "token write"]:
        """Cosine between a write and the update."""
        return divided(self.projection, self.norm)

    @cached_property
    def residual(self) -> Float[np.ndarray, " token"]:
        """Length of (sum of the writes - update), relative to the update: the part that the writes do not explain.

        inf where the update is zero but the sum of the writes is not.
        """
        return divided(np.linalg.norm(self.writes.sum(axis=1) - self.update, axis=-1), self.update_norm)

    def names(self, index: int) -> list[str]:
        """Names of the writes of a token (its index among the captured ones): loop 1.., expert 4, .."""
        experts = [f"expert {expert}" for expert in self.expert_ids[index].tolist()]
        return [*(f"loop {loop}" for loop in range(1, self.loops + 1)), *experts]


def layer_ledger(paths: PathTrace, layer: int) -> LayerLedger:
    """The writes of a captured layer for all captured tokens, in float64."""
    row, tokens, trace = paths.row(layer), paths.tokens, paths.routing
    gate = trace.gate[layer, tokens].astype(np.float64)[:, None]
    loop_ran = np.arange(1, trace.max_loops + 1) <= trace.loops[layer, tokens][:, None]
    ids = trace.expert_ids[layer, tokens]
    ran = np.concatenate([loop_ran, trace.expert_ran[layer, tokens]], axis=1)
    expert_weight = gate * trace.expert_weights[layer, tokens]
    weight = np.concatenate([np.broadcast_to(1 - gate, loop_ran.shape), expert_weight], axis=1)
    weight = np.where(ran, weight, 0.0)
    experts = np.take_along_axis(paths.expert_out[row], ids[..., None], axis=1)
    return LayerLedger(
        layer=layer,
        first_token=paths.first_token,
        loops=trace.max_loops,
        expert_ids=ids,
        ran=ran,
        weight=weight,
        writes=weight[..., None] * np.concatenate([paths.in_layer(layer).steps[0], experts], axis=1),
        update=paths.resid_post[row].astype(np.float64) - paths.states[row, :, 0],
        allowed=allowed_residual(paths, layer),
    )


def tolerance(paths: PathTrace) -> float:
    """Least allowed residual for the number format of the model."""
    return TOLERANCE[_number_format(paths)]


def allowed_residual(paths: PathTrace, layer: int) -> Float[np.ndarray, " token"]:
    """Largest residual that rounding explains at every captured token of a captured layer.

    It grows with the stream: the update is a difference of two states that were rounded as a whole.
    """
    row = paths.row(layer)
    before, after = (each.astype(np.float64) for each in (paths.states[row, :, 0], paths.resid_post[row]))
    stream = np.maximum(np.linalg.norm(before, axis=-1), np.linalg.norm(after, axis=-1))
    update = np.linalg.norm(after - before, axis=-1)
    scaled = STREAM_UNITS * ROUNDOFF[_number_format(paths)] * divided(stream, update)
    return np.maximum(tolerance(paths), np.where(update > 0, scaled, 0.0))


def imbalance(paths: PathTrace, residual: np.ndarray, allowed: np.ndarray | float | None = None) -> str | None:
    """One sentence for a figure to show instead if a residual exceeds what is allowed, else None.

    `allowed` is as large as `residual`; without it, `tolerance`.
    """
    residual, allowed = np.broadcast_arrays(np.atleast_1d(residual), tolerance(paths) if allowed is None else allowed)
    at = int(np.argmax(residual / allowed))
    worst, bound = float(residual[at]), float(allowed[at])
    if worst <= bound:
        if residual.max() <= MOST_ROUNDING:
            return None
        return (
            f"Not drawn: rounding the stream to {_number_format(paths)} makes up {residual.max():.0%} of what was "
            "written into it. Load the model in float32."
        )
    if np.isinf(worst):
        return "Not drawn: the model's own sum is zero where that of the writes is not, so they would not explain it."
    return (
        f"Not drawn: the writes differ from the model's own sum by {significant(worst, 2)} of it, more than "
        f"{significant(bound, 1)}, so they would not explain it."
    )


def ledger_table(paths: PathTrace) -> pd.DataFrame:
    """One row per captured layer x token x write, with the token's update norm and residual; NaN where it did not run.

    `write` is loop 1.. or expert n; `rank` is the loop's number, or 1 for the first expert.
    """
    tables = [_layer_table(paths, layer) for layer in paths.layers.tolist()]
    return pd.concat(tables, ignore_index=True)


def stream_ledger(paths: PathTrace, token: int) -> pd.DataFrame:
    """All writes to the residual stream at one token: embedding, then attention, loops and experts of every layer.

    One row per write that ran: layer (-1 for the embedding), kind, write, norm, and its projection on the stream that
    the final norm reads; the projections sum to that stream's length. The relative gap between the sum of all writes
    and that stream is in `table.attrs["residual"]`, the stream's length in `table.attrs["final_norm"]`.
    """
    vectors, table = stream_writes(paths, token)
    final = paths.resid_final[paths.index(token)].astype(np.float64)
    length = float(np.linalg.norm(final))
    table = table.assign(norm=np.linalg.norm(vectors, axis=1), projection=divided(vectors @ final, length))
    residual = float(divided(np.linalg.norm(vectors.sum(axis=0) - final), length))
    table.attrs |= {"residual": residual, "final_norm": length}
    return table


def stream_writes(paths: PathTrace, token: int) -> tuple[Float[np.ndarray, "write hidden"], pd.DataFrame]:
    """Vectors of all writes at one token that ran, and a table of layer, kind, rank, write. They sum to the stream.

    Raises ValueError unless all layers were captured.
    """
    if len(paths.layers) != paths.routing.num_layers:
        raise ValueError(f"the stream needs all layers, got {paths.layers.tolist()}: capture all of them")
    paths = paths.only(token)
    vectors = [paths.embedding[0].astype(np.float64)]
    names = [(-1, "embedding", 0, "embedding")]
    for layer in paths.layers.tolist():
        ledger, row = layer_ledger(paths, layer), paths.row(layer)
        vectors.append(paths.states[row, 0, 0].astype(np.float64) - paths.resid_pre[row, 0])
        names.append((layer, "attention", 0, "attention"))
        for write, name in enumerate(ledger.names(0)):
            if ledger.ran[0, write]:
                kind, rank = name.split()[0], write + 1 - (ledger.loops if write >= ledger.loops else 0)
                vectors.append(ledger.writes[0, write])
                names.append((layer, kind, rank, name))
    return np.array(vectors), pd.DataFrame(names, columns=["layer", "kind", "rank", "write"])


def stream_table(paths: PathTrace) -> pd.DataFrame:
    """`stream_ledger` of all captured tokens, with each token's text, residual and stream length."""
    tables = []
    for token in range(paths.first_token, paths.end_token):
        table = stream_ledger(paths, token)
        known = {"token": token, "text": paths.routing.tokens[token]}
        tables.append(pd.DataFrame(known, index=table.index).join(table.assign(**table.attrs)))
    for table in tables:
        table.attrs = {}
    return pd.concat(tables, ignore_index=True)


def _number_format(paths: PathTrace) -> str:
    return paths.routing.meta.get("dtype", "float32")


def divided(value: np.ndarray, by: np.ndarray | float) -> np.ndarray:
    """value / by; 0 where both are zero, inf where only `by` is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = np.true_divide(value, by)
    return np.where((value == 0) & (by == 0), 0.0, quotient)


def _layer_table(paths: PathTrace, layer: int) -> pd.DataFrame:
    ledger = layer_ledger(paths, layer)
    index, write = (axis.ravel() for axis in np.indices(ledger.ran.shape))
    names = np.array([ledger.names(i) for i in range(len(ledger.ran))], dtype=object)
    measures = {name: getattr(ledger, name).ravel() for name in ("weight", "norm", "projection", "share", "cosine")}
    return pd.DataFrame(
        {
            "layer": layer,
            "token": index + ledger.first_token,
            "text": np.array(paths.routing.tokens, dtype=object)[index + ledger.first_token],
            "write": names.ravel(),
            "rank": np.where(write < ledger.loops, write, write - ledger.loops) + 1,
            "ran": ledger.ran.ravel(),
            **measures,
            "update_norm": ledger.update_norm[index],
            "residual": ledger.residual[index],
        }
    )


__all__ = [
    "LayerLedger", "ROUNDOFF", "TOLERANCE", "allowed_residual", "divided", "imbalance", "layer_ledger", "ledger_table",
    "stream_ledger", "stream_table", "stream_writes", "tolerance",
]  # fmt: skip
