"""UMAP of the recursion: the states of many tokens placed in one plane.

UMAP keeps neighbourhoods as far as a plane can; lengths, angles and distances between groups mean nothing. Its
trustworthiness is 1 if every neighbour of a state in the plane is a neighbour in the residual stream too. For lengths
and directions see `geometry.plane`.
"""

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from analysis.explain.geometry import outlying, principal_plane
from hooks.path_trace import PathTrace
from hooks.trace import RoutingTrace

MOST_POINTS, FEWEST_POINTS = 2000, 30
"""Most and fewest states in one map: more would take much longer, fewer have no neighbourhoods."""
NEIGHBOURS, MIN_DISTANCE, SEED = 15, 0.1, 0
Tell = Callable[[float, str], None]
"""Progress callback (share done 0..1, name of the stage). An exception that it raises ends the work."""


@dataclass(frozen=True, eq=False)
class Placement:
    """Points placed by UMAP, with its trustworthiness and that of PCA for comparison."""

    points: Float[np.ndarray, "point 2"]
    trustworthiness: float
    """Trustworthiness of UMAP, 0..1."""
    pca_trustworthiness: float
    pca_explained: tuple[float, float]
    """Share of the variance along each of the first two components."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """Recursion trajectories H(0)..H(max_loops) of tokens in some layers, all in one plane by UMAP."""

    routing: RoutingTrace
    layer: Int[np.ndarray, " trajectory"]
    token: Int[np.ndarray, " trajectory"]
    """Position in the text."""
    points: Float[np.ndarray, "trajectory state 2"]
    """Includes the states beyond `routing.loops`, which were not used."""
    first_token: int
    """Position in the text of the first token that was captured."""
    captured: int
    """Number of captured tokens."""
    placement: Placement
    outlier: float | None
    """How many times as long the first token's states are, if the map leaves them out (`geometry.outlying`)."""

    @property
    def placeable(self) -> int:
        """Number of tokens of which those of the map are a random sample, or all."""
        return self.captured - (self.outlier is not None)

    @property
    def layers(self) -> list[int]:
        return np.unique(self.layer).tolist()

    @property
    def loops(self) -> Int[np.ndarray, " trajectory"]:
        """FFN passes that the token took in the layer."""
        return self.routing.loops[self.layer, self.token]


def embedding(
    paths: PathTrace,
    layers: Sequence[int] | None = None,
    *,
    tell: Tell = lambda share, stage: None,
    place: Callable[[np.ndarray, Tell], Placement] | None = None,
) -> Embedding:
    """UMAP of the states of some captured layers (default all), of at most MOST_POINTS.

    If there are more, a sample of whole tokens is drawn with a fixed seed. The first token of the text is left out
    where it is `outlying`, since UMAP begins with a PCA. The first map of a process takes longer, while UMAP compiles
    its code. `place(states [point, hidden], tell)` replaces `umap_placement`.

    Raises ValueError for layers that were not captured, or fewer than FEWEST_POINTS states.
    """
    layer, index, states = states_to_place(paths, layers)
    flat = states.reshape(-1, states.shape[-1])
    placed = place(flat, tell) if place else umap_placement(flat, tell)
    points = placed.points.reshape(*states.shape[:2], 2)
    outlier = outlying(paths, paths.layers.tolist() if layers is None else layers)
    first, count = paths.first_token, paths.num_tokens
    return Embedding(paths.routing, layer, index + first, points, first, count, placed, outlier)


def states_to_place(
    paths: PathTrace, layers: Sequence[int] | None = None
) -> tuple[Int[np.ndarray, " t"], Int[np.ndarray, " t"], Float[np.ndarray, "t state hidden"]]:
    """(layer, index among the captured tokens, states) of every trajectory of a map."""
    layers = paths.layers.tolist() if layers is None else layers
    rows, first = [paths.row(layer) for layer in layers], int(outlying(paths, layers) is not None)
    room = max(MOST_POINTS // (len(rows) * paths.states.shape[2]), 1)
    drawn = np.random.default_rng(SEED).permutation(paths.num_tokens - first)[:room] + first
    row, index = (axis.ravel() for axis in np.meshgrid(rows, np.sort(drawn), indexing="ij"))
    return paths.layers[row], index, paths.states[row, index]


def umap_placement(states: Float[np.ndarray, "point hidden"], tell: Tell = lambda share, stage: None) -> Placement:
    """Place states by UMAP with a fixed seed, and compute the trustworthiness of the result.

    Raises ValueError for fewer than FEWEST_POINTS.
    """
    if len(states) < FEWEST_POINTS:
        raise ValueError(f"a map needs at least {FEWEST_POINTS} states, got {len(states)}: take a longer text")
    tell(0.0, "Loading UMAP, which takes longest the first time on a machine…")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # about Tensorflow, which only a part that is not used needs
        from sklearn.manifold import trustworthiness
        from umap import UMAP

    def places(points: np.ndarray, **more) -> np.ndarray:
        settings = {"n_neighbors": NEIGHBOURS, "min_dist": MIN_DISTANCE, "init": "pca", "random_state": SEED}
        return UMAP(**settings, n_jobs=1, **more).fit_transform(points)

    tell(0.1, "Compiling UMAP, once per start of the program…")
    places(np.random.default_rng(SEED).normal(size=(FEWEST_POINTS, 4)).astype(np.float32), n_epochs=2)
    epochs = Epochs(lambda share: tell(0.3 + 0.6 * share, f"Placing {len(states):,} states…"))
    points = places(states.astype(np.float32), tqdm_kwds=epochs.as_progress_bar())
    epochs.raise_problem()
    tell(0.9, "Comparing neighbours…")
    flat, explained = principal_plane(states)
    trust, pca_trust = (float(trustworthiness(states, placed, n_neighbors=NEIGHBOURS)) for placed in (points, flat))
    return Placement(points.astype(np.float64), trust, pca_trust, explained)


class Epochs:
    """A file for UMAP's progress bar, which is the only way to know its progress, and to end its work.

    The bar writes under a lock that an exception would leave locked for all bars of the program. So an exception of
    `tell` gives the lock back first; that of the last line, which the bar writes as it closes, is raised afterwards.
    """

    def __init__(self, tell: Callable[[float], None]):
        self.tell, self.problem = tell, None

    def as_progress_bar(self) -> dict:
        return {"disable": False, "file": self, "mininterval": 0.2, "bar_format": "{n_fmt}/{total_fmt}"}

    def write(self, text: str) -> None:
        counted = re.search(r"(\d+)/(\d+)", text)
        if not counted or self.problem is not None:
            return
        done, of = map(int, counted.groups())
        try:
            self.tell(done / of)
        except BaseException as problem:
            self.problem = problem
            if done < of:
                from tqdm.auto import tqdm

                tqdm.get_lock().release()
                raise

    def flush(self) -> None:
        """Part of the file interface; nothing is buffered."""

    def raise_problem(self) -> None:
        if self.problem is not None:
            raise self.problem


def embedding_table(result: Embedding) -> pd.DataFrame:
    """One row per trajectory x state: its place, whether it was used, and the trustworthiness of the map."""
    trajectory, state = (axis.ravel() for axis in np.indices(result.points.shape[:2]))
    layer, token = result.layer[trajectory], result.token[trajectory]
    return pd.DataFrame(
        {
            "layer": layer,
            "token": token,
            "text": np.array(result.routing.tokens, dtype=object)[token],
            "loop": state,
            "used": state <= result.loops[trajectory],
            "umap1": result.points[..., 0].ravel(),
            "umap2": result.points[..., 1].ravel(),
            "trustworthiness": result.placement.trustworthiness,
            "pca_trustworthiness": result.placement.pca_trustworthiness,
            "pca_explained_1": result.placement.pca_explained[0],
            "pca_explained_2": result.placement.pca_explained[1],
        }
    )


__all__ = [
    "Embedding", "Epochs", "FEWEST_POINTS", "MIN_DISTANCE", "MOST_POINTS", "NEIGHBOURS", "Placement", "SEED", "Tell",
    "embedding", "embedding_table", "states_to_place", "umap_placement",
]  # fmt: skip
