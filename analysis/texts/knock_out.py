"""Knock-outs over several texts: which experts the model cannot do without, beside experts drawn at random."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.aggregate import ordinary
from analysis.texts.alike import near_duplicates
from analysis.texts.paired import paired_table
from analysis.texts.tokens import same_model
from hooks.knock_out_trace import PATHS, KnockOutTrace, Path, Then


@dataclass(frozen=True, eq=False)
class KnockOutStudy:
    """The knock-outs of a set of texts, in the paths that were measured in all of them."""

    name: str
    """What the set of texts is called: SAMPLES, or the file that they came from; empty if it has no name."""
    read: tuple[str, ...]
    """The texts, in their order."""
    texts: int
    tokens: int
    """Ordinary tokens of all texts."""
    num_layers: int
    num_experts: int
    then: Then
    draws: int
    meta: dict[str, Any]
    """Where the numbers come from: that of the first trace, without its text."""
    table: pd.DataFrame
    """`expert_effects`."""
    near_duplicates: pd.DataFrame

    @property
    def paths(self) -> list[Path]:
        """The paths that were measured."""
        return [path for path in PATHS if (self.table["path"] == path).any()]


def knock_out_study(found: Sequence[KnockOutTrace], *, name: str = "") -> KnockOutStudy:
    """What knock-outs of several texts say together.

    Raises ValueError for no texts, texts of different models, or texts measured in different ways.
    """
    traces = [each.routing for each in found]
    same_model(traces)
    if len({(each.then, each.draws) for each in found}) > 1:
        raise ValueError("knock-outs of several texts must have the same `then` and as many draws")
    return KnockOutStudy(
        name=name,
        read=tuple(trace.meta.get("text") or "" for trace in traces),
        texts=len(traces),
        tokens=sum(int(ordinary(trace).sum()) for trace in traces),
        num_layers=traces[0].num_layers,
        num_experts=traces[0].num_experts,
        then=found[0].then,
        draws=found[0].draws,
        meta={key: value for key, value in traces[0].meta.items() if key != "text"},
        table=expert_effects(found),
        near_duplicates=near_duplicates(traces),
    )


def expert_effects(found: Sequence[KnockOutTrace], *, seed: int = 0) -> pd.DataFrame:
    """One row per path x layer x expert, of the paths that are measured to their end in all texts.

    Columns: path, layer, expert, and those of `paired_table`, in nats per token; the family of tests is the cells of a
    path. In the width path a text counts where some token had the expert: without such a token nothing is lost.
    """
    tables = []
    for number, path in enumerate(PATHS):
        if not all(path in each.finished for each in found):
            continue
        sums = {"change": [], "control": []}
        for each in found:
            for name, of_texts in sums.items():
                of_texts.append(getattr(each, name)[number][..., each.counted].sum(axis=-1, dtype=float).ravel())
        counted = np.array([each.counted.sum() for each in found])[:, None]
        had = np.array([each.had.ravel() for each in found]) > 0 if path == "width" else True
        tokens = np.where(had, counted, 0) * np.ones((1, found[0].had.size), int)
        table = paired_table(np.array(sums["change"]), np.array(sums["control"]), tokens, seed=seed)
        layer, expert = (axis.ravel() for axis in np.indices(found[0].had.shape))
        for place, (column, values) in enumerate({"path": path, "layer": layer, "expert": expert}.items()):
            table.insert(place, column, values)
        tables.append(table)
    return (
        pd.concat(tables, ignore_index=True)
        if tables
        else pd.DataFrame(columns=["path", "layer", "expert", "tokens", "p"])
    )


def effects_table(study: KnockOutStudy) -> pd.DataFrame:
    """`expert_effects` of a study."""
    return study.table


__all__ = ["KnockOutStudy", "effects_table", "expert_effects", "knock_out_study"]
