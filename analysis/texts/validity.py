"""Is difficulty difficulty? What else about a token rises and falls with the loops that the model gives it.

Within each text, Spearman's rho of difficulty and another measure; over texts, its mean weighted by their tokens.
Comparing within texts keeps apart what a text as a whole does (verse is not arithmetic) and what its tokens do.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.difficulty import Kind
from analysis.texts.chance import corrected, text_interval
from analysis.texts.orders import DRAWS, lengths_to_text
from analysis.texts.ranks import Measure, rank_correlations
from analysis.texts.tokens import CLASSES, Studied, Texts, texts_of

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
NUMBERS_AT_ONCE = 2**23
"""Difficulties that are held at once, unless those of one layer are more."""


def measures(studied: Studied) -> dict[str, np.ndarray]:
    """The measures of the ordinary tokens of all texts, one behind the other, each [token]; NaN where undefined.

    `frequency` counts how often a token occurs in all of these texts, `position` from the start of the text.
    """
    tokens = texts_of(studied).tokens
    _, kinds, times = np.unique(tokens.ids, return_inverse=True, return_counts=True)
    return {
        "surprisal_read": tokens.surprisal_read,
        "surprisal_next": tokens.surprisal_next,
        "entropy": np.full(len(kinds), np.nan, np.float32) if tokens.entropy is None else tokens.entropy,
        "frequency": times[kinds].astype(float),
        "position": tokens.positions.astype(float),
    }


def difficulty_validity(studied: Studied, kind: Kind = "soft", *, draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """One row per measure x layer, and one per measure for the mean over layers (layer missing): rho with difficulty.

    Those given frequency are partial: the ranks of `frequency` within the text are taken off both sides.

    Columns: texts and tokens that enter, alone (tokens at a position where no other text has one: in an exchange they
    keep their measure), rho, low and high (95%, over texts), p (two-sided, the larger of two: texts read backwards,
    and the measure exchanged between texts at equal positions), p_least (the smallest p that can come out of so many
    texts) and p_corrected (Benjamini-Hochberg: over layers, per measure; the means over layers, over measures). So p
    asks what there is beyond a trend that all texts share; of position itself, it comes from reading texts backwards
    alone. Interval and p are NaN with fewer than FEWEST_TEXTS texts. ValueError for no text, or traces of different
    models.
    """
    return validity_by_kind(studied, (kind,), draws=draws, seed=seed)[kind]


def validity_by_kind(
    studied: Studied, kinds: Sequence[Kind] = ("soft", "hard"), *, draws: int = DRAWS, seed: int = 0
) -> dict[Kind, pd.DataFrame]:
    """`difficulty_validity` of several kinds at once, which takes hardly longer than one."""
    texts = texts_of(studied)
    tokens, of_texts, layers = texts.tokens, measures(texts), texts.num_layers
    asked = {
        name: Measure(
            of_texts[GIVEN_FREQUENCY.get(name, name)],
            tokens.lengths,
            tokens.positions,
            given=of_texts["frequency"] if name in GIVEN_FREQUENCY else None,
            keep_position=name != "position",
        )
        for name in MEASURES
    }
    rows = [(kind, layer) for kind in kinds for layer in (*range(layers), None)]
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in MEASURES}
    at_once = max(NUMBERS_AT_ONCE // max(len(tokens.ids), 1), 1)
    for some in (rows[first : first + at_once] for first in range(0, len(rows), at_once)):
        values = np.stack([_difficulty(texts, kind, layer) for kind, layer in some])
        for name, measure in asked.items():
            table = rank_correlations(values, measure, draws=draws, seed=seed)
            table.insert(0, "layer", pd.array([layer for _, layer in some], dtype="Int64"))
            table.insert(0, "measure", name)
            found[name].append(table.assign(kind=[kind for kind, _ in some]))
    table = pd.concat([each for of_measure in found.values() for each in of_measure], ignore_index=True)
    by_kind = {kind: table[table["kind"] == kind].drop(columns="kind").reset_index(drop=True) for kind in kinds}
    return {kind: _corrected_validity(each) for kind, each in by_kind.items()}


def _difficulty(texts: Texts, kind: Kind, layer: int | None) -> np.ndarray:
    """Difficulty in a layer, or its mean over layers, [token]."""
    return texts.mean_difficulty(kind) if layer is None else texts.difficulty(layer, kind)


def _corrected_validity(table: pd.DataFrame) -> pd.DataFrame:
    """With p_corrected: the layers of a measure are one family of tests, the means over layers of all measures one."""
    families = table["measure"].where(table["layer"].notna(), "mean over layers")
    return table.assign(p_corrected=table.groupby(families)["p"].transform(lambda p: corrected(p.to_numpy())))


# Classes of tokens ----------------------------------------------------------------------------------------------------


def difficulty_by_class(studied: Studied, kind: Kind = "soft") -> pd.DataFrame:
    """One row per class of token that occurs: mean difficulty over its ordinary tokens and all layers.

    Columns: class, texts, tokens, difficulty, low and high (95%, over texts; NaN below FEWEST_TEXTS texts that
    hold the class). ValueError for no text, or traces of different models.
    """
    texts = texts_of(studied)
    tokens, shape = texts.tokens, (len(texts.tokens.lengths), len(CLASSES))
    cell = lengths_to_text(tokens.lengths) * len(CLASSES) + tokens.classes
    counts = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    sums = np.bincount(cell, weights=texts.mean_difficulty(kind), minlength=counts.size).reshape(shape)
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
    "GIVEN_FREQUENCY", "MEASURES", "difficulty_by_class", "difficulty_validity", "measures", "validity_by_kind",
]  # fmt: skip
