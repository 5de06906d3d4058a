"""Is difficulty difficulty? What else about a token rises and falls with the loops that the model gives it.

Within each text, Spearman's rho of difficulty and another measure; over texts, its mean weighted by their tokens.
Comparing within texts keeps apart what a text as a whole does (verse is not arithmetic) and what its tokens do.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from analysis.aggregate import ordinary
from analysis.difficulty import Kind, difficulty, surprisal
from analysis.texts.chance import (
    DRAWS,
    FEWEST_TEXTS,
    alone,
    corrected,
    exchanges,
    least_p,
    lengths_to_text,
    levels,
    p_value,
    reversals,
    text_interval,
)
from analysis.texts.sources import same_model
from hooks.trace import RoutingTrace

MEASURES = {
    "surprisal_read": "surprisal of the token read",
    "surprisal_read_given_frequency": "token read, given frequency",
    "surprisal_next": "surprisal of the next token",
    "surprisal_next_given_frequency": "next token, given frequency",
    "entropy": "entropy of the prediction",
    "frequency": "frequency in these texts",
    "position": "position in the text",
}
"""Name of a measure -> what it is, in words."""
GIVEN_FREQUENCY = {f"{name}_given_frequency": name for name in ("surprisal_read", "surprisal_next")}
"""Name of a partial correlation -> its measure. Rare tokens surprise: this is what is left among equally rare ones."""
CLASSES = ("word", "inside a word", "digits", "punctuation", "white space", "other")
FEWEST_TOKENS = 4


def measures(traces: Sequence[RoutingTrace]) -> list[dict[str, np.ndarray]]:
    """The measures of every text, each [token], NaN where undefined and for tokens that the tokenizer added.

    `frequency` counts how often a token occurs in all of these texts, `position` from the start of the text.
    """
    counted = np.concatenate([trace.token_ids[ordinary(trace)] for trace in traces])
    kinds, times = np.unique(counted, return_counts=True)
    found = []
    for trace in traces:
        place = np.minimum(np.searchsorted(kinds, trace.token_ids), max(len(kinds) - 1, 0))
        values = {
            "surprisal_read": surprisal(trace),
            "surprisal_next": surprisal(trace, "next"),
            "entropy": trace.next_entropy,
            "frequency": times[place] if len(kinds) else np.zeros(trace.num_tokens),
            "position": np.arange(trace.num_tokens),
        }
        found.append({name: np.where(ordinary(trace), each, np.nan) for name, each in values.items()})
    return found


def difficulty_validity(
    traces: Sequence[RoutingTrace], kind: Kind = "soft", *, draws: int = DRAWS, seed: int = 0
) -> pd.DataFrame:
    """One row per measure x layer, and one per measure for the mean over layers (layer missing): rho with difficulty.

    Those given frequency are partial: the ranks of `frequency` within the text are taken off both sides.

    Columns: texts and tokens that enter, alone (tokens at a position where no other text has one: in an exchange they
    keep their measure), rho, low and high (95%, over texts), p (two-sided, the larger of two: texts read backwards,
    and the measure exchanged between texts at equal positions), p_least (the smallest p that can come out of so many
    texts) and p_corrected (Benjamini-Hochberg: over layers, per measure; the means over layers, over measures). So p
    asks what there is beyond a trend that all texts share; of position itself, it comes from reading texts backwards
    alone. Interval and p are NaN with fewer than FEWEST_TEXTS texts. ValueError for no traces, or traces of different
    models.
    """
    return validity_by_kind(traces, (kind,), draws=draws, seed=seed)[kind]


def validity_by_kind(
    traces: Sequence[RoutingTrace], kinds: Sequence[Kind] = ("soft", "hard"), *, draws: int = DRAWS, seed: int = 0
) -> dict[Kind, pd.DataFrame]:
    """`difficulty_validity` of several kinds at once, which takes hardly longer than one."""
    same_model(traces)
    by_layer = [[difficulty(trace, kind) for kind in kinds] for trace in traces]
    rows_of = [np.vstack([row for each in of for row in (each, each.mean(axis=0))]) for of in by_layer]
    of_texts, layers = measures(traces), traces[0].num_layers
    tables = []
    for name in MEASURES:
        found = within_texts(
            rows_of,
            [each[GIVEN_FREQUENCY.get(name, name)] for each in of_texts],
            given=[each["frequency"] for each in of_texts] if name in GIVEN_FREQUENCY else None,
            keep_position=name != "position",
            draws=draws,
            seed=seed,
        )
        found.insert(0, "layer", pd.array([*range(layers), None] * len(kinds), dtype="Int64"))
        found.insert(0, "measure", name)
        tables.append([found.iloc[first : first + layers + 1] for first in range(0, len(found), layers + 1)])
    together = (pd.concat(of_kind, ignore_index=True) for of_kind in zip(*tables, strict=True))
    return {kind: _corrected_validity(table) for kind, table in zip(kinds, together, strict=True)}


def _corrected_validity(table: pd.DataFrame) -> pd.DataFrame:
    """With p_corrected: the layers of a measure are one family of tests, the means over layers of all measures one."""
    families = table["measure"].where(table["layer"].notna(), "mean over layers")
    return table.assign(p_corrected=table.groupby(families)["p"].transform(lambda p: corrected(p.to_numpy())))


def within_texts(
    rows: Sequence[np.ndarray],
    measure: Sequence[np.ndarray],
    *,
    given: Sequence[np.ndarray] | None = None,
    keep_position: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per row of `rows` (of each text, [row, token]): mean rank correlation with `measure` (of each, [token]).

    With `given` (of each, [token], known where the measure is) the correlation is partial: what follows its ranks is
    taken off the ranks of both, and what is left of the measure is what texts exchange.

    Tokens whose measure is NaN stay out; so do texts with fewer than FEWEST_TOKENS of them, or without any spread.
    p: the larger of two, by reading texts backwards and by exchanging the measure between texts at equal positions;
    without `keep_position` (for position itself, or what runs along the text as it does) by reading backwards alone.
    """
    ranks, others, positions = [], [], []
    for i, (values, other) in enumerate(zip(rows, measure, strict=True)):
        kept = np.isfinite(other)
        if kept.sum() >= FEWEST_TOKENS:
            own, other = _standard_ranks(values[:, kept]), other[kept]
            if given is not None:
                own, other = (_without(each, given[i][kept]) for each in (own, _standard_ranks(other[None])))
                other = np.nan_to_num(other[0]) * np.sqrt(kept.sum())  # of equal spread in all texts
            ranks.append(own)
            others.append(other)
            positions.append(np.flatnonzero(kept))
    if not ranks:
        empty = np.full(len(rows[0]), np.nan)
        nothing = {"texts": 0, "tokens": 0, "alone": 0}
        return pd.DataFrame(nothing | dict.fromkeys(("rho", "low", "high", "p", "p_least"), empty))
    lengths = np.array([len(each) for each in others])
    other, place = np.concatenate(others), np.concatenate(positions)
    orders = [reversals(lengths, seed=seed)]
    if keep_position:
        orders.append(exchanges(lengths, place, draws, seed=seed))
    other = other - levels(other, lengths, place)[lengths_to_text(lengths)]
    drawn = other[np.vstack(orders)]
    standard = _standard_ranks if given is None else _standard
    ends = np.cumsum(lengths)
    found = np.array(
        [each @ standard(drawn[:, end - n : end]).T for each, end, n in zip(ranks, ends, lengths, strict=True)]
    )  # [text, row, draw]
    weights = np.where(np.isfinite(found[..., 0]), lengths[:, None], 0.0)
    found = np.where(np.isfinite(found), found, 0) * weights[..., None]  # what came without spread tells nothing
    total = weights.sum(axis=0)
    mean = np.where(total > 0, found.sum(axis=0).T / np.maximum(total, 1), np.nan)  # [order, row]
    texts = (weights > 0).sum(axis=0)
    low, high = text_interval(found[..., 0], weights, least=-1, most=1)
    p = np.max([p_value(each) for each in np.split(np.abs(mean), [len(orders[0])][: len(orders) - 1])], axis=0)
    least = least_p(texts, keep_position=keep_position, mirrored=not keep_position, draws=draws)
    p, least = (np.where(texts >= FEWEST_TEXTS, each, np.nan) for each in (p, least))
    counts = {"texts": texts, "tokens": total.astype(int), "alone": int(alone(lengths, place).sum())}
    return pd.DataFrame(counts | {"rho": mean[0], "low": low, "high": high, "p": p, "p_least": least})


def _standard_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of each row, centred and of length 1; NaN for a row without spread."""
    return _standard(rankdata(values, axis=1))


def _standard(values: np.ndarray) -> np.ndarray:
    """Each row, centred and of length 1; NaN for a row without spread."""
    values = values - values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.where(length > 1e-9, values / np.where(length > 1e-9, length, 1), np.nan)


def _without(ranks: np.ndarray, given: np.ndarray) -> np.ndarray:
    """What is left of standard ranks [row, token] beside those of `given` [token], of length 1; NaN for nothing."""
    along = np.nan_to_num(_standard_ranks(given[None])[0])
    return _standard(ranks - np.outer(ranks @ along, along))


# Classes of tokens ----------------------------------------------------------------------------------------------------


def token_classes(tokens: Sequence[str]) -> list[str]:
    """The class of every token, by its display string: one of CLASSES.

    `inside a word`: letters that continue letters of the token before. `other`: lone bytes.
    """
    found, letter_before = [], False
    for token in tokens:
        core = token.strip("␣↵⇥")
        if not core:
            kind = "white space"
        elif "⟨" in core:
            kind = "other"
        elif any(char.isalpha() for char in core):
            kind = "inside a word" if letter_before and token[0].isalpha() else "word"
        else:
            kind = "digits" if any(char.isdigit() for char in core) else "punctuation"
        found.append(kind)
        letter_before = kind in ("word", "inside a word") and token[-1].isalpha()
    return found


def difficulty_by_class(traces: Sequence[RoutingTrace], kind: Kind = "soft") -> pd.DataFrame:
    """One row per class of token that occurs: mean difficulty over its ordinary tokens and all layers.

    Columns: class, texts, tokens, difficulty, low and high (95%, over texts; NaN below FEWEST_TEXTS texts that
    hold the class). ValueError for no traces, or traces of different models.
    """
    same_model(traces)
    sums, counts = np.zeros((2, len(traces), len(CLASSES)))
    for i, trace in enumerate(traces):
        code = np.array([CLASSES.index(each) for each in token_classes(trace.tokens)])[ordinary(trace)]
        mean = difficulty(trace, kind).mean(axis=0)[ordinary(trace)]
        sums[i] = np.bincount(code, weights=mean, minlength=len(CLASSES))
        counts[i] = np.bincount(code, minlength=len(CLASSES))
    low, high = text_interval(sums, counts, least=0, most=1)
    total = counts.sum(axis=0)
    table = pd.DataFrame(
        {
            "class": CLASSES,
            "texts": (counts > 0).sum(axis=0),
            "tokens": total.astype(int),
            "difficulty": sums.sum(axis=0) / np.maximum(total, 1),
            "low": low,
            "high": high,
        }
    )
    return table[table["tokens"] > 0].reset_index(drop=True)


__all__ = [
    "CLASSES", "GIVEN_FREQUENCY", "MEASURES", "difficulty_by_class", "difficulty_validity", "measures",
    "token_classes", "validity_by_kind", "within_texts",
]  # fmt: skip
