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

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from analysis.aggregate import share
from analysis.texts.chance import FEWEST_TEXTS, corrected, least_p, p_value, text_interval
from analysis.texts.orders import (
    DRAWS,
    Orders,
    alone,
    exchanges,
    lengths_to_text,
    parted,
    places,
    reversals,
    rotations,
)
from analysis.texts.tokens import Studied, TokenColumns, texts_of

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
    studied: Studied,
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

    Raises ValueError for no text, or traces of different models.
    """
    texts = texts_of(studied)
    tokens = texts.tokens
    if len(tokens.lengths) < 2:
        return pd.DataFrame(columns=COLUMNS)
    rows: list[pd.DataFrame] = []
    cases = Cases(_cases(tokens), tokens.lengths)
    for target in TARGETS:
        for layer in range(texts.num_layers):
            progress(len(rows) / (len(TARGETS) * texts.num_layers))
            did = texts.layer(layer)
            if target == "loops":  # the same tokens in every layer
                choices, size, positions = did.loops.astype(int) - 1, texts.max_loops, tokens.places
            else:
                del cases  # before the next are made: they are large
                kept, size = did.expert >= 0, texts.num_experts
                lengths = np.bincount(lengths_to_text(tokens.lengths)[kept], minlength=len(tokens.lengths))
                cases, positions = Cases([each[kept] for each in _cases(tokens)], lengths), tokens.places[kept]
                choices = did.expert[kept].astype(int)
            found = _explained(cases, choices, size, positions, draws=draws, seed=seed)
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

    `cases`, each [token], are the type of each token, its distance bin and the type before it (-1: none); the tokens of
    all texts stand one behind the other, `lengths` of each, at `positions` [token] from 0 if some are left out.
    """
    positions = places(lengths) if positions is None else positions
    return _explained(Cases(cases, np.asarray(lengths)), choices, num_choices, positions, draws=draws, seed=seed)


def _explained(
    cases: "Cases", choices: np.ndarray, num_choices: int, positions: np.ndarray, *, draws: int, seed: int
) -> pd.DataFrame:
    lengths = cases.lengths
    per_text = np.stack(
        [
            np.bincount(cases.text, weights=each, minlength=len(lengths))
            for each in _surprise(cases, choices, num_choices)
        ],
        axis=1,
    )
    observed = _shares(cases, choices, num_choices)

    def moved(orders: Orders) -> np.ndarray:
        """What each source explains of the choices put in other orders, [order, source]."""
        return np.array([_shares(cases, choices[order], num_choices) for block in orders for order in block])

    few = max(draws // 4, 1)  # a mean needs fewer
    rotated = moved(rotations(lengths, few, seed=seed))
    turned = moved(reversals(lengths, draws, seed=seed))
    given = moved(parted(lengths, positions, few, seed=seed))
    exchanged = moved(exchanges(lengths, positions, draws, seed=seed))
    not_position = np.array(SOURCES) != "position"
    chance = np.where(not_position, np.maximum(rotated.mean(axis=0), given.mean(axis=0)), rotated.mean(axis=0))
    p = p_value(turned)
    p = np.where(not_position, np.maximum(p, p_value(exchanged)), p)
    gain, whole = per_text[:, :1] - per_text[:, 1:], np.repeat(per_text[:, :1], len(SOURCES), axis=1)
    texts = int((lengths > 0).sum())
    low, high = text_interval(gain, whole, most=1)
    enough = texts >= FEWEST_TEXTS
    least = np.where(not_position, least_p(texts, draws=draws), least_p(texts, keep_position=False, draws=draws))
    return pd.DataFrame(
        {
            "source": SOURCES,
            "texts": texts,
            "tokens": len(choices),
            "alone": int(alone(lengths, positions).sum()),
            "unseen": cases.unseen,
            "explained": observed,
            "low": low,
            "high": high,
            "chance": chance,
            "p": p if enough else np.full(len(SOURCES), np.nan),
            "p_least": least if enough else np.full(len(SOURCES), np.nan),
        }
    )


class Cases:
    """The case of every token by every source; what does not depend on the choices is counted once, in 32 bits."""

    def __init__(self, cases: Sequence[np.ndarray], lengths: np.ndarray):
        self.lengths, self.text = lengths, lengths_to_text(lengths).astype(np.int32)
        token, distance, before = cases
        self.seen, self.known, self.cells, self.unseen = {}, {}, {}, []
        for name in SOURCES:
            by = {"token": (token,), "position": (distance,), "both": (token, distance), "previous": (token, before)}
            code = compact(*by[name])
            own = compact(self.text, code)
            seen = _count(code) - _count(own)
            known = np.flatnonzero(seen)  # tokens whose case another text has: there alone is something to count
            self.cells[name] = [compact(each[known]).astype(np.int32) for each in (code, own)]
            self.seen[name], self.known[name] = seen.astype(np.int32), known.astype(np.int32)
            self.unseen.append(float(share(len(seen) - len(known), np.array(len(seen)))))


def _surprise(cases: Cases, choices: np.ndarray, num_choices: int) -> Iterator[np.ndarray]:
    """-log p of every token's choice, [token]: by how often it occurs at all, then by each source.

    Every token is foretold from the counts of the other texts.
    """
    occurs = _count(choices) - _count(cases.text * np.int64(num_choices) + choices)
    usual = (occurs + 1) / (len(choices) - cases.lengths[cases.text] + num_choices)
    yield -np.log(usual)
    by_token = usual
    for name in SOURCES:
        weighed = SMOOTHING * (by_token if name in ("both", "previous") else usual)
        known, (code, own) = cases.known[name], cases.cells[name]
        here = choices[known]
        weighed[known] += _count(code * np.int64(num_choices) + here) - _count(own * np.int64(num_choices) + here)
        weighed /= cases.seen[name] + SMOOTHING
        if name == "token":
            by_token = weighed
        yield -np.log(weighed)


def _shares(cases: Cases, choices: np.ndarray, num_choices: int) -> np.ndarray:
    """Share of the uncertainty that each source removes, [source]; NaN where there is none to remove."""
    base, *by = (each.sum() for each in _surprise(cases, choices, num_choices))
    return 1 - share(np.array(by), np.full(len(by), base))


def _cases(tokens: TokenColumns) -> tuple[np.ndarray, ...]:
    """Type, distance bin and type before of every token, each int [token]; distances leave out added tokens."""
    return tokens.ids, np.frexp(tokens.places)[1], tokens.before


def compact(*codes: np.ndarray) -> np.ndarray:
    """One code from 0 for every combination of codes that occurs."""
    joint, size = np.zeros(len(codes[0]), np.int64), 1
    for code in codes if len(joint) else ():
        least, room = int(code.min()), int(code.max()) - int(code.min()) + 1
        if size * room > 2**62:
            joint, size = _numbered(joint, size)
        joint *= room
        joint += code
        joint -= least
        size *= room
    return _numbered(joint, size)[0]


def _numbered(codes: np.ndarray, size: int) -> tuple[np.ndarray, int]:
    """Codes from 0 to size - 1 -> numbers of those that occur, in their order, and how many do."""
    if size <= 2 * len(codes):  # a table is quicker than to sort
        number = np.cumsum(np.bincount(codes, minlength=size) > 0)
        return number[codes] - 1, int(number[-1])
    found, number = np.unique(codes, return_inverse=True)
    return number, len(found)


def _count(codes: np.ndarray) -> np.ndarray:
    """How often each token's code occurs."""
    return np.bincount(codes)[codes] if len(codes) else np.zeros(0, int)


__all__ = ["SOURCES", "TARGETS", "compact", "explained", "routing_sources"]
