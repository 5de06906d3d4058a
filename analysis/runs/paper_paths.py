"""The paper's Fig. 6 for a run: how alike the outputs of both paths are, measured again on some of its prompts.

A run does not hold the outputs of the paths: the model reads a sample of the prompts again. `sampled` says which,
`PathCosines.add` takes the captured paths of one after the other, in memory that does not grow with them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.aggregate import share
from analysis.explain.geometry import path_cosine
from analysis.runs.atlas import Atlas, atlas_of
from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.paper import levels_of
from analysis.runs.schema import Sizes
from hooks.path_trace import PathTrace

if TYPE_CHECKING:
    from analysis.runs.run import Run

SAMPLE, SEED = 20, 0
"""Prompts that are read again unless the reader says otherwise, and the seed of their choice."""
MOST_TOKENS = 256
"""Tokens of a prompt that are measured, from the first on."""
_COMPARED = ("outputs", "writes")


def sampled(run: "Run", chosen: TokenFilter = ALL_TOKENS, *, count: int = SAMPLE, seed: int = SEED) -> pd.DataFrame:
    """Prompts of a run to be read again: prompt, text, `tokens`, the positions that count, within MOST_TOKENS, and
    their `loops` [layer, token] in the run.

    They are drawn at random from the prompts with a token that counts; the same seed draws the same ones.
    """
    where, values = chosen.where(run.sizes)
    found = run.ask(
        "WITH chosen AS (SELECT prompt, text FROM prompts WHERE text IS NOT NULL AND prompt IN (SELECT prompt FROM "
        f"tokens WHERE {where} AND token < {MOST_TOKENS}) ORDER BY md5(concat(prompt, ' ', ?::INT)) LIMIT ?) "
        "SELECT prompt, any_value(text) AS text, list(token ORDER BY token) AS tokens, list(loops ORDER BY token) AS "
        f"loops FROM (SELECT prompt, token, loops FROM tokens WHERE {where} AND token < {MOST_TOKENS}) "
        "JOIN chosen USING (prompt) GROUP BY prompt ORDER BY prompt",
        [*values, seed, count, *values],
    )
    return found.assign(loops=[np.stack(each).T for each in found["loops"]])


@dataclass(eq=False)
class PathCosines:
    """Cosines between the paths by layer and λ, over prompts that are added one after the other."""

    run: Atlas
    """The run and the filter."""
    prompts: int = 0
    """How many were read again."""
    tokens: int = 0
    seed: int = SEED
    other_loops: int = 0
    """Cells that took other loops than the run says: another batch rounds otherwise."""
    _cells: dict[str, np.ndarray] = field(init=False)
    """Of `outputs` and of `writes`: how many cosines there are, [layer, level of λ]."""
    _sums: dict[str, np.ndarray] = field(init=False)
    """Likewise their sums."""

    def __post_init__(self):
        shape = (self.sizes.num_layers, len(levels_of(self.sizes)))
        self._cells, self._sums = ({of: np.zeros(shape) for of in _COMPARED} for _ in range(2))

    @property
    def routing(self) -> Atlas:
        """What names model and run, as results of a text hold its trace."""
        return self.run

    @property
    def sizes(self) -> Sizes:
        """Layers and values of λ."""
        return self.run.sizes

    def add(self, paths: PathTrace, tokens: np.ndarray, loops: np.ndarray) -> None:
        """Count the captured paths of one prompt in all layers, from its first token on.

        `tokens` are the positions that count, and `loops` [layer, token] what the run has for these.
        """
        at, trace = np.asarray(tokens), paths.routing
        nearest = np.abs(trace.gate[:, at, None] - np.array(levels_of(self.sizes))).argmin(axis=-1)
        for of in _COMPARED:
            cosine = path_cosine(paths, of)[:, at - paths.first_token]
            layer, cell = np.nonzero(np.isfinite(cosine))
            place = layer, nearest[layer, cell]
            np.add.at(self._cells[of], place, 1)
            np.add.at(self._sums[of], place, cosine[layer, cell])
        self.prompts += 1
        self.tokens += len(at)
        self.other_loops += int((trace.loops[:, at] != loops).sum())

    @property
    def table(self) -> pd.DataFrame:
        """One row per layer x λ, and per layer with `gate` NaN for all λ: cells that routed, their mean cosines.

        `outputs` compares Y_width and Y_depth, both with H in them, as the paper does; `writes` what they add to H. NaN
        where no cell routed.
        """
        levels, layers = levels_of(self.sizes), self.sizes.num_layers
        cells, sums = (
            {of: np.column_stack([counted, counted.sum(axis=1)]).ravel() for of, counted in each.items()}
            for each in (self._cells, self._sums)
        )
        return pd.DataFrame(
            {
                "layer": np.repeat(np.arange(layers), len(levels) + 1),
                "gate": np.tile([*levels, np.nan], layers),
                "cells": cells["outputs"].astype(int),
                **{of: share(sums[of], cells[of]) for of in _COMPARED},
            }
        )


def path_cosines(
    run: "Run",
    read: Callable[[str], PathTrace],
    chosen: TokenFilter = ALL_TOKENS,
    *,
    count: int = SAMPLE,
    seed: int = SEED,
) -> PathCosines:
    """The cosines of `count` prompts of a run, each `read` again by its model, as `hooks.capture_paths` does, in all
    layers and from the first token on.

    Raises ValueError, in a sentence, if the model is another than that of the run or does not have two paths.
    """
    found = PathCosines(atlas_of(run, chosen), seed=seed)
    if set(run.sizes.parts) != {"depth", "gate", "width"}:
        raise ValueError("This model does not have two paths whose outputs could be compared.")
    for row in sampled(run, chosen, count=count, seed=seed).itertuples():
        paths = read(row.text)
        if (ours := paths.routing.meta.get("weights_sha256")) != (theirs := run.meta.get("weights_sha256")):
            raise ValueError(
                f"The run is of {run.meta.get('model')} with weights {str(theirs)[:12]}, and here are others: "
                f"{str(ours)[:12]}."
            )
        found.add(paths, row.tokens, row.loops)
    return found


__all__ = ["MOST_TOKENS", "SAMPLE", "SEED", "PathCosines", "path_cosines", "sampled"]
