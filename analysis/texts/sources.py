"""What decides the routing: how much of loops and experts do token and position foretell, in texts not seen before?

A prediction for a text is made from the counts of all other texts. `explained` is the share of the uncertainty that it
removes: 1 - (cross-entropy of the prediction) / (cross-entropy of how often each choice occurs at all). 0: it foretells
nothing; 1: everything; below 0: it misleads. The routing is a function of the text, so what nothing here explains is
neither chance nor noise: it is context, and what so few texts cannot teach. lambda follows from the loops, one to one,
and is explained as they are.

Each prediction mixes the counts of its own case with a wider one, which weighs as much as SMOOTHING tokens: a choice,
not a finding. With a smaller one, rare types explain more and mislead more. Distances count from the start of the text,
also where a long text is read in windows.
    token       how tokens of the same type were routed, mixed with how often each choice occurs
    position    the same for tokens at the same distance from the start (0, 1, 2-3, 4-7, 8-15, ...)
    both        same type and same distance, mixed with `token`
    previous    same type and same type before it, mixed with `token`: the nearest piece of context
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from analysis.aggregate import ordinary, ordinary_places, share
from analysis.texts.chance import (
    DRAWS,
    FEWEST_TEXTS,
    alone,
    corrected,
    exchanges,
    least_p,
    lengths_to_text,
    p_value,
    parted,
    places,
    reversals,
    rotations,
    text_interval,
)
from hooks.trace import RoutingTrace

Target = Literal["loops", "expert"]
TARGETS: tuple[Target, ...] = ("loops", "expert")
SOURCES = ("token", "position", "both", "previous")
SMOOTHING = 2.0
"""Tokens that the wider case weighs in every prediction."""

COLUMNS = (
    "target", "layer", "source", "texts", "tokens", "alone", "unseen", "explained", "low", "high", "chance", "p",
    "p_least", "p_corrected",
)  # fmt: skip


def routing_sources(
    traces: Sequence[RoutingTrace],
    *,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Callable[[float], None] = lambda done: None,
) -> pd.DataFrame:
    """One row per target x layer x source: what a prediction from the other texts explains, against chance.

    `loops`: ordinary tokens. `expert`: the first choice of those that routed. Columns: texts, tokens, alone (tokens
    at a position where no other text has one: in an exchange they keep their choice), unseen (share of tokens whose
    case occurs in no other text; they are foretold by the wider one), explained, low and high (95%, over texts, with
    these predictions), chance (what is explained after rotating the routing within each text, or exchanging it between
    texts at equal positions: the larger mean), p (one-sided, the larger of two: routing read backwards, and exchanged),
    p_least (the smallest p that can come out of so many texts) and p_corrected (Benjamini-Hochberg over layers, per
    target and source). So p asks what a source foretells beyond
    the position; of `position` itself p and chance come from texts read backwards and rotated alone. Interval and p
    are NaN below FEWEST_TEXTS. A single text has no rows: there are no other texts to foretell it from. `progress` is
    told the share done, 0..1.

    Raises ValueError for no traces, or traces of different models.
    """
    same_model(traces)
    if len(traces) < 2:
        return pd.DataFrame(columns=COLUMNS)
    ids = {int(i): n for n, i in enumerate(np.unique(np.concatenate([trace.token_ids for trace in traces])))}
    rows = []
    for target in TARGETS:
        size = traces[0].max_loops if target == "loops" else traces[0].num_experts
        for layer in range(traces[0].num_layers):
            progress(len(rows) / (len(TARGETS) * traces[0].num_layers))
            cases, choices, lengths, positions = [], [], [], []
            for trace in traces:
                kept = ordinary(trace) if target == "loops" else ordinary(trace) & trace.width_ran[layer]
                choice = trace.loops[layer] - 1 if target == "loops" else trace.expert_ids[layer, :, 0]
                cases.append(_cases(trace, ids)[:, kept])
                choices.append(choice[kept])
                lengths.append(int(kept.sum()))
                positions.append(ordinary_places(trace)[kept])
            found = explained(
                np.concatenate(cases, axis=1),
                np.concatenate(choices),
                lengths,
                size,
                np.concatenate(positions),
                draws=draws,
                seed=seed,
            )
            rows.append(found.assign(target=target, layer=layer))
    table = pd.concat(rows, ignore_index=True)
    table["p_corrected"] = table.groupby(["target", "source"])["p"].transform(lambda p: corrected(p.to_numpy()))
    return table[list(COLUMNS)]


def explained(
    cases: np.ndarray,
    choices: np.ndarray,
    lengths: Sequence[int],
    num_choices: int,
    positions: np.ndarray | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per source: how well `choices` [token] of each text follow from the other texts' (see `routing_sources`).

    `cases` [3, token] are the type of each token, its distance bin and the type before it (-1: none); the tokens of
    all texts stand one behind the other, `lengths` of each, at `positions` [token] from 0 if some are left out.
    """
    model = _Predictions(cases, np.asarray(lengths), num_choices)
    base, scores = model.scores(choices)
    observed = _shares((base, scores))
    positions = places(lengths) if positions is None else positions

    def moved(orders: np.ndarray) -> np.ndarray:
        """What each source explains of the choices put in other orders, [draw, source]."""
        return np.array([_shares(model.scores(choices[order])) for order in orders])

    few = max(draws // 4, 1)  # a mean needs fewer
    rotated, backwards = moved(rotations(lengths, few, seed=seed)), moved(reversals(lengths, seed=seed))
    given = moved(parted(lengths, positions, few, seed=seed))
    exchanged = moved(exchanges(lengths, positions, draws, seed=seed))
    not_position = np.array(SOURCES) != "position"
    chance = np.where(not_position, np.maximum(rotated.mean(axis=0), given.mean(axis=0)), rotated.mean(axis=0))
    p = p_value(backwards)
    p = np.where(not_position, np.maximum(p, p_value(exchanged)), p)
    text = lengths_to_text(lengths)
    per_text = np.stack([np.bincount(text, weights=each, minlength=len(lengths)) for each in (*scores, base)], axis=1)
    gain, whole = per_text[:, -1:] - per_text[:, :-1], np.repeat(per_text[:, -1:], len(SOURCES), axis=1)
    texts = int((np.asarray(lengths) > 0).sum())
    low, high = text_interval(gain, whole, most=1)
    enough = texts >= FEWEST_TEXTS
    least = np.where(not_position, least_p(texts, draws=draws), least_p(texts, keep_position=False))
    return pd.DataFrame(
        {
            "source": SOURCES,
            "texts": texts,
            "tokens": len(choices),
            "alone": int(alone(lengths, positions).sum()),
            "unseen": model.unseen,
            "explained": observed,
            "low": low,
            "high": high,
            "chance": chance,
            "p": p if enough else np.full(len(SOURCES), np.nan),
            "p_least": least if enough else np.full(len(SOURCES), np.nan),
        }
    )


class _Predictions:
    """Predictions of every token from the other texts' counts; what does not depend on the choices is counted once."""

    def __init__(self, cases: np.ndarray, lengths: np.ndarray, num_choices: int):
        self.text, self.num_choices, self.lengths = lengths_to_text(lengths), num_choices, lengths
        token, distance, before = cases
        self.codes = {
            "token": _compact(token),
            "position": _compact(distance),
            "both": _compact(token, distance),
            "previous": _compact(token, before),
        }
        self.own = {name: _compact(self.text, code) for name, code in self.codes.items()}
        self.seen = {name: _count(code) - _count(self.own[name]) for name, code in self.codes.items()}
        self.known = {name: np.flatnonzero(self.seen[name]) for name in SOURCES}
        self.cells = {  # of the tokens whose case another text has: there alone is something to count
            name: [_compact(code[self.known[name]]) * num_choices for code in (self.codes[name], self.own[name])]
            for name in SOURCES
        }
        self.unseen = [float(share((self.seen[name] == 0).sum(), np.array(len(self.text)))) for name in SOURCES]

    def scores(self, choices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """-log p of every token's choice: by how often it occurs at all [token], and by each source [source, token]."""
        occurs = _count(choices) - _count(self.text * self.num_choices + choices)
        usual = (occurs + 1) / (len(choices) - self.lengths[self.text] + self.num_choices)
        by = {}
        for name in SOURCES:
            weighed = SMOOTHING * (by["token"] if name in ("both", "previous") else usual)
            known, (code, own) = self.known[name], self.cells[name]
            here = choices[known]
            weighed[known] += _count(code + here) - _count(own + here)
            by[name] = weighed / (self.seen[name] + SMOOTHING)
        return -np.log(usual), -np.log(np.stack([by[name] for name in SOURCES]))


def _shares(scores: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Share of the uncertainty that each source removes, [source]; NaN where there is none to remove."""
    base, by = scores
    return 1 - share(by.sum(axis=1), np.full(len(by), base.sum()))


def _cases(trace: RoutingTrace, ids: dict[int, int]) -> np.ndarray:
    """Type, distance bin and type before of every token, int [3, token]; distances leave out added tokens."""
    types = np.array([ids[int(i)] for i in trace.token_ids])
    return np.stack([types, np.frexp(ordinary_places(trace))[1], np.concatenate([[-1], types[:-1]])])


def _compact(*codes: np.ndarray) -> np.ndarray:
    """One code from 0 for every combination of codes that occurs."""
    joint = np.zeros(len(codes[0]), np.int64)
    for code in codes:
        _, inverse = np.unique(code, return_inverse=True)
        joint = np.unique(joint * (inverse.max(initial=0) + 1) + inverse, return_inverse=True)[1]
    return joint


def _count(codes: np.ndarray) -> np.ndarray:
    """How often each token's code occurs."""
    return np.bincount(codes)[codes] if len(codes) else np.zeros(0, int)


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


__all__ = ["SOURCES", "TARGETS", "explained", "routing_sources", "same_model"]
