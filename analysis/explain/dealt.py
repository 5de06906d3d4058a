"""Dealt experts: what agreement and coverage come to when a token has the experts that others of its layer chose.

The chosen experts are slices of the FFN that the depth path runs whole, so they agree with it and hold a part of its
step whichever they are. Only what the token's own choice gives beyond dealt ones says something about the router.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.explain.ledger import divided
from hooks.path_trace import PathTrace

DEALS = 16
"""Choices that every token is dealt, those of tokens evenly spread over the ones that routed in its layer; or all."""


@dataclass(frozen=True, eq=False)
class Dealt:
    """Means over the deals for every captured token of a layer; NaN where it, or no other token, routed."""

    cosine_of_outputs: Float[np.ndarray, " token"]
    """Cosine of the paths' outputs, with the dealt experts and their weights."""
    cosine_of_writes: Float[np.ndarray, " token"]
    """The same of what each path adds."""
    coverage: Float[np.ndarray, " token"]
    """|sum of the dealt experts, unweighted| / |D_1|."""
    cosine: Float[np.ndarray, " token"]
    """Cosine between that sum and D_1."""


def dealt_experts(paths: PathTrace, layer: int) -> Dealt:
    """What `path_cosine` and `first_loop` come to in a captured layer with experts dealt from its other tokens.

    Each routed token keeps its state and its depth path, and takes expert ids and weights of up to DEALS other tokens
    that routed; tokens that the tokenizer added deal none.
    """
    trace = paths.routing
    ran = trace.width_ran[layer, paths.tokens] & ~trace.special[paths.tokens]
    routed = np.flatnonzero(ran)
    found = np.full((4, len(ran)), np.nan)
    if len(routed) > 1:
        steps = np.unique(np.linspace(1, len(routed) - 1, min(DEALS, len(routed) - 1)).astype(int))
        giver = routed[(np.arange(len(routed)) + steps[:, None]) % len(routed)]  # [deal, token]
        ids = trace.expert_ids[layer, paths.tokens][giver]
        weights = trace.expert_weights[layer, paths.tokens][giver].astype(np.float64)
        here = paths.in_layer(layer)
        parts, came = (of[0, routed].astype(np.float64) for of in (here.expert_out, here.states[:, :, 0]))
        left, step = here.depth_out[0, routed].astype(np.float64), here.steps[0, routed, 0]
        nothing, every = np.zeros_like(came), np.ones_like(weights)
        cases = ((came, weights, left), (nothing, weights, left - came), (nothing, every, step))
        sums = [_beside(base, parts, ids, weight, to) for base, weight, to in cases]
        length = sums[2][0] / np.maximum(np.linalg.norm(step, axis=-1), 1e-300)
        found[:, routed] = [each.mean(axis=0) for each in (sums[0][1], sums[1][1], length, sums[2][1])]
    return Dealt(*found)


def _beside(
    base: np.ndarray, parts: np.ndarray, ids: np.ndarray, weights: np.ndarray, to: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Length of base + sum of weights x chosen parts, and its cosine with `to`, both [deal, token].

    base and to [token, hidden], parts [token, expert, hidden], ids and weights [deal, token, k]. From inner products of
    the parts, so that a deal costs no more than its k experts.
    """
    token = np.arange(len(parts))[None, :, None]
    inner = parts @ parts.transpose(0, 2, 1)
    with_base, with_to = (np.einsum("ted,td->te", parts, each) for each in (base, to))
    square = (
        weights[..., None] * weights[..., None, :] * inner[token[..., None], ids[..., None], ids[..., None, :]]
    ).sum(axis=(-1, -2))
    square += np.square(base).sum(-1) + 2 * (weights * with_base[token, ids]).sum(-1)
    length = np.sqrt(np.maximum(square, 0))
    along = (base * to).sum(-1) + (weights * with_to[token, ids]).sum(-1)
    return length, divided(along, length * np.linalg.norm(to, axis=-1))


def dealt_table(paths: PathTrace) -> pd.DataFrame:
    """One row per captured layer x token, layer by layer: what `Dealt` holds, each column ending in _dealt."""
    tables = [pd.DataFrame(vars(dealt_experts(paths, layer))) for layer in paths.layers.tolist()]
    return pd.concat(tables, ignore_index=True).add_suffix("_dealt")


__all__ = ["DEALS", "Dealt", "dealt_experts", "dealt_table"]
