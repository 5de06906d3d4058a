"""Difficulty: the loops that a token took (hard) or was expected to take (soft), both scaled to 0..1.

hard = (loops - 1) / (max_loops - 1), soft = (E[L] - 1) / (max_loops - 1) with E[L] of paper Eq. 12.
"""

from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import spearmanr

from analysis.aggregate import ordinary
from hooks.trace import RoutingTrace

Kind = Literal["soft", "hard"]
Surprise = Literal["read", "next"]
MAX_SURPRISAL = 7
"""End of surprisal scales, nats. Larger values have the last colour of a colour scale; an axis becomes longer."""


def difficulty(trace: RoutingTrace, kind: Kind = "soft") -> Float[np.ndarray, "layer token"]:
    """Difficulty of every token in every layer, 0..1."""
    return {"soft": trace.difficulty_soft, "hard": trace.difficulty_hard}[kind]


def token_difficulty(trace: RoutingTrace, kind: Kind = "soft") -> Float[np.ndarray, " token"]:
    """Difficulty of every token: mean over layers, 0..1."""
    return difficulty(trace, kind).mean(axis=0)


def hardest_token(trace: RoutingTrace) -> int:
    """The ordinary token with the largest soft difficulty, the first of several; 0 if there is no ordinary token."""
    return int(np.where(ordinary(trace), token_difficulty(trace), -1).argmax())


def surprisal(trace: RoutingTrace, of: Surprise = "read") -> Float[np.ndarray, " token"]:
    """Surprisal in nats, of the token read at a position or of the next one; NaN where there is none.

    Tokens that the tokenizer added are not part of the text: their surprisal is NaN too, here and as the next token.
    """
    added = {"read": trace.special, "next": np.append(trace.special[1:], False)}[of]
    return np.where(added, np.nan, {"read": trace.surprisal, "next": trace.next_surprisal}[of])


def difficulty_table(trace: RoutingTrace) -> pd.DataFrame:
    """One row per layer x token with both difficulties."""
    return trace.to_frame()[["layer", "token", "text", "special", "difficulty_soft", "difficulty_hard"]]


def difficulty_surprisal(trace: RoutingTrace) -> pd.DataFrame:
    """One row per ordinary token: both difficulties (mean over layers) and both surprisals (nats)."""
    table = pd.DataFrame(
        {
            "token": np.arange(trace.num_tokens),
            "text": trace.tokens,
            "difficulty_soft": token_difficulty(trace),
            "difficulty_hard": token_difficulty(trace, "hard"),
            "surprisal_read": surprisal(trace),
            "surprisal_next": surprisal(trace, "next"),
        }
    )
    return table[ordinary(trace)].reset_index(drop=True)


def rank_correlation(trace: RoutingTrace, of: Surprise = "read") -> tuple[float, int]:
    """Spearman's rho of soft token difficulty and surprisal, and the number of tokens.

    NaN for fewer than three tokens or if one of the two is constant. Without a confidence interval: the tokens of one
    text depend on each other, so the usual interval would be too narrow.
    """
    first, second = token_difficulty(trace), surprisal(trace, of)
    known = ordinary(trace) & np.isfinite(second)
    count = int(known.sum())
    if count < 3 or np.ptp(first[known]) == 0 or np.ptp(second[known]) == 0:
        return float("nan"), count
    return float(spearmanr(first[known], second[known]).statistic), count


def difficulty_extremes(trace: RoutingTrace, count: int = 4) -> pd.DataFrame:
    """The `count` tokens of highest and of lowest soft difficulty, highest first, none of them twice.

    Columns: token (index), text, difficulty (soft, mean over layers), surprisal (of the token read, nats).
    """
    table = difficulty_surprisal(trace)
    table = table.sort_values(["difficulty_soft", "token"], ascending=[False, True], kind="stable")
    hardest = table.head(count)
    easiest = table.iloc[len(hardest) :].tail(count)
    extremes = pd.concat([hardest, easiest])[["token", "text", "difficulty_soft", "surprisal_read"]]
    extremes.columns = ["token", "text", "difficulty", "surprisal"]
    return extremes.reset_index(drop=True)


def difficulty_by_loops(trace: RoutingTrace) -> pd.DataFrame:
    """One row per layer x ordinary token: the loops that ran and the soft difficulty."""
    table = trace.to_frame()
    return table.loc[~table["special"], ["layer", "token", "text", "loops", "difficulty_soft"]].reset_index(drop=True)


__all__ = [
    "MAX_SURPRISAL", "difficulty", "difficulty_by_loops", "difficulty_extremes", "difficulty_surprisal",
    "difficulty_table", "hardest_token", "rank_correlation", "surprisal", "token_difficulty",
]  # fmt: skip
