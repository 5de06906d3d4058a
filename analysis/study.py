"""A study: what several texts, read by one model, say together. Computed once, then looked at from all sides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.aggregate import ordinary
from analysis.difficulty import Kind
from analysis.interaction import loops_and_experts
from analysis.resampling import DRAWS
from analysis.sources import routing_sources, same_model
from analysis.transitions import layer_to_layer, loop_flows, transitions
from analysis.validity import difficulty_by_class, difficulty_validity
from hooks.trace import RoutingTrace


@dataclass(frozen=True, eq=False)
class Study:
    """The tables of a set of texts. Each is described by the function of the same name."""

    texts: int
    tokens: int
    """Ordinary tokens of all texts."""
    num_layers: int
    max_loops: int
    meta: dict[str, Any]
    """Where the numbers come from: that of the first trace, without its text."""
    routing_sources: pd.DataFrame
    loops_and_experts: pd.DataFrame
    layer_to_layer: pd.DataFrame
    transitions: pd.DataFrame
    loop_flows: pd.DataFrame
    difficulty_validity: dict[Kind, pd.DataFrame]
    difficulty_by_class: dict[Kind, pd.DataFrame]


def study(traces: Sequence[RoutingTrace], *, draws: int = DRAWS, seed: int = 0) -> Study:
    """Everything that is asked of several texts at once, with `draws` rotations and resamplings.

    Raises ValueError for fewer than two texts, or for traces of different models.
    """
    same_model(traces)
    if len(traces) < 2:
        raise ValueError("a study compares texts: give at least two")
    chance = {"draws": draws, "seed": seed}
    return Study(
        texts=len(traces),
        tokens=sum(int(ordinary(trace).sum()) for trace in traces),
        num_layers=traces[0].num_layers,
        max_loops=traces[0].max_loops,
        meta={name: value for name, value in traces[0].meta.items() if name != "text"},
        routing_sources=routing_sources(traces, **chance),
        loops_and_experts=loops_and_experts(traces, **chance),
        layer_to_layer=layer_to_layer(traces, **chance),
        transitions=transitions(traces),
        loop_flows=loop_flows(traces),
        difficulty_validity={kind: difficulty_validity(traces, kind, **chance) for kind in ("soft", "hard")},
        difficulty_by_class={kind: difficulty_by_class(traces, kind, **chance) for kind in ("soft", "hard")},
    )


def validity_table(found: Study) -> pd.DataFrame:
    """`difficulty_validity` of both kinds of difficulty, one below the other."""
    return pd.concat(
        [table.assign(difficulty=kind) for kind, table in found.difficulty_validity.items()], ignore_index=True
    )


def class_table(found: Study) -> pd.DataFrame:
    """`difficulty_by_class` of both kinds of difficulty, one below the other."""
    return pd.concat([table.assign(kind=kind) for kind, table in found.difficulty_by_class.items()], ignore_index=True)


def together_table(found: Study) -> pd.DataFrame:
    """`loops_and_experts` and `layer_to_layer`, one below the other; `pair` names the two choices."""
    within = found.loops_and_experts.assign(pair="loops and experts")
    between = found.layer_to_layer
    between = between.assign(pair=between["kind"] + " and the next layer's").drop(columns="kind")
    return pd.concat([within, between], ignore_index=True)


__all__ = ["Study", "class_table", "study", "together_table", "validity_table"]
