"""Regret: what the best number of loops of each token in each layer would have gained over the one that it took.

All numbers come from counterfactuals of one cell (layer, token) at a time: they say what one other choice would have
done while the model decides all else anew, not what many other choices would do together (`explain.frontier`). The
best number knows the text that follows, which no gate does: it is a limit, not a rival.

    changes   change of log p, nats, by number of loops (entry 0 is one loop), layer and token; NaN where not run
    chosen    the loops that the model chose, from 1
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from analysis.aggregate import ordinary, share
from hooks.depth_effects import DepthEffects, Gate, Objective

TIE = 1e-4
"""Nats. Numbers of loops that lie as close to the best one tie with it: a hundredth of a per cent of the probability.
Rounding is about a hundred times smaller (`DepthEffects.rounding`)."""


@dataclass(frozen=True, eq=False)
class Cells:
    """The changes of one text by one objective, and the model's choices."""

    changes: Float[np.ndarray, "loop layer token"]
    chosen: Int[np.ndarray, "layer token"]
    counted: Bool[np.ndarray, " token"]
    """Tokens that were run and are the text's own."""

    def of_chosen(self) -> Float[np.ndarray, "layer token"]:
        """The change at the chosen number: 0 unless somebody shuffled."""
        return np.take_along_axis(self.changes, self.chosen[None] - 1, axis=0)[0]


def cells_of(effects: DepthEffects, objective: Objective = "own", gate: Gate = "follows") -> Cells:
    """The cells of a sweep."""
    return Cells(effects.of(objective, gate), effects.routing.loops, effects.ran & ordinary(effects.routing))


def regret(cells: Cells) -> Float[np.ndarray, "layer token"]:
    """Best change minus the change at the chosen number, nats: 0 where the choice was best, never below."""
    return cells.changes.max(axis=0) - cells.of_chosen()


def tied(cells: Cells) -> Bool[np.ndarray, "layer token"]:
    """Whether several numbers of loops are best, to within `TIE`. False where not run."""
    return (cells.changes >= cells.changes.max(axis=0) - TIE).sum(axis=0) > 1


def best_loops(cells: Cells) -> Int[np.ndarray, "layer token"]:
    """The best number of loops; of several that tie the chosen one, or else the smallest. 0 where not run."""
    best = cells.changes >= cells.changes.max(axis=0) - TIE
    of_chosen = np.take_along_axis(best, cells.chosen[None] - 1, axis=0)[0]
    return np.where(of_chosen, cells.chosen, best.argmax(axis=0) + 1) * np.isfinite(cells.changes).all(axis=0)


def regret_of_random(cells: Cells) -> Float[np.ndarray, "layer token"]:
    """Mean regret of a gate that deals the loops of each layer anew among its counted tokens.

    Its histogram in every layer is the model's own. It is the exact mean over all ways to deal, not a draw.
    """
    numbers = np.arange(1, len(cells.changes) + 1)[:, None, None]
    histogram = (cells.chosen[:, cells.counted] == numbers).sum(axis=2) / max(cells.counted.sum(), 1)  # [loop layer]
    return cells.changes.max(axis=0) - np.einsum("nl,nlt->lt", histogram, cells.changes)


def regret_of_always(cells: Cells, loops: int) -> Float[np.ndarray, "layer token"]:
    """Regret of a gate that always takes `loops` loops."""
    return cells.changes.max(axis=0) - cells.changes[loops - 1]


def gates_compared(cells: Cells) -> pd.DataFrame:
    """One row per gate: "learned", "random" (same histogram per layer), "always 1" and so on, and "best".

    `loops` mean FFN passes of a token in a layer, `regret` mean nats per cell, `more` regret minus that of the learned
    gate, `cells` how many were counted. NaN where there are none.
    """
    table = pd.DataFrame(gate_means(cells), columns=["gate", "loops", "regret"])
    table["more"] = table["regret"] - table["regret"].iloc[0]
    return table.assign(cells=int(cells.counted.sum()) * cells.chosen.shape[0])


def gate_means(cells: Cells) -> list[tuple[str, float, float]]:
    """(gate, mean loops, mean regret) of every gate of `gates_compared`; NaN where no cell is counted."""
    return [(name, *_means(loops, lost)) for name, loops, lost in _gates(cells)]


def best_by_chosen(cells: Cells) -> pd.DataFrame:
    """One row per chosen x best number of loops: `cells` with it, `share` of those with the same choice.

    Ties are a row of their own: there `best` is missing, since several numbers are best.
    """
    chosen, best, apart = (each[:, cells.counted].ravel() for each in (cells.chosen, best_loops(cells), tied(cells)))
    most, rows = len(cells.changes), []
    for number in range(1, most + 1):
        here = chosen == number
        for other in (*range(1, most + 1), None):
            count = int((here & (apart if other is None else ~apart & (best == other))).sum())
            rows.append((number, other, count, float(share(np.array(count), np.array(here.sum())))))
    table = pd.DataFrame(rows, columns=["chosen", "best", "cells", "share"])
    return table.astype({"best": "Int64"})


def choices_by_chance(cells: Cells) -> tuple[float, float]:
    """Share of the cells without ties whose choice is the best number, and the share that a random deal has.

    The deal keeps each layer's histogram among its cells without ties. NaN without such cells.
    """
    clear = cells.counted & ~tied(cells)
    count = clear.sum()
    if not count:
        return float("nan"), float("nan")
    best, expected = best_loops(cells), 0.0
    for layer, of_layer in enumerate(clear):
        for number in range(1, len(cells.changes) + 1):
            dealt, wanted = (values[layer, of_layer] == number for values in (cells.chosen, best))
            expected += dealt.mean() * wanted.sum() if of_layer.any() else 0.0
    return float((best == cells.chosen)[clear].mean()), float(expected / count)


def effects_table(effects: DepthEffects) -> pd.DataFrame:
    """One row per way of lambda x layer x token x loops, with the changes by both objectives; NaN where not run."""
    from hooks.depth_effects import GATES

    trace = effects.routing
    gate, loop, layer, token = (axis.ravel() for axis in np.indices(effects.own.shape))
    return pd.DataFrame(
        {
            "layer": layer,
            "token": token,
            "text": np.array(trace.tokens, dtype=object)[token],
            "loops": loop + 1,
            "gate": np.array(GATES, dtype=object)[gate],
            "chosen": trace.loops[layer, token] == loop + 1,
            "change_own": effects.own.ravel(),
            "change_later": effects.later.ravel(),
        }
    )


def _gates(cells: Cells):
    """(name, loops [layer counted], regret [layer counted]) of every gate."""
    part, best = np.s_[:, cells.counted], best_loops(cells)
    yield "learned", cells.chosen[part], regret(cells)[part]
    yield "random", cells.chosen[part], regret_of_random(cells)[part]
    for loops in range(1, len(cells.changes) + 1):
        lost = regret_of_always(cells, loops)[part]
        yield f"always {loops}", np.full(lost.shape, loops), lost
    yield "best", best[part], np.zeros(best[part].shape)


def _means(loops: np.ndarray, lost: np.ndarray) -> tuple[float, float]:
    return (float(loops.mean()), float(lost.mean())) if lost.size else (float("nan"), float("nan"))


__all__ = [
    "TIE", "Cells", "best_by_chosen", "best_loops", "cells_of", "choices_by_chance", "effects_table", "gate_means",
    "gates_compared",
    "regret", "regret_of_always", "regret_of_random", "tied",
]  # fmt: skip
