"""A study: what several texts, read by one model, say together. Computed once, then looked at from all sides."""

from collections.abc import Callable
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import pandas as pd

from analysis.difficulty import Kind
from analysis.texts.alike import ALIKE, RUN, near_duplicates
from analysis.texts.interaction import loops_and_experts
from analysis.texts.orders import DRAWS
from analysis.texts.sources import routing_sources
from analysis.texts.tokens import Studied, texts_of
from analysis.texts.transitions import flows_of, layer_to_layer, transitions
from analysis.texts.validity import difficulty_by_class, validity_by_kind
from analysis.words.labels import how_many

SAMPLES = "sample texts"
"""Name of the set of `SAMPLE_TEXTS`."""


@dataclass(frozen=True, eq=False)
class Study:
    """The tables of a set of texts. Each is described by the function of the same name."""

    name: str
    """What the set of texts is called: SAMPLES, or the file that they came from; empty if it has no name."""
    read: tuple[str, ...]
    """The texts, in their order; of a run their beginnings."""
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
    near_duplicates: pd.DataFrame
    told: tuple[str, ...] = ()
    """A sentence for each thing that is missing or was left out."""
    code: str = ""
    """Python that gives the texts again from a `Run`; empty if they were traced."""


def study(
    studied: Studied,
    *,
    name: str = "",
    draws: int = DRAWS,
    seed: int = 0,
    progress: Callable[[float], None] = lambda done: None,
) -> Study:
    """Everything that is asked of several texts at once, with `draws` exchanges and rotations.

    `studied` are traces, or a `Run`, or its `texts(...)`. `name` is what these texts are called. Fewer than
    FEWEST_TEXTS have no interval and no p. `progress` is told the share done, 0..1. Raises ValueError for no text, or
    traces of different models.
    """
    texts = texts_of(studied)
    chance = {"draws": draws, "seed": seed}
    sources = routing_sources(texts, progress=progress, **chance)
    states = transitions(texts)
    return Study(
        name=name,
        read=texts.read,
        texts=len(texts.tokens.lengths),
        tokens=len(texts.tokens.ids),
        num_layers=texts.num_layers,
        max_loops=texts.max_loops,
        meta=texts.meta,
        routing_sources=sources,
        loops_and_experts=loops_and_experts(texts, **chance),
        layer_to_layer=layer_to_layer(texts, **chance),
        transitions=states,
        loop_flows=flows_of(states),
        difficulty_validity=validity_by_kind(texts, **chance),
        difficulty_by_class={kind: difficulty_by_class(texts, kind) for kind in ("soft", "hard")},
        near_duplicates=near_duplicates(texts),
        told=texts.told,
        code=texts.code,
    )


def repeats_told(found: Study) -> str | None:
    """What the near-duplicates among the texts do to the statistics, in a sentence or two; None without any."""
    repeats = found.near_duplicates
    if repeats.empty:
        return None
    pair = [_beginning(found, int(repeats[column].iloc[0])) for column in ("text", "like")]
    return (
        f"{len(repeats):,} of {how_many(found.texts, 'text')} nearly repeat an earlier one: of all runs of {RUN} "
        f"tokens in the shorter of the two, {100 * ALIKE:.0f}% or more stand in the other as well. The first pair is "
        f"{pair[0]} and {pair[1]}; each text counts as one of its own, so intervals are too narrow and p is too small."
    )


def _beginning(found: Study, text: int) -> str:
    """The first words of a text in quotes, or its number, from 1, where the words are unknown."""
    return f"“{shorten(found.read[text], 48, placeholder='…')}”" if found.read[text].strip() else f"text {text + 1}"


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


__all__ = ["SAMPLES", "Study", "class_table", "repeats_told", "study", "together_table", "validity_table"]
