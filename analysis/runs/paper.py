"""What the paper's Fig. 4, Fig. 5 and Table 2 need from a run (arXiv 2512.14531), each as a table of one question.

All count the tokens that a `TokenFilter` leaves. A cell is a token in a layer.

    paper_loops     mean loops of every layer, with an interval over prompts (Fig. 4)
    paper_words     which words have which λ (Fig. 5, a word cloud for each of two values of λ)
    paper_left_out  what the clouds leave out
    paper_cost      the formula Base x mean loops + (MoE - Base) x routed share, with both counted in the run (Table 2)
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import t as student

from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.schema import Sizes, expert_at
from analysis.texts.chance import FEWEST_TEXTS
from hooks.token_text import WHITE
from sample_models.lambda_gate import width_share

if TYPE_CHECKING:
    from analysis.runs.run import Run

PAPER_LEVELS = (0.25, 0.75)
"""λ of the paper's two clouds."""
PAPER_RATIOS = {"dense": 1.0, "MoE": 1.24, "2-loop": 1.97, "4-loop": 3.95, "6-loop": 5.92, "VersatileFFN": 3.26}
"""FFN FLOPs of the paper's 354M models over those of its dense one: Table 2."""
BASELINE_LOOPS = (2, 4, 6)
"""Loops of the paper's designs that loop every token as often."""
MOST_WORDS = 500
"""Words of every λ that are kept, the most frequent ones."""


def paper_loops(run: "Run", chosen: TokenFilter = ALL_TOKENS) -> pd.DataFrame:
    """One row per layer: tokens, prompts, mean loops over tokens, and the 95% interval of that mean over prompts.

    The interval is the jackknife's: whole prompts are left out, one at a time (`analysis.texts.chance.text_interval`).
    `low` and `high` are NaN for fewer than FEWEST_TEXTS prompts, all numbers NaN where no token counts.
    """
    where, values = chosen.where(run.sizes)
    layers = range(run.sizes.num_layers)
    sums = ", ".join(f"sum(loops[{layer + 1}])::DOUBLE AS s{layer}" for layer in layers)
    totals = ", ".join(f"sum(s{layer}) AS t{layer}" for layer in layers)
    # The mean without a prompt, minus the mean, squared, and summed over prompts.
    spread = ", ".join(
        f"any_value(t{layer}) / any_value(of) AS m{layer}, "
        f"sum(((t{layer} - s{layer}) / nullif(of - n, 0) - t{layer} / of) ** 2) AS v{layer}"
        for layer in layers
    )
    found = run.ask(
        f"WITH each AS (SELECT prompt, count(*)::DOUBLE AS n, {sums} FROM tokens WHERE {where} GROUP BY prompt), "
        "every AS (SELECT sum(n) AS of, count(*) AS prompts, sum(n ** 2) AS n2, sum(n ** 4) AS n4, "
        f"{totals} FROM each) "
        f"SELECT any_value(of) AS tokens, any_value(prompts) AS prompts, any_value(n2) AS n2, any_value(n4) AS n4, "
        f"{spread} FROM each, every",
        values,
    ).iloc[0]
    tokens, prompts = (0 if pd.isna(found[name]) else int(found[name]) for name in ("tokens", "prompts"))
    mean = found[[f"m{layer}" for layer in layers]].to_numpy(float)
    reach = np.full(len(mean), np.nan)
    if prompts >= FEWEST_TEXTS:
        variance = found[[f"v{layer}" for layer in layers]].to_numpy(float) * (prompts - 1) / prompts
        reach = student.ppf(0.975, max(found["n2"] ** 2 / found["n4"] - 1, 1)) * np.sqrt(variance)
    return pd.DataFrame(
        {
            "layer": list(layers),
            "tokens": tokens,
            "prompts": prompts,
            "mean_loops": mean,
            "low": np.maximum(mean - reach, 1.0),
            "high": np.minimum(mean + reach, run.sizes.max_loops),
        }
    )


def levels_of(sizes: Sizes) -> list[float]:
    """The values that λ can have, smallest first."""
    return sorted(width_share(loops, sizes.max_loops) for loops in range(1, sizes.max_loops + 1))


def cloud_levels(sizes: Sizes) -> list[float]:
    """The values of λ nearest to those of the paper's clouds, without 0."""
    had = [level for level in levels_of(sizes) if level > 0]
    return sorted({min(had, key=lambda level: abs(level - wanted)) for wanted in PAPER_LEVELS}) if had else []


def paper_words(run: "Run", chosen: TokenFilter = ALL_TOKENS) -> pd.DataFrame:
    """One row per λ x word: in how many cells the word has this λ (`count`), most frequent first, MOST_WORDS of each.

    `of_word` are all cells of the word, `of_level` all cells with this λ, and `cells` all that count; `lift` =
    (count / of_level) / (of_word / cells), 1 where the word is as frequent at this λ as anywhere. Tokens that differ
    only in the space before them are one word. `blank` words are white space or single bytes. No rows without a gate.
    """
    columns = ["gate", "word", "blank", "count", "of_word", "of_level", "cells", "lift"]
    if "gate" not in run.sizes.parts:
        return pd.DataFrame({name: [] for name in columns})
    where, values = chosen.where(run.sizes)
    layers = range(run.sizes.num_layers) if chosen.layer is None else [chosen.layer]
    levels = levels_of(run.sizes)
    counted = ", ".join(
        f"sum({' + '.join(f'(abs(gate[{layer + 1}] - {level}) < 1e-4)::INT' for layer in layers)}) AS c{place}"
        for place, level in enumerate(levels)
    )
    rows = " UNION ALL ".join(
        f"(SELECT {level} AS gate, word, blank, c{place} AS count, of_word, "
        f"(SELECT sum(c{place}) FROM words) AS of_level FROM words WHERE c{place} > 0 "
        f"ORDER BY count DESC, word LIMIT {MOST_WORDS})"
        for place, level in enumerate(levels)
    )
    found = run.ask(
        f"WITH words AS (SELECT {_word()} AS word, any_value({_blank()}) AS blank, {counted}, "
        f"count(*) * {len(layers)} AS of_word FROM tokens WHERE {where} GROUP BY word) "
        f"SELECT *, (SELECT sum(of_word) FROM words) AS cells FROM ({rows}) ORDER BY gate, count DESC, word",
        values,
    )
    for name in ("count", "of_word", "of_level", "cells"):
        found[name] = found[name].astype(int)
    return found.assign(lift=found["count"] / found["of_level"] / (found["of_word"] / found["cells"]))[columns]


def paper_left_out(run: "Run", chosen: TokenFilter = ALL_TOKENS) -> pd.DataFrame:
    """One row: tokens under the filter that the tokenizer added (`special`), and `blank` ones (white space or single
    bytes): the clouds leave out both. `tokens` are all that count."""
    if chosen.special:
        where, values = chosen.where(run.sizes)
        special = "0"
    else:
        where, values = replace(chosen, special=True).where(run.sizes)
        special = "count(*) FILTER (special)"
    ordinary = "true" if chosen.special else "NOT special"
    return run.ask(
        f"SELECT {special} AS special, count(*) FILTER ({ordinary} AND {_blank()}) AS blank, "
        f"count(*) FILTER ({ordinary}) AS tokens FROM tokens WHERE {where}",
        values,
    )


def paper_cost(run: "Run", chosen: TokenFilter = ALL_TOKENS) -> pd.DataFrame:
    """One row per design: `passes`, its cost in dense FFN passes per token and layer, by the paper's formula.

    passes = mean_loops + (MoE - Base) x routed_share, with MoE - Base = k / N, since Base is 1. For VersatileFFN
    `mean_loops` and `routed_share` are `counted` in the run (λ > 0, so the width path ran); those of the other designs
    are their definitions. `flops_per_token` = passes x 6 d f x layers that count, NaN if the run does not name the
    sizes. `paper`: the ratio in the paper's Table 2.
    """
    where, values = chosen.where(run.sizes)
    sizes = run.sizes
    layers = range(sizes.num_layers) if chosen.layer is None else [chosen.layer]
    loops = " + ".join(f"loops[{layer + 1}]" for layer in layers)
    routed = " + ".join(f"({expert_at(layer, 0, sizes)} IS NOT NULL)::INT" for layer in layers)
    found = run.ask(
        f"SELECT avg({loops}) / {len(layers)} AS loops, avg({routed}) / {len(layers)} AS routed, count(*) AS tokens "
        f"FROM tokens WHERE {where}",
        values,
    ).iloc[0]
    rows = [("dense", 1.0, 0.0, False), ("MoE", 1.0, 1.0, False)]
    rows += [(f"{count}-loop", float(count), 0.0, False) for count in BASELINE_LOOPS]
    rows.append(("VersatileFFN", float(found["loops"]), float(found["routed"]), True))
    table = pd.DataFrame(rows, columns=["design", "mean_loops", "routed_share", "counted"])
    table["passes"] = table["mean_loops"] + sizes.k / sizes.num_experts * table["routed_share"]
    config = run.meta.get("config") or {}
    dense = 6.0 * config.get("hidden_size", np.nan) * config.get("intermediate_size", np.nan)
    return table.assign(
        flops_per_token=table["passes"] * dense * len(layers),
        paper=table["design"].map(PAPER_RATIOS),
        tokens=int(found["tokens"]),
    )


def _word() -> str:
    """A token's text without the space before it, in SQL."""
    return f"CASE WHEN trim(text, '{WHITE}') <> '' AND starts_with(text, '␣') THEN substr(text, 2) ELSE text END"


def _blank() -> str:
    """Whether a token is white space or single bytes, in SQL."""
    return f"(trim(text, '{WHITE}') = '' OR regexp_full_match(text, '␣?(⟨[0-9A-F ]+⟩)+'))"


PAPER_TABLES: dict[str, Callable[["Run", TokenFilter], pd.DataFrame]] = {
    "paper_loops": paper_loops,
    "paper_words": paper_words,
    "paper_left_out": paper_left_out,
    "paper_cost": paper_cost,
}
"""Name -> what asks a run for the table."""

__all__ = [
    "PAPER_LEVELS", "PAPER_RATIOS", "PAPER_TABLES", "cloud_levels", "levels_of", "paper_cost", "paper_left_out",
    "paper_loops", "paper_words",
]  # fmt: skip
