"""One row per text: what a whole prompt looks like beside others."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd

from analysis.aggregate import mean_over_tokens, ordinary
from analysis.difficulty import difficulty, surprisal
from analysis.overview import overview_numbers
from hooks.trace import RoutingTrace


@dataclass(frozen=True)
class PromptSummary:
    """Means over one text. Tokens that the tokenizer added count nowhere."""

    tokens: int
    """Tokens of the text itself."""
    difficulty: float
    """Soft difficulty, mean over all pairs of token and layer, 0..1."""
    gate: float
    """lambda, the width share, mean over all pairs of token and layer, 0..1."""
    did_not_route: float
    """Share of the pairs of token and layer whose width path did not run, 0..1."""
    loss: float
    """Mean surprisal of the tokens read, nats; the first has none. NaN for a text of one token."""


def prompt_summary(trace: RoutingTrace) -> PromptSummary:
    """The summary of one text; NaN where there is nothing to count."""
    numbers = overview_numbers(trace)
    read = surprisal(trace)
    read = read[np.isfinite(read)]
    return PromptSummary(
        tokens=int(ordinary(trace).sum()),
        difficulty=float(mean_over_tokens(trace, difficulty(trace)).mean()),
        gate=numbers.mean_gate,
        did_not_route=numbers.did_not_route,
        loss=float(read.mean()) if len(read) else float("nan"),
    )


def summary_table(rows: Iterable[tuple[str, str, PromptSummary | str | None]]) -> pd.DataFrame:
    """One row per prompt: its name, its numbers, the start of its text, and why it could not be traced.

    `rows` are (name, start of the text, summary). Numbers are missing where the prompt was not traced yet (None) or
    could not be (a sentence).
    """
    names = [field.name for field in fields(PromptSummary)]
    made = [
        {
            "name": name,
            **(asdict(found) if isinstance(found, PromptSummary) else dict.fromkeys(names)),
            "text": start,
            "problem": found if isinstance(found, str) else None,
        }
        for name, start, found in rows
    ]
    table = pd.DataFrame(made, columns=["name", *names, "text", "problem"])
    return table.astype({"tokens": "Int64", **dict.fromkeys(names[1:], float)})


__all__ = ["PromptSummary", "prompt_summary", "summary_table"]
