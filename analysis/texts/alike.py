"""Near-duplicates in a list of texts: copies with small changes, and rows that a template made.

Statistics over texts take every text for a new one. Texts that repeat each other make them too sure.
"""

import numpy as np
import pandas as pd
from scipy.sparse import csc_array, csr_array

from analysis.texts.orders import lengths_to_text, places
from analysis.texts.sources import compact
from analysis.texts.tokens import Studied, texts_of

RUN = 4
"""Tokens of a run. Texts that have nothing to do with each other share few runs so long."""
ALIKE = 0.4
"""Share of its runs that a near-duplicate has in common. Of the sample texts, no two share more than 0.18."""
MOST_HOLD = 256
"""A run that more texts hold does not tell which of them are alike: see `near_duplicates`."""
FIRST_HOLD = 32
AT_ONCE = 256


def near_duplicates(studied: Studied) -> pd.DataFrame:
    """One row per text that nearly repeats an earlier one: text, like (their numbers, from 0) and shared, 0..1.

    `shared` is exact: of the different runs of RUN tokens in the shorter text, the share that the other one has too;
    two texts are alike from ALIKE on. `like` is the earlier text with which it shares most. Texts of fewer than RUN
    tokens have no run and are like none.

    A text is compared with every earlier one that shares a run with it. Only where more than MOST_HOLD texts hold a
    run, as in a template, is it compared for the sake of this run with the first FIRST_HOLD of them alone. So in long
    lists a later row of the template may be still more alike than the one that is told.
    """
    tokens = texts_of(studied).tokens
    holds = _runs_held(tokens.ids, tokens.lengths)
    runs, columns = np.diff(holds.indptr), csc_array(holds)
    holders = np.diff(columns.indptr)
    often = holders > MOST_HOLD
    place = np.arange(columns.nnz) - np.repeat(columns.indptr[:-1], holders)  # of a text among the holders of its run
    looked_up = columns.copy()
    looked_up.data = (~np.repeat(often, holders) | (place < FIRST_HOLD)).astype(np.int32)
    looked_up.eliminate_zeros()
    frequent, earlier = csr_array(columns[:, np.flatnonzero(often)]), csr_array(looked_up.T)
    seldom = csr_array(holds @ _diagonal(~often))
    rows = []
    for first in range(0, len(runs), AT_ONCE):
        block = np.arange(first, min(first + AT_ONCE, len(runs)))
        pairs = (holds[block] @ earlier).tocoo()
        text, like = block[pairs.row], pairs.col
        before = like < text
        text, like, shared = text[before], like[before], pairs.data[before]
        if frequent.shape[1]:
            shared = _together(seldom, text, like) + _together(frequent, text, like)
        found = pd.DataFrame({"text": text, "like": like, "shared": shared / np.minimum(runs[text], runs[like])})
        found = found[found["shared"] >= ALIKE].sort_values(["text", "shared", "like"], ascending=[True, False, True])
        rows.append(found.drop_duplicates("text"))
    return pd.concat(rows, ignore_index=True)


def _runs_held(ids: np.ndarray, lengths: np.ndarray) -> csr_array:
    """[text, run]: 1 where a text holds a run of RUN tokens."""
    starts = np.flatnonzero(places(lengths) + RUN <= np.repeat(lengths, lengths))
    run = compact(*(ids[starts + n] for n in range(RUN)))
    shape = (len(lengths), int(run.max(initial=-1)) + 1)
    text = lengths_to_text(lengths)[starts]
    pairs = np.unique(text * np.int64(max(shape[1], 1)) + run)
    text, run = np.divmod(pairs, max(shape[1], 1))
    return csr_array((np.ones(len(pairs), np.int32), (text, run)), shape=shape)


def _together(holds: csr_array, text: np.ndarray, like: np.ndarray) -> np.ndarray:
    """How many runs two texts hold both, for every pair."""
    return np.asarray(holds[text].multiply(holds[like]).sum(axis=1)).ravel()


def _diagonal(kept: np.ndarray) -> csr_array:
    at = np.flatnonzero(kept)
    return csr_array((np.ones(len(at), np.int32), (at, at)), shape=(len(kept), len(kept)))


__all__ = ["ALIKE", "RUN", "near_duplicates"]
