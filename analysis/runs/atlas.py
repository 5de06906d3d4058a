"""Atlas: what the tokens of a run under a filter say about its model, as tables, each of one question in SQL.

All count the tokens that a `TokenFilter` leaves. Special tokens and experts that did not run count nowhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.aggregate import share
from analysis.models.health import LOAD_BOUNDS, MOST_AT_ONE_LOOP
from analysis.models.health_measures import CHOICES_PER_EXPERT
from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.paper import PAPER_TABLES
from analysis.runs.schema import Sizes
from sample_models.lambda_gate import width_share

if TYPE_CHECKING:
    from analysis.runs.run import Run

DEAD, TOO_MUCH, FINE, TOO_FEW = "dead", "takes too much", "", "too few choices"
"""Verdicts on an expert's load, with the bounds of the health checks."""
NONE, FEW, MANY = "none of these tokens", "few of these tokens", "many of these tokens"
"""What can be said instead under a filter: an expert that serves none of some tokens may serve others."""
BELOW, ABOVE = (DEAD, NONE, FEW), (TOO_MUCH, MANY)
"""What is said of a load below the bounds, and above them."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """A run under a filter, as answers and figures take it. Its tables are asked for when they are needed."""

    name: str
    """Name of the run."""
    meta: dict[str, Any]
    """Model and weights, as in a trace."""
    sizes: Sizes
    chosen: TokenFilter
    table: Callable[[str], pd.DataFrame]
    """Name of a table of `TABLES` -> the table. The app gives them from a cache."""

    @property
    def tokens(self) -> int:
        """How many tokens count."""
        return int(self.table("counts")["tokens"][0])


def atlas_of(run: "Run", chosen: TokenFilter = ALL_TOKENS) -> Atlas:
    """The atlas of a run; each table is asked for once, when it is first needed."""
    known: dict[str, pd.DataFrame] = {}

    def table(name: str) -> pd.DataFrame:
        if name not in known:
            known[name] = TABLES[name](run, chosen)
        return known[name]

    return Atlas(run.name, run.meta, run.sizes, chosen, table)


def counts(run: "Run", chosen: TokenFilter = ALL_TOKENS) -> pd.DataFrame:
    """One row: `tokens` that count and their `prompts`, and `all_tokens` of the texts themselves in the whole run."""
    where, values = chosen.where(run.sizes)
    return run.ask(
        f"SELECT count(*) FILTER ({where}) AS tokens, count(DISTINCT prompt) FILTER ({where}) AS prompts, "
        "count(*) FILTER (NOT special) AS all_tokens FROM tokens",
        [*values, *values],
    )


def run_loops(run: "Run", chosen: TokenFilter = ALL_TOKENS) -> pd.DataFrame:
    """One row per layer x loops, 1..max_loops: its tokens, their share of the layer's, and the layer's mean loops.

    The shares of a layer sum to 1; shares and means are NaN if no token counts.
    """
    found = _by_layer(run, chosen, "loops", run.sizes.num_layers)
    tokens = np.zeros((run.sizes.num_layers, run.sizes.max_loops), int)
    tokens[found["place"], found["value"].astype(int) - 1] = found["tokens"]
    loops = np.arange(1, run.sizes.max_loops + 1)
    return _levels(tokens, "loops", loops, "mean_loops", share((tokens * loops).sum(axis=1), tokens.sum(axis=1)))


def run_gate(run: "Run", chosen: TokenFilter = ALL_TOKENS) -> pd.DataFrame:
    """One row per layer x level of λ, largest first: its tokens, their share of the layer's, and the layer's mean λ.

    Tokens whose λ was edited to lie between the levels have rows whose `gate` is NaN, if there are any. No rows for a
    model without a gate.
    """
    levels = np.array([width_share(loops, run.sizes.max_loops) for loops in range(1, run.sizes.max_loops + 1)])
    found = _by_layer(run, chosen, "gate", run.sizes.num_layers) if "gate" in run.sizes.parts else None
    if found is None:
        return pd.DataFrame({name: [] for name in ("layer", "gate", "tokens", "share", "mean_gate")})
    distance = np.abs(found["value"].to_numpy(float)[:, None] - levels)
    column = np.where(distance.min(axis=1) < 1e-4, distance.argmin(axis=1), len(levels))
    tokens = np.zeros((run.sizes.num_layers, len(levels) + 1), int)
    np.add.at(tokens, (found["place"], column), found["tokens"])
    sums = np.zeros(run.sizes.num_layers)
    np.add.at(sums, found["place"], found["value"] * found["tokens"])
    mean = share(sums, tokens.sum(axis=1))
    if tokens[:, -1].any():
        levels = np.append(levels, np.nan)
    return _levels(tokens[:, : len(levels)], "gate", levels, "mean_gate", mean)


def run_experts(run: "Run", chosen: TokenFilter = ALL_TOKENS) -> pd.DataFrame:
    """One row per layer x expert: its choices that ran, as first and as a later one, and its load.

    `share` is of the layer's choices that ran and sums to 1, NaN where there are none; `routed_tokens` and `tokens` are
    the layer's. `verdict` is one of `BELOW` or `ABOVE` outside the bounds of the health check "experts share the load",
    in words of the whole run or of a filter's tokens, and "too few choices" where the layer has fewer than
    `CHOICES_PER_EXPERT` choices per expert. No rows for a model without experts.
    """
    layers, experts, k = run.sizes.num_layers, run.sizes.num_experts, run.sizes.k
    if "width" not in run.sizes.parts:
        return pd.DataFrame({name: [] for name in ("layer", "expert", "first_choices", "later_choices", "share")})
    found = _by_layer(run, chosen, "experts", layers * k)
    ran, place = found["value"].notna(), found["place"].to_numpy()
    ids = found["value"][ran].astype(int).to_numpy()
    choices = np.zeros((layers, k, experts), int)
    choices[place[ran] // k, place[ran] % k, ids] = found["tokens"][ran]
    tokens, first, later = np.zeros(layers, int), choices[:, 0], choices[:, 1:].sum(axis=1)
    np.add.at(tokens, place[place % k == 0] // k, found["tokens"][place % k == 0])
    of_layer = np.repeat(choices.sum(axis=(1, 2))[:, None], experts, axis=1)
    load = share(first + later, of_layer)
    low, high = (bound / experts for bound in LOAD_BOUNDS)
    above, below = (TOO_MUCH, DEAD) if chosen == ALL_TOKENS else (MANY, np.where(load > 0, FEW, NONE))
    outside = np.where(load < low, below, np.where(load > high, above, FINE))
    layer, expert = np.indices(first.shape)
    columns = {
        "layer": layer,
        "expert": expert,
        "first_choices": first,
        "later_choices": later,
        "share": load,
        "routed_tokens": np.repeat(first.sum(axis=1)[:, None], experts, axis=1),
        "tokens": np.repeat(tokens[:, None], experts, axis=1),
        "verdict": np.where((of_layer < CHOICES_PER_EXPERT * experts) | (experts == 1), TOO_FEW, outside),
    }
    return pd.DataFrame({name: values.ravel() for name, values in columns.items()})


def run_router(run: "Run", _: TokenFilter = ALL_TOKENS) -> pd.DataFrame:
    """One row per layer: the `balance_loss` of the whole run; it follows no filter.

    It is transformers' (Switch Transformer's) auxiliary loss of the layer over the number of chosen experts: number of
    experts · Σ load · the router's mean probability, 1 if either is even. The probabilities are of all tokens of the
    texts; the loads are of choices that ran, since what tokens at max loops would have chosen is not kept. NaN where
    none ran.
    """
    probs = run.router_probs()
    total = probs.sum(axis=1, keepdims=True)
    if "width" not in run.sizes.parts:
        return pd.DataFrame({"layer": [], "balance_loss": []})
    load = run_experts(run)["share"].to_numpy().reshape(probs.shape)
    losses = run.sizes.num_experts * (load * share(probs, total + 0 * probs)).sum(axis=1)
    return pd.DataFrame({"layer": np.arange(run.sizes.num_layers), "balance_loss": losses})


def balance(experts: pd.DataFrame, router: pd.DataFrame) -> pd.DataFrame:
    """One row per layer: how evenly its load is shared, from the tables of `run_experts` and `run_router`.

    `load_cv` is the standard deviation of the loads over their mean, 0 when even. `measured` says whether there are
    enough choices to judge the experts.
    """
    losses = router.set_index("layer")["balance_loss"]
    rows = []
    for layer, group in experts.groupby("layer"):
        load, routed, tokens = group["share"], int(group["routed_tokens"].iloc[0]), int(group["tokens"].iloc[0])
        rows.append(
            {
                "layer": layer,
                "tokens": tokens,
                "routed_tokens": routed,
                "did_not_route": 1 - routed / tokens if tokens else np.nan,
                "load_cv": load.std(ddof=0) / load.mean(),
                "least": load.min(),
                "most": load.max(),
                "below_bounds": int(group["verdict"].isin(BELOW).sum()),
                "above_bounds": int(group["verdict"].isin(ABOVE).sum()),
                "measured": bool((group["verdict"] != TOO_FEW).all()),
                "balance_loss": losses[layer],
            }
        )
    return pd.DataFrame(rows)


def atlas_balance(drawn: Atlas) -> pd.DataFrame:
    """`balance` of an atlas."""
    return balance(drawn.table("experts"), drawn.table("router"))


def collapsed_layers(loops: pd.DataFrame) -> list[int]:
    """Layers in which more than `MOST_AT_ONE_LOOP` of the tokens take one number of loops, as in the health check."""
    if loops["loops"].nunique() < 2:
        return []
    most = loops.groupby("layer")["share"].max()
    return most.index[most > MOST_AT_ONE_LOOP].tolist()


def _by_layer(run: "Run", chosen: TokenFilter, column: str, entries: int) -> pd.DataFrame:
    """How many tokens have each value at each place of a column of lists: place, value, tokens."""
    where, values = chosen.where(run.sizes)
    return run.ask(
        f"SELECT place, value, count(*) AS tokens FROM (SELECT unnest(range({entries})) AS place, "
        f"unnest({column}) AS value FROM tokens WHERE {where}) GROUP BY ALL",
        values,
    )


def _levels(tokens: np.ndarray, name: str, levels: np.ndarray, mean_name: str, mean: np.ndarray) -> pd.DataFrame:
    """[layer, level] counts as rows, with shares and the mean of the layer."""
    layers, count = tokens.shape
    return pd.DataFrame(
        {
            "layer": np.repeat(np.arange(layers), count),
            name: np.tile(levels, layers),
            "tokens": tokens.ravel(),
            "share": share(tokens, np.repeat(tokens.sum(axis=1)[:, None], count, axis=1)).ravel(),
            mean_name: np.repeat(mean, count),
        }
    )


TABLES: dict[str, Callable[["Run", TokenFilter], pd.DataFrame]] = {
    "counts": counts,
    "loops": run_loops,
    "gate": run_gate,
    "experts": run_experts,
    "router": run_router,
    **PAPER_TABLES,
}
"""Name -> what asks a run for the table."""
OF_WHOLE_RUN = ("router",)
"""Tables that follow no filter."""

__all__ = [
    "ABOVE", "BELOW", "DEAD", "FEW", "MANY", "NONE", "OF_WHOLE_RUN", "TABLES", "TOO_FEW", "TOO_MUCH", "Atlas",
    "atlas_balance", "atlas_of", "balance", "collapsed_layers", "counts", "run_experts", "run_gate", "run_loops",
    "run_router",
]  # fmt: skip
