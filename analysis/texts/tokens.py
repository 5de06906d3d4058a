"""Tokens of several texts as flat columns, one text behind the other: what every study of texts is counted from.

A list of traces makes these columns, and so does a run (`analysis.runs.texts`), a layer at a time. After that the
studies do not know which of the two they read, so both give the same answer.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from analysis.aggregate import ordinary, ordinary_places
from analysis.difficulty import Kind, surprisal
from hooks.token_text import WHITE
from hooks.trace import RoutingTrace

CLASSES = ("word", "inside a word", "digits", "punctuation", "white space", "other")


@dataclass(frozen=True, eq=False)
class TokenColumns:
    """The ordinary tokens of all texts. Tokens that the tokenizer added are left out, but they keep their places."""

    lengths: Int[np.ndarray, " text"]
    """Ordinary tokens of each text."""
    ids: Int[np.ndarray, " token"]
    before: Int[np.ndarray, " token"]
    """Id of the token before it, added ones too; -1 for none."""
    positions: Int[np.ndarray, " token"]
    """In the text as the model read it, from 0."""
    places: Int[np.ndarray, " token"]
    """From 0, not counting the tokens that the tokenizer added."""
    classes: Int[np.ndarray, " token"]
    """Numbers of CLASSES."""
    surprisal_read: Float[np.ndarray, " token"]
    """Nats; NaN for none, as in `analysis.difficulty.surprisal`."""
    surprisal_next: Float[np.ndarray, " token"]
    entropy: Float[np.ndarray, " token"] | None
    """Of the prediction, nats; None where it was not kept."""


@dataclass(frozen=True, eq=False)
class LayerColumns:
    """What the ordinary tokens of all texts did in a layer."""

    loops: Int[np.ndarray, " token"]
    expert: Int[np.ndarray, " token"]
    """The best of its experts that ran; -1 for a token that did not route."""
    soft: Float[np.ndarray, " token"]
    """Soft difficulty, 0..1."""


class Texts(ABC):
    """Several texts that one model read."""

    num_layers: int
    max_loops: int
    num_experts: int
    meta: dict[str, Any]
    """Model and weights, as in a trace, without the text."""
    read: tuple[str, ...]
    """The texts, in their order; of a run their beginnings."""
    told: tuple[str, ...] = ()
    """A sentence for each thing that is missing or was left out."""
    code: str = ""
    """Python that gives them again from a `Run`; empty if they come from traces."""
    tokens: TokenColumns

    @abstractmethod
    def layer(self, layer: int) -> LayerColumns: ...

    def difficulty(self, layer: int, kind: Kind) -> Float[np.ndarray, " token"]:
        """Difficulty of every token in a layer, 0..1."""
        found = self.layer(layer)
        return found.soft if kind == "soft" else (found.loops - 1) / max(self.max_loops - 1, 1)

    def mean_difficulty(self, kind: Kind) -> Float[np.ndarray, " token"]:
        """Mean over layers."""
        total = self.difficulty(0, kind)
        for layer in range(1, self.num_layers):
            total = total + self.difficulty(layer, kind)
        return total / self.num_layers


@runtime_checkable
class HoldsTexts(Protocol):
    """A run, or something else that keeps what studies count."""

    def texts(self) -> Texts: ...


Studied = Sequence[RoutingTrace] | Texts | HoldsTexts
"""What the studies take: traces, a run, or its texts (which are then read once for several studies)."""


def texts_of(studied: Studied) -> Texts:
    """The columns of traces or of a run. Raises ValueError for no text, and for traces of different models."""
    if isinstance(studied, Texts):
        return studied
    return studied.texts() if isinstance(studied, HoldsTexts) else TracedTexts(studied)


class TracedTexts(Texts):
    """The columns of a list of traces."""

    def __init__(self, traces: Sequence[RoutingTrace]):
        same_model(traces)
        self._traces, self._kept = traces, [ordinary(trace) for trace in traces]
        first = traces[0]
        self.num_layers, self.max_loops, self.num_experts = first.num_layers, first.max_loops, first.num_experts
        self.meta = {name: value for name, value in first.meta.items() if name != "text"}
        self.read = tuple(trace.meta.get("text") or "" for trace in traces)
        self.tokens = TokenColumns(
            lengths=np.array([kept.sum() for kept in self._kept]),
            ids=self._joined([trace.token_ids for trace in traces]),
            before=self._joined([np.append(-1, trace.token_ids)[:-1] for trace in traces]),
            positions=self._joined([np.arange(trace.num_tokens) for trace in traces]),
            places=self._joined([ordinary_places(trace) for trace in traces]),
            classes=self._joined([np.array(class_numbers(trace.tokens)) for trace in traces]),
            surprisal_read=self._joined([surprisal(trace) for trace in traces]),
            surprisal_next=self._joined([surprisal(trace, "next") for trace in traces]),
            entropy=self._joined([trace.next_entropy for trace in traces]),
        )

    def layer(self, layer: int) -> LayerColumns:
        return LayerColumns(
            loops=self._joined([trace.loops[layer] for trace in self._traces]),
            expert=self._joined(
                [first_experts(trace.expert_ids[layer], trace.expert_ran[layer]) for trace in self._traces]
            ),
            soft=self._joined([trace.difficulty_soft[layer] for trace in self._traces]),
        )

    def _joined(self, columns: Sequence[np.ndarray]) -> np.ndarray:
        """Columns of all tokens of each text -> one of the ordinary tokens of all."""
        return np.concatenate([column[kept] for column, kept in zip(columns, self._kept, strict=True)])


def same_model(traces: Sequence[RoutingTrace]) -> None:
    """Raise ValueError unless all traces have the same axes, so that their layers and experts are the same ones."""
    if not traces:
        raise ValueError("there is no text to count: give at least one trace")
    shapes = {(trace.num_layers, trace.max_loops, trace.num_experts) for trace in traces}
    weights = {trace.meta.get("weights_sha256") for trace in traces}
    if len(shapes) > 1 or len(weights) > 1:
        raise ValueError("the traces come from different models: trace all texts with one model")
    if any(trace.interventions != traces[0].interventions for trace in traces):
        raise ValueError("the traces have different interventions: trace all texts with the same ones")


def first_experts(ids: Int[np.ndarray, "token k"], ran: np.ndarray) -> Int[np.ndarray, " token"]:
    """The best expert that ran, -1 for none; `ran` [token, k]."""
    return np.where(ran.any(axis=1), ids[np.arange(len(ids)), ran.argmax(axis=1)], -1)


def token_classes(tokens: Sequence[str]) -> list[str]:
    """The class of every token, by its display string: one of CLASSES.

    `inside a word`: letters that continue letters of the token before. `other`: lone bytes.
    """
    return [CLASSES[number] for number in class_numbers(tokens)]


def class_numbers(tokens: Sequence[str]) -> list[int]:
    """`token_classes` as numbers of CLASSES."""
    found, letter_before = [], False
    for token in tokens:
        core = token.strip(WHITE)
        if not core:
            kind = "white space"
        elif "⟨" in core:
            kind = "other"
        elif any(char.isalpha() for char in core):
            kind = "inside a word" if letter_before and token[0].isalpha() else "word"
        else:
            kind = "digits" if any(char.isdigit() for char in core) else "punctuation"
        found.append(CLASSES.index(kind))
        letter_before = kind in ("word", "inside a word") and token[-1].isalpha()
    return found


__all__ = [
    "CLASSES", "HoldsTexts", "LayerColumns", "Studied", "Texts", "TokenColumns", "TracedTexts", "class_numbers",
    "first_experts", "same_model", "texts_of", "token_classes",
]  # fmt: skip
