"""Geometry of a layer: do its two paths agree, which experts make up loop 1's step, and where do its loops lead?

All of it is arithmetic on captured states, and no evidence of cause and effect.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.sparse.linalg import svds

from analysis.explain.dealt import dealt_experts, dealt_table
from analysis.explain.ledger import divided
from hooks.path_trace import PathTrace

CLASSES = ("shrinking", "turning back", "growing", "mixed")
SMALL = 16
"""A matrix up to this size gets a full SVD."""
OUTLIER = 4.0
"""The first token of a text is left out of a plane if its states are this many times as long as the others'."""
RULE = (
    "Shrinking: every step is shorter than the one before and turns by less than 90°. Turning back: some step turns by "
    "more than 90°. Growing: every step is longer than the one before, without such a turn. Mixed: the rest."
)


def path_cosine(paths: PathTrace, of: Literal["outputs", "writes"] = "outputs") -> Float[np.ndarray, "row token"]:
    """Cosine between the two paths' outputs Y_width and Y_depth (paper's Fig. 6); NaN where the width path did not run.

    Both outputs contain H, which makes them similar; `of="writes"` compares what the paths add to it.
    """
    cosine = [_cosine(paths.in_layer(layer), of) for layer in paths.layers.tolist()]
    return np.where(paths.routing.width_ran[paths.layers, paths.tokens], cosine, np.nan)


def _cosine(layer: PathTrace, of: Literal["outputs", "writes"]) -> Float[np.ndarray, " token"]:
    """Cosine between both paths in the only layer of a capture, also where the width path did not run."""
    width, depth = layer.width_out[0].astype(np.float64), layer.depth_out[0].astype(np.float64)
    if of == "writes":
        width, depth = width - layer.states[0, :, 0], depth - layer.states[0, :, 0]
    return divided((width * depth).sum(-1), np.linalg.norm(width, axis=-1) * np.linalg.norm(depth, axis=-1))


def cosine_table(paths: PathTrace) -> pd.DataFrame:
    """One row per captured layer x token: loops that ran, cosine of the paths' outputs and of their writes.

    Beside each cosine stands what it comes to with experts dealt from other tokens (`dealt_experts`).
    """
    table, dealt = _cells(paths), dealt_table(paths)
    cosines = {}
    for of in ("outputs", "writes"):
        cosines[f"cosine_of_{of}"] = path_cosine(paths, of).ravel()
        cosines[f"cosine_of_{of}_dealt"] = dealt[f"cosine_of_{of}_dealt"].to_numpy()
    return table.assign(loops=paths.routing.loops[paths.layers, paths.tokens].ravel(), **cosines)


@dataclass(frozen=True, eq=False)
class FirstLoop:
    """The step of loop 1 of one layer, split over all experts: D_1 = sum_e f_e(H)."""

    share: Float[np.ndarray, "token expert"]
    """Projection of f_e on D_1, as a share of the length of D_1; a token's shares sum to 1."""
    coverage: Float[np.ndarray, " token"]
    """|sum of the chosen experts, unweighted| / |D_1|; NaN where the token did not route."""
    cosine: Float[np.ndarray, " token"]
    """Cosine between that sum and D_1; NaN where the token did not route."""


def first_loop(paths: PathTrace, layer: int) -> FirstLoop:
    """Every expert's share of loop 1's step in a captured layer, and how much of it the chosen ones have."""
    row, trace = paths.row(layer), paths.routing
    parts, step = paths.expert_out[row].astype(np.float64), paths.in_layer(layer).steps[0, :, 0]
    length = np.linalg.norm(step, axis=-1)
    chosen = np.take_along_axis(parts, trace.expert_ids[layer, paths.tokens][..., None], axis=1)
    chosen = (chosen * trace.expert_ran[layer, paths.tokens][..., None]).sum(axis=1)
    size, ran = np.linalg.norm(chosen, axis=-1), trace.width_ran[layer, paths.tokens]
    return FirstLoop(
        share=divided(np.einsum("ted,td->te", parts, step), np.square(length)[:, None]),
        coverage=np.where(ran, divided(size, length), np.nan),
        cosine=np.where(ran, divided((chosen * step).sum(-1), size * length), np.nan),
    )


def first_loop_table(paths: PathTrace) -> pd.DataFrame:
    """One row per captured layer x token x expert: its share of loop 1's step, whether chosen, the chosen ones' sum.

    Beside length and cosine of that sum stand those of experts dealt from other tokens (`dealt_experts`).
    """
    tables = []
    for layer in paths.layers.tolist():
        split, dealt = first_loop(paths, layer), dealt_experts(paths, layer)
        ids, had = (values[layer, paths.tokens] for values in (paths.routing.expert_ids, paths.routing.expert_ran))
        index, expert = (axis.ravel() for axis in np.indices(split.share.shape))
        columns = {
            "layer": layer,
            "token": index + paths.first_token,
            "text": np.array(paths.routing.tokens, dtype=object)[index + paths.first_token],
            "expert": expert,
            "chosen": (had[index] & (ids[index] == expert[:, None])).any(axis=1),
            "share": split.share.ravel(),
            "coverage": split.coverage[index],
            "cosine": split.cosine[index],
            "coverage_dealt": dealt.coverage[index],
            "cosine_dealt": dealt.cosine[index],
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


@dataclass(frozen=True, eq=False)
class Steps:
    """Lengths and turns of the steps D_1..D_max of one layer, including loops that did not run (`routing.loops`)."""

    norm: Float[np.ndarray, "token loop"]
    ratio: Float[np.ndarray, "token turn"]
    """|D_{l+1}| / |D_l|: below 1 the step is shorter."""
    angle: Float[np.ndarray, "token turn"]
    """Turn between consecutive steps, degrees."""
    kind: list[str]
    """Class of each token, one of CLASSES by RULE; all steps count, used or not."""


def steps(paths: PathTrace, layer: int) -> Steps:
    """Lengths, ratios, turns and class of the recursion of each captured token in a captured layer."""
    step = paths.in_layer(layer).steps[0]
    norm = np.linalg.norm(step, axis=-1)
    ratio = divided(norm[:, 1:], norm[:, :-1])
    cosine = divided((step[:, 1:] * step[:, :-1]).sum(-1), norm[:, 1:] * norm[:, :-1])
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return Steps(norm, ratio, angle, [_class(r, a) for r, a in zip(ratio, angle, strict=True)])


def steps_table(paths: PathTrace) -> pd.DataFrame:
    """One row per captured layer x token: loops that ran, class, and norm, ratio and angle of every step."""
    tables = []
    cells = _cells(paths)
    for layer in paths.layers.tolist():
        layer_steps = steps(paths, layer)
        columns = {"loops": paths.routing.loops[layer, paths.tokens], "class": layer_steps.kind}
        columns |= {f"norm_{i + 1}": layer_steps.norm[:, i] for i in range(layer_steps.norm.shape[1])}
        for i in range(layer_steps.ratio.shape[1]):
            columns |= {f"ratio_{i + 2}": layer_steps.ratio[:, i], f"angle_{i + 2}": layer_steps.angle[:, i]}
        rows = cells[cells["layer"] == layer].reset_index(drop=True)
        tables.append(rows.assign(**columns))
    return pd.concat(tables, ignore_index=True)


@dataclass(frozen=True, eq=False)
class Plane:
    """States of one layer in the plane of their first two principal components."""

    points: Float[np.ndarray, "token state 2"]
    explained: tuple[float, float]
    """Share of the variance along each axis, of the states that the plane was fitted to."""
    outlier: float | None
    """How many times as long the first token's states are, if the plane was fitted without them (`outlying`)."""


def plane(paths: PathTrace, layer: int) -> Plane:
    """PCA of all captured tokens' states H(0)..H(max_loops) in a layer, used or not.

    The first token of the text is left out of the fit where it is `outlying`, and only placed.
    """
    states, outlier = paths.states[paths.row(layer)], outlying(paths, [layer])
    fitted = states[1 if outlier else 0 :].reshape(-1, states.shape[-1])
    points, explained = principal_plane(states.reshape(-1, states.shape[-1]), fitted)
    return Plane(points.reshape(*states.shape[:2], 2), explained, outlier)


def outlying(paths: PathTrace, layers: Sequence[int]) -> float | None:
    """How many times as long the states of the text's first token are as those of the others (medians), in the captured
    layer where that is most; None if that is less than OUTLIER, or no token is captured beside it.

    In many language models that token is an attention sink: its stream is so long that it would be all that PCA sees.
    """
    if paths.first_token or paths.num_tokens < 2:
        return None
    rows = [paths.row(layer) for layer in layers]
    lengths = [np.median(np.linalg.norm(paths.states[row], axis=-1), axis=-1) for row in rows]  # [token] of each layer
    ratio = max(float(divided(each[0], np.median(each[1:]))) for each in lengths)
    return ratio if ratio >= OUTLIER else None


def principal_plane(
    states: Float[np.ndarray, "point hidden"], fitted: Float[np.ndarray, "fit hidden"] | None = None
) -> tuple[Float[np.ndarray, "point 2"], tuple[float, float]]:
    """Points in the plane of the first two principal components, and the share of variance along each.

    The components are those of `fitted`, or of the points themselves without it.
    """
    middle, axes, share = principal_axes(states if fitted is None else fitted)
    return (states.astype(np.float64) - middle) @ axes.T, share


def principal_axes(
    points: Float[np.ndarray, "point hidden"],
) -> tuple[Float[np.ndarray, " hidden"], Float[np.ndarray, "2 hidden"], tuple[float, float]]:
    """The mean of points, their first two principal components, and the share of variance along each.

    The sign of a component is such that its largest entry is positive; one along which nothing varies is zero.
    """
    flat = points.astype(np.float64)
    middle = flat.mean(axis=0)
    flat -= middle
    total = np.square(flat).sum()
    axes, sizes = np.zeros((2, flat.shape[1])), np.zeros(2)
    if total > 0:
        first_axes = _first_axes(flat)
        axes[: len(first_axes)], sizes[: len(first_axes)] = first_axes, np.linalg.norm(flat @ first_axes.T, axis=0)
    signs = np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])
    share = np.square(sizes) / max(total, 1e-300)
    axes *= np.where(signs == 0, 1, signs)[:, None]
    return middle, axes, (float(share[0]), float(share[1]))


def plane_table(paths: PathTrace) -> pd.DataFrame:
    """One row per captured layer x token x state: its place in the layer's plane, whether it was used, and whether the
    plane was fitted to it."""
    tables = []
    for layer in paths.layers.tolist():
        projected = plane(paths, layer)
        index, state = (axis.ravel() for axis in np.indices(projected.points.shape[:2]))
        token = index + paths.first_token
        columns = {
            "layer": layer,
            "token": token,
            "text": np.array(paths.routing.tokens, dtype=object)[token],
            "loop": state,
            "used": state <= paths.routing.loops[layer, token],
            "fitted": (token > 0) | (projected.outlier is None),
            "pc1": projected.points[..., 0].ravel(),
            "pc2": projected.points[..., 1].ravel(),
            "explained_1": projected.explained[0],
            "explained_2": projected.explained[1],
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def _first_axes(centred: np.ndarray) -> Float[np.ndarray, "axis hidden"]:
    """The first two right singular vectors, largest first, without the cost of a full SVD."""
    if min(centred.shape) <= SMALL:
        return np.linalg.svd(centred, full_matrices=False)[2][:2]
    start = np.ones(min(centred.shape))  # fixed, so that the same states give the same figure
    _, sizes, axes = svds(centred, k=2, v0=start)
    return axes[np.argsort(-sizes)]


def _class(ratio: np.ndarray, angle: np.ndarray) -> str:
    if (angle > 90).any():
        return "turning back"
    if not len(ratio):
        return "mixed"
    return "shrinking" if (ratio < 1).all() else "growing" if (ratio > 1).all() else "mixed"


def _cells(paths: PathTrace) -> pd.DataFrame:
    """One row per captured layer x token: layer, token, text."""
    row, index = (axis.ravel() for axis in np.indices((len(paths.layers), paths.num_tokens)))
    token = index + paths.first_token
    text = np.array(paths.routing.tokens, dtype=object)[token]
    return pd.DataFrame({"layer": paths.layers[row], "token": token, "text": text})


__all__ = [
    "CLASSES", "FirstLoop", "OUTLIER", "Plane", "RULE", "Steps", "cosine_table", "first_loop", "first_loop_table",
    "outlying", "path_cosine", "plane", "plane_table", "principal_axes", "principal_plane", "steps", "steps_table",
]  # fmt: skip
