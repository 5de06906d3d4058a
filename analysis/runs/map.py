"""A map of many tokens of a run: those that the model routed alike lie near each other in a plane.

PCA takes a second and keeps the directions in which the tokens differ most. UMAP keeps neighbourhoods as far as a plane
can; lengths, angles and distances between groups mean nothing there. Both are fitted on a random sample, and place all
other tokens by what they learned. The same run, filter and seed give the same map.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.explain.embedding import MIN_DISTANCE, NEIGHBOURS, SEED, Epochs, Tell
from analysis.explain.geometry import principal_axes
from analysis.runs.choices import DID_NOT_ROUTE
from analysis.runs.sampling import TokenSample
from analysis.runs.vectors import Vectors, columns_of, usual_blocks

FEWEST_TOKENS = 40
"""Fewer have no neighbourhoods."""
MOST_FITTED, MOST_FITTED_BYTES = 20_000, 128 * 2**20
"""Tokens that PCA and UMAP are fitted on, and bytes of their vectors in float64."""
MOST_MEASURED = 2_000
"""Tokens of which the trustworthiness is computed; its cost grows with their square."""
EPOCHS = 200
"""Epochs of UMAP: as many as it takes for large samples by itself."""
_AT_ONCE = 4_096
"""Tokens that are placed between two calls of `tell`."""


@dataclass(frozen=True, eq=False)
class TokenMap:
    """Tokens of a run in a plane."""

    sample: TokenSample
    method: str
    """pca or umap"""
    variances: dict[str, float]
    """Block of the vectors -> the variance by whose root it was divided, so that each block counts the same."""
    columns: int
    """Entries of a vector."""
    points: Float[np.ndarray, "token 2"]
    fitted: int
    """Tokens that the method was fitted on; the others were placed by what it learned."""
    trustworthiness: float
    """0..1: 1 if all neighbours of a token in the plane are neighbours among the vectors, too."""
    measured: int
    """Tokens drawn for the trustworthiness, among which the neighbours are."""
    explained: tuple[float, float] | None = None
    """Share of the vectors' variance along each axis of PCA, among the tokens that it was fitted on."""

    @property
    def meta(self) -> dict[str, Any]:
        """Model and weights, as in a trace."""
        return self.sample.meta

    @property
    def blocks(self) -> tuple[str, ...]:
        return tuple(self.variances)

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays and of those of the sample."""
        return self.sample.nbytes + self.points.nbytes


def pca_map(sample: TokenSample, blocks: Sequence[str] = (), *, fitted: int = MOST_FITTED) -> TokenMap:
    """The map by PCA, fitted on at most `fitted` tokens; `blocks` are some of `vectors.BLOCKS`, and
    `vectors.usual_blocks` without any.

    Raises ValueError for fewer than FEWEST_TOKENS, and for blocks that the model has not.
    """
    vectors = _vectors(sample, blocks, fitted)
    middle, axes, share = principal_axes(vectors.rows(slice(0, vectors.fitted)))
    points = [(vectors.rows(rows) - middle) @ axes.T for rows in _chunks(len(sample))]
    return _map(vectors, "pca", np.concatenate(points), explained=share)


def umap_map(
    sample: TokenSample,
    blocks: Sequence[str] = (),
    *,
    tell: Tell = lambda share, stage: None,
    fitted: int = MOST_FITTED,
) -> TokenMap:
    """The map by UMAP, fitted on at most `fitted` tokens, whose places are those of the fit. Arguments as in `pca_map`.

    `tell(share, stage)` is told the progress; an exception that it raises ends the work at its next stage.
    """
    vectors = _vectors(sample, blocks, fitted)
    tell(0.0, "Loading UMAP, which takes longest the first time on a machine…")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # about Tensorflow, which only a part that is not used needs
        from umap import UMAP

    epochs = Epochs(lambda share: tell(0.1 + 0.4 * share, f"Fitting UMAP on {vectors.fitted:,} tokens…"))
    reducer = UMAP(
        n_neighbors=NEIGHBOURS,
        min_dist=MIN_DISTANCE,
        n_epochs=EPOCHS,
        init="pca",
        random_state=SEED,
        n_jobs=1,
        tqdm_kwds=epochs.as_progress_bar(),
    )
    tell(0.05, f"Finding the neighbours of {vectors.fitted:,} tokens; the first time UMAP compiles its code…")
    points = [reducer.fit_transform(vectors.rows(slice(0, vectors.fitted)))]
    epochs.raise_problem()
    reducer.tqdm_kwds = {"disable": True}
    for rows in _chunks(len(sample), vectors.fitted):
        share = (rows.start - vectors.fitted) / (len(sample) - vectors.fitted)
        tell(0.5 + 0.45 * share, f"Placing the other tokens: {rows.start:,} of {len(sample):,} are placed…")
        points.append(reducer.transform(vectors.rows(rows)))
    tell(0.95, "Comparing neighbours…")
    return _map(vectors, "umap", np.concatenate(points))


def map_table(token_map: TokenMap) -> pd.DataFrame:
    """One row per token of the map: where it is in the run, its place in the plane, and its routing by layer."""
    sample = token_map.sample
    columns = {
        "prompt": sample.prompt,
        "token": sample.token,
        "token_id": sample.token_id,
        "text": sample.text.to_numpy(zero_copy_only=False),
        "x": token_map.points[:, 0],
        "y": token_map.points[:, 1],
    }
    for layer in range(sample.sizes.num_layers):
        columns[f"loops_{layer}"] = sample.loops[:, layer]
        columns[f"gate_{layer}"] = sample.gate[:, layer]
        columns[f"difficulty_{layer}"] = sample.difficulty[:, layer]
        first = sample.experts[:, layer, 0]
        columns[f"expert_{layer}"] = pd.array(np.where(first == DID_NOT_ROUTE, None, first), dtype="Int16")
    return pd.DataFrame(columns)


def _vectors(sample: TokenSample, blocks: Sequence[str], most: int) -> Vectors:
    if len(sample) < FEWEST_TOKENS:
        raise ValueError(f"a map needs at least {FEWEST_TOKENS} tokens, and the filter lets {len(sample)} through")
    blocks = tuple(blocks) or tuple(usual_blocks(sample.sizes))
    room = max(MOST_FITTED_BYTES // (8 * columns_of(sample.sizes, blocks)), FEWEST_TOKENS)
    return Vectors(sample, blocks, min(len(sample), most, room))


def _map(vectors: Vectors, method: str, points: np.ndarray, **more) -> TokenMap:
    sample, points = vectors.sample, points.astype(np.float32)
    measured = np.random.default_rng(SEED).permutation(len(sample))[:MOST_MEASURED]
    trusted = _trustworthiness(vectors.rows(measured), points[measured])
    variances = vectors.variances
    return TokenMap(sample, method, variances, vectors.columns, points, vectors.fitted, trusted, len(measured), **more)


def _trustworthiness(vectors: np.ndarray, points: np.ndarray) -> float:
    from sklearn.manifold import trustworthiness

    return float(trustworthiness(vectors, points, n_neighbors=NEIGHBOURS))


def _chunks(count: int, first: int = 0) -> list[slice]:
    return [slice(start, min(start + _AT_ONCE, count)) for start in range(first, count, _AT_ONCE)]


__all__ = ["FEWEST_TOKENS", "MOST_FITTED", "MOST_MEASURED", "TokenMap", "map_table", "pca_map", "umap_map"]
