"""What the routing of one trace does to the loss and the predictions of the other."""

import numpy as np
import pandas as pd

from analysis.aggregate import ordinary
from hooks.trace import RoutingTrace
from hooks.transplant_trace import TRANSPLANTED, TransplantTrace

OWN = "own"
TAKEN = {"everything": "loops, λ and experts", "loops": "loops and λ", "experts": "experts"}
"""Entry of TRANSPLANTED -> its words."""


def transplant_table(found: TransplantTrace) -> pd.DataFrame:
    """Two times four rows: the text of A and of B with its own routing, and with what it takes of the other one.

    Columns: trace (A or B), routing (own, or what is taken), loss (nats per token, over `tokens` ordinary tokens that
    have a log p), change (of the loss against own), other_predictions (tokens after which another next token is the
    likeliest), of (how many tokens that is out of).
    """
    rows = []
    for name, own, changed in (("A", found.a, found.into_a), ("B", found.b, found.into_b)):
        for taken, trace in zip([OWN, *TRANSPLANTED], [own, *changed], strict=True):
            loss, tokens = _loss(trace)
            counted = ordinary(own)
            rows.append(
                {
                    "trace": name,
                    "routing": taken,
                    "loss": loss,
                    "change": loss - _loss(own)[0],
                    "tokens": tokens,
                    "other_predictions": int((own.next_ids[:, 0] != trace.next_ids[:, 0])[counted].sum()),
                    "of": int(counted.sum()),
                }
            )
    return pd.DataFrame(rows)


def transplant_tokens(found: TransplantTrace) -> pd.DataFrame:
    """One row per trace x what it takes x token: log p and likeliest next token, own and with the other's routing."""
    parts = []
    for name, own, changed in (("A", found.a, found.into_a), ("B", found.b, found.into_b)):
        for taken, trace in zip(TRANSPLANTED, changed, strict=True):
            parts.append(
                pd.DataFrame(
                    {
                        "trace": name,
                        "taken": TAKEN[taken],
                        "token": np.arange(own.num_tokens),
                        "word": own.tokens,
                        "logprob_own": own.logprob,
                        "logprob_with": trace.logprob,
                        "next_own": [words[0] for words in own.next_tokens],
                        "next_with": [words[0] for words in trace.next_tokens],
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def _loss(trace: RoutingTrace) -> tuple[float, int]:
    """Mean surprisal over ordinary tokens that have one, nats, and their number; NaN and 0 without any."""
    read = trace.surprisal[ordinary(trace)]
    read = read[np.isfinite(read)]
    return (float(read.mean(dtype=float)), len(read)) if read.size else (float("nan"), 0)


__all__ = ["OWN", "TAKEN", "transplant_table", "transplant_tokens"]
