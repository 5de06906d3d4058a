"""Walkthrough: all numbers of one token in one layer, from the FFN's input to its output.

Both paths start from H. Y_depth is the state after the loops that ran, Y_width adds the weighted experts to H, and the
layer's output is lambda * Y_width + (1 - lambda) * Y_depth: a point on the straight line between the two.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from beartype import beartype
from jaxtyping import Float, jaxtyped

from analysis.experts import router_probs
from analysis.explain.ledger import allowed_residual, divided
from analysis.recursion import depth_margin
from analysis.words.numbers import number
from hooks.path_trace import PathTrace
from hooks.trace import RoutingTrace


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False)
class Walkthrough:
    """The numbers of one token in one layer. Lengths are Euclidean norms in the residual stream."""

    layer: int
    token: int
    input_norm: float
    """Length of X, the stream before attention."""
    depth: pd.DataFrame
    """One row per number of loops: loops, logit, probability, ran."""
    margin: float
    """Depth logit of the winner minus the runner-up's; NaN with one loop."""
    expected_loops: float
    loops: int
    max_loops: int
    gate: float
    width_ran: bool
    experts: pd.DataFrame
    """One row per expert, best first: expert, logit, probability (over all), kept (among the top k), weight (over the
    top k), length of its output. If the width path did not run, `kept` and `weight` are what it would have chosen."""
    state_norms: Float[np.ndarray, " state"]
    """Lengths of H = H(0), H(1), ..; those beyond `loops` were computed for this capture only."""
    step_norms: Float[np.ndarray, " loop"]
    """Lengths of D_l = H(l) - H(l-1)."""
    width_norm: float
    """Length of Y_width; NaN where the width path did not run."""
    depth_norm: float
    output_norm: float
    """Length of Y as the model wrote it."""
    residual: float
    """Length of (lambda * Y_width + (1 - lambda) * Y_depth - Y), relative to Y - H."""
    allowed: float
    """Largest residual that rounding explains: `allowed_residual` of the ledger."""


def walkthrough(paths: PathTrace, layer: int, token: int) -> Walkthrough:
    """The numbers of one token in one layer. Raises ValueError if the token or layer was not captured."""
    paths = paths.only(token).in_layer(layer)
    trace = paths.routing
    max_loops, loops = trace.max_loops, int(trace.loops[layer, token])
    depth = pd.DataFrame(
        {
            "loops": np.arange(1, max_loops + 1),
            "logit": trace.depth_logits[layer, token],
            "probability": trace.depth_probs[layer, token],
            "ran": np.arange(1, max_loops + 1) == loops,
        }
    )
    had = trace.expert_ran[layer, token] | ~trace.width_ran[layer, token]  # of others the router's own choice
    ids = trace.expert_ids[layer, token, had]
    weight = np.full(trace.num_experts, np.nan)
    weight[ids] = trace.expert_weights[layer, token, had]
    experts = pd.DataFrame(
        {
            "expert": np.arange(trace.num_experts),
            "logit": trace.expert_logits[layer, token],
            "probability": router_probs(trace)[layer, token],
            "kept": np.isin(np.arange(trace.num_experts), ids),
            "weight": weight,
            "length": np.linalg.norm(paths.expert_out[0, 0], axis=-1),
        }
    )
    both = _fusion(paths, layer)
    return Walkthrough(
        layer=layer,
        token=token,
        input_norm=float(np.linalg.norm(paths.resid_pre[0, 0])),
        depth=depth,
        margin=float(depth_margin(trace)[layer, token]),
        expected_loops=float(trace.expected_loops[layer, token]),
        loops=loops,
        max_loops=max_loops,
        gate=float(trace.gate[layer, token]),
        width_ran=bool(trace.width_ran[layer, token]),
        experts=experts.sort_values(["logit", "expert"], ascending=[False, True], ignore_index=True),
        state_norms=np.linalg.norm(paths.states[0, 0].astype(np.float64), axis=-1),
        step_norms=np.linalg.norm(paths.steps[0, 0], axis=-1),
        width_norm=float(both["width_norm"][0]),
        depth_norm=float(both["depth_norm"][0]),
        output_norm=float(both["output_norm"][0]),
        residual=float(both["residual"][0]),
        allowed=float(allowed_residual(paths, layer)[0]),
    )


def token_by_layer(trace: RoutingTrace, token: int) -> pd.DataFrame:
    """One row per layer: what was decided for one token. `experts` has their numbers and weights, the first choice
    first; it is missing where the width path did not run."""
    experts = [
        ", ".join(
            f"{expert} ({number(weight)})"
            for expert, weight, ran in zip(
                trace.expert_ids[layer, token].tolist(),
                trace.expert_weights[layer, token].tolist(),
                trace.expert_ran[layer, token].tolist(),
                strict=True,
            )
            if ran
        )
        for layer in range(trace.num_layers)
    ]
    return pd.DataFrame(
        {
            "layer": np.arange(trace.num_layers),
            "loops": trace.loops[:, token],
            "gate": trace.gate[:, token],
            "experts": [each or None for each in experts],
            "difficulty_soft": trace.difficulty_soft[:, token],
            "margin": depth_margin(trace)[:, token],
        }
    )


@dataclass(frozen=True)
class FusionPlane:
    """Both paths' outputs and the layer's output in the plane through them and H = (0, 0), with x along Y_depth - H.

    H and both outputs always lie in one plane, so distances and angles are true.
    """

    depth: tuple[float, float]
    width: tuple[float, float] | None
    """None where the width path did not run."""
    output: tuple[float, float]
    residual: float
    allowed: float
    """Both as in `Walkthrough`."""


def fusion_plane(paths: PathTrace, layer: int, token: int) -> FusionPlane:
    """The fusion of one captured token in one captured layer, as points in a plane."""
    paths = paths.only(token).in_layer(layer)
    trace, start = paths.routing, paths.states[0, 0, 0].astype(np.float64)
    depth, width = paths.depth_out[0, 0] - start, paths.width_out[0, 0] - start
    along = divided(depth, np.linalg.norm(depth))
    across = width - (width @ along) * along
    across = divided(across, np.linalg.norm(across))
    output = paths.resid_post[0, 0] - start

    def placed(vector: np.ndarray) -> tuple[float, float]:
        return float(vector @ along), float(vector @ across)

    return FusionPlane(
        depth=placed(depth),
        width=placed(width) if trace.width_ran[layer, token] else None,
        output=placed(output),
        residual=float(_fusion(paths, layer)["residual"][0]),
        allowed=float(allowed_residual(paths, layer)[0]),
    )


def state_table(paths: PathTrace) -> pd.DataFrame:
    """One row per captured layer x token x state H(0), H(1), ..: its length, that of the step before it, and whether
    the layer used it."""
    lengths, steps = np.full((2, *paths.states.shape[:3]), np.nan)
    for row, layer in enumerate(paths.layers.tolist()):
        here = paths.in_layer(layer)
        lengths[row] = np.linalg.norm(here.states[0].astype(np.float64), axis=-1)
        steps[row, :, 1:] = np.linalg.norm(here.steps[0], axis=-1)
    row, index, state = (axis.ravel() for axis in np.indices(lengths.shape))
    layer, token = paths.layers[row], index + paths.first_token
    return pd.DataFrame(
        {
            "layer": layer,
            "token": token,
            "text": np.array(paths.routing.tokens, dtype=object)[token],
            "state": state,
            "length": lengths.ravel(),
            "step_length": steps.ravel(),
            "used": state <= paths.routing.loops[layer, token],
        }
    )


def fusion_table(paths: PathTrace) -> pd.DataFrame:
    """One row per captured layer x token: lambda, lengths of both paths' outputs, of both paths' own parts (output
    minus H), the cosine between these, and the residual of the fusion. NaN for width where it did not run."""
    tables = []
    for layer in paths.layers.tolist():
        token = np.arange(paths.first_token, paths.end_token)
        known = {"layer": layer, "token": token, "text": np.array(paths.routing.tokens, dtype=object)[token]}
        known |= {"gate": paths.routing.gate[layer, paths.tokens]}
        tables.append(pd.DataFrame(known | _fusion(paths, layer)))
    return pd.concat(tables, ignore_index=True)


def _fusion(paths: PathTrace, layer: int) -> dict[str, Float[np.ndarray, " token"]]:
    """Lengths and residual of the fusion of all captured tokens in one captured layer."""
    paths = paths.in_layer(layer)
    ran, gate = (getattr(paths.routing, name)[layer, paths.tokens] for name in ("width_ran", "gate"))
    start, post = (vectors.astype(np.float64) for vectors in (paths.states[0, :, 0], paths.resid_post[0]))
    depth, width = paths.depth_out[0].astype(np.float64), paths.width_out[0]
    gate = gate.astype(np.float64)[:, None]
    fused = gate * width + (1 - gate) * depth

    def length(vectors: np.ndarray, where: np.ndarray | bool = True) -> np.ndarray:
        return np.where(where, np.linalg.norm(vectors, axis=-1), np.nan)

    dot = ((width - start) * (depth - start)).sum(axis=-1)
    return {
        "depth_norm": length(depth),
        "width_norm": length(width, ran),
        "output_norm": length(post),
        "depth_part": length(depth - start),
        "width_part": length(width - start, ran),
        "cosine": divided(dot, length(depth - start) * length(width - start, ran)),
        "residual": divided(length(fused - post), length(post - start)),
    }


__all__ = ["FusionPlane", "Walkthrough", "fusion_plane", "fusion_table", "state_table", "walkthrough"]
