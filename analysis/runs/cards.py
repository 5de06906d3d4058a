"""Cards: what a choice serves in a run, an expert of a layer or a number of loops in it.

A card counts the tokens of a run under a filter that had the choice to make: for loops all of them, for an expert those
that routed in its layer. Each of its shares stands beside the share of all these tokens, the *base*: lift is the one
divided by the other. Intervals and p are over prompts (`analysis.runs.units`). They take the base and the loads as
known: these come from all tokens, so they are far surer than what is compared with them.

A card takes a handful of questions, each of which reads the run once, and memory that does not grow with the run.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.aggregate import share
from analysis.experts import FEWEST_EXPECTED, expected_pairs
from analysis.runs.about import AboutRun
from analysis.runs.choices import DID_NOT_ROUTE, Choice, choice_columns
from analysis.runs.counting import counts_by_choice
from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.run import Run
from analysis.runs.schema import Sizes, expert_at
from analysis.runs.token_class import classed
from analysis.runs.units import Shares, by_unit, interval, p_of, shares_of, unit_of_prompt
from analysis.texts.chance import corrected
from analysis.texts.tokens import CLASSES
from analysis.words.labels import how_many

FEWEST = 10
"""A token with fewer occurrences that had the choice to make is not compared."""
CANDIDATES = 100
"""Tokens whose intervals over prompts are computed: those with the largest lifts if every occurrence stood in a prompt
of its own."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Card(AboutRun):
    """What a choice serves. In its tables `made` counts tokens that made the choice, `had` those that could.

    Where a table has intervals, `share` is made / had with `low` and `high` (95% over prompts), `lift` and its
    `lift_low` and `lift_high` are these over `base`, p says that the share differs from the base, and `p_corrected` is
    p after Benjamini and Hochberg over everything that was compared.
    """

    choice: Choice
    sizes: Sizes
    counts: pd.DataFrame
    """One row: tokens (all that count), had, made, first (as first choice; of experts), weight (mean, where made),
    prompts (of the tokens that count), share, low and high."""
    tokens: pd.DataFrame
    """Tokens of the largest lift first, by the lower end of its interval: token_id, text, prompts or groups of prompts
    as `units`, and the columns above. At most CANDIDATES, each with FEWEST occurrences or more."""
    compared: int
    """Tokens with FEWEST occurrences or more, over which the tokens' p are corrected."""
    classes: pd.DataFrame
    """One row per class of token that occurs: class, of_made (its share of what made the choice), of_had, and the
    columns above."""
    loops: pd.DataFrame
    """One row per layer x number of loops: tokens that made the choice and took so many loops there (`made`), and those
    that could (`had`), each with its share of the layer's."""
    experts: pd.DataFrame
    """One row per layer x expert that served one of them: counts of choices as in `loops`, shares of the layer's
    choices by tokens that made the choice (`of_made`) and that could (`of_had`), and the log2 of the one over the other
    (`lift_log2`), NaN below FEWEST_EXPECTED expected."""
    neighbours: pd.DataFrame
    """For an expert, one row per other expert of the layer: together (tokens that both serve), expected (by the loads
    alone: quasi-independence), lift_log2, and the columns above, with the tokens of the expert as those that could and
    the expected share as base."""

    @property
    def base(self) -> float:
        """Share of the tokens that made the choice, of those that could; NaN if none could."""
        return float(self.counts["share"].iloc[0])

    @property
    def counted(self) -> str:
        row = self.counts.iloc[0]
        name, had = self.choice.words, "that routed there" if self.choice.loops is None else "that count"
        return f"{name[0].upper()}{name[1:]}: {int(row['made']):,} of {how_many(int(row['had']), 'token')} {had}."


def card(run: Run, choice: Choice, chosen: TokenFilter = ALL_TOKENS) -> Card:
    """The card of a choice over the tokens of a run that count. Raises ValueError if the model has no such choice."""
    choice.check(run.sizes)
    mixed = _mixed(run, choice, chosen)
    by_class = _by_class(run, choice, chosen)
    counts = _counts(by_class)
    base = float(counts["share"].iloc[0])
    tokens, compared = _tokens(run, choice, chosen, base)
    return Card(
        run=run.name,
        meta=run.meta,
        chosen=chosen,
        choice=choice,
        sizes=run.sizes,
        counts=counts,
        tokens=tokens,
        compared=compared,
        classes=_classes(by_class, base),
        loops=_loops(mixed),
        experts=_experts(mixed),
        neighbours=_neighbours(run, choice, chosen) if choice.loops is None else pd.DataFrame(),
    )


def _by_class(run: Run, choice: Choice, chosen: TokenFilter) -> pd.DataFrame:
    """Counts per unit, class of token, and whether the token had the choice: tokens, made, first, weight (summed), and
    prompts (of which the first token that counts is there)."""
    sizes, (where, values) = run.sizes, chosen.where(run.sizes)
    first = "NULL::INTEGER"
    if choice.loops is None:
        first = f"({expert_at(choice.layer, 0, sizes)} = {choice.expert})::INTEGER"
    return run.ask(
        "SELECT unit, class, had, count(*) AS tokens, sum(made::INTEGER)::BIGINT AS made, sum(first)::BIGINT AS first, "
        "sum(weight) AS weight, sum(begins::INTEGER)::BIGINT AS prompts FROM ("
        f"SELECT {unit_of_prompt(run.counts.records)} AS unit, class, {choice.had(sizes)} AS had, "
        f"{choice.made(sizes)} AS made, {first} AS first, {choice.weight(sizes)} AS weight, "
        f"prompt IS DISTINCT FROM lag(prompt) OVER () AS begins FROM ({classed()}) WHERE {where}) "
        "GROUP BY unit, class, had",
        values,
    )


def _counts(by_class: pd.DataFrame) -> pd.DataFrame:
    had = by_class[by_class["had"].astype(bool)]
    units = had.groupby("unit")[["made", "tokens"]].sum().to_numpy(float)
    share_of_all = shares_of(units[:, [0]], units[:, [1]])
    row = {
        "tokens": int(by_class["tokens"].sum()),
        "had": int(had["tokens"].sum()),
        "made": int(had["made"].sum()),
        "prompts": int(by_class["prompts"].sum()),
        "first": float(had["first"].astype(float).sum(min_count=1)),
        "weight": float(share(had["weight"].astype(float).sum(min_count=1), float(had["made"].sum()))),
    }
    return pd.DataFrame([row | {name: float(getattr(share_of_all, name)[0]) for name in ("share", "low", "high")}])


def _tokens(run: Run, choice: Choice, chosen: TokenFilter, base: float) -> tuple[pd.DataFrame, int]:
    """The tokens of the largest lift, and how many tokens were compared."""
    sizes, (where, values) = run.sizes, chosen.where(run.sizes)
    counted = f"FROM tokens WHERE {where} AND {choice.had(sizes)}"
    made = f"sum({choice.made(sizes)}::INTEGER)::BIGINT AS made"
    each = run.ask(
        f"SELECT token_id, any_value(text) AS text, count(*) AS had, {made} {counted} "
        f"GROUP BY token_id HAVING had >= {FEWEST}",
        values,
    )
    compared, (made_in_all, had_in_all) = len(each), (each[name].to_numpy(float) for name in ("made", "had"))
    low, _ = interval(share(made_in_all, had_in_all), had_in_all, had_in_all - 1)
    each = each.iloc[np.argsort(-low, kind="stable")[:CANDIDATES]].sort_values("token_id", ignore_index=True)
    by_prompt = run.ask(
        f"SELECT {unit_of_prompt(run.counts.records)} AS unit, token_id, count(*) AS had, {made} {counted} "
        "AND list_contains(?, token_id) GROUP BY unit, token_id",
        [*values, each["token_id"].tolist()],
    )
    at = np.searchsorted(each["token_id"].to_numpy(), by_prompt["token_id"].to_numpy())
    made, had = (by_unit(by_prompt["unit"], at, by_prompt[name], len(each)) for name in ("made", "had"))
    table = _with_lift(each, shares_of(made, had), base, compared=compared)
    table = table.sort_values(["lift_low", "lift", "had"], ascending=False, kind="stable", ignore_index=True)
    return table, compared


def _classes(by_class: pd.DataFrame, base: float) -> pd.DataFrame:
    found = by_class[by_class["had"].astype(bool)]
    made, had = (
        by_unit(found["unit"], found["class"].to_numpy(int), found[name], len(CLASSES)) for name in ("made", "tokens")
    )
    table = pd.DataFrame({"class": CLASSES, "had": had.sum(axis=0).astype(int), "made": made.sum(axis=0).astype(int)})
    table["of_made"], table["of_had"] = (share(each.sum(axis=0), each.sum()) for each in (made, had))
    occurs = table["had"].to_numpy() > 0
    shares = Shares(*(each[occurs] for each in shares_of(made, had)))
    return _with_lift(table[occurs].reset_index(drop=True), shares, base, compared=int(occurs.sum()))


def _with_lift(table: pd.DataFrame, shares: Shares, base: float | np.ndarray, *, compared: int) -> pd.DataFrame:
    """A table with the columns of shares, lifts and p; all of the `compared` ones enter the correction."""
    bases = np.broadcast_to(base, shares.share.shape)
    p = p_of(shares, bases)
    others = np.ones(max(compared - len(p), 0))  # those that were not looked at by prompt have smaller lifts
    lifts = {
        f"lift{end}": share(values, bases)
        for end, values in (("", shares.share), ("_low", shares.low), ("_high", shares.high))
    }
    return table.assign(
        share=shares.share, low=shares.low, high=shares.high, base=bases, units=shares.units, **lifts, p=p,
        p_corrected=corrected(np.append(p, others))[: len(p)],
    )  # fmt: skip


# What else the tokens did ---------------------------------------------------------------------------------------------


def _mixed(run: Run, choice: Choice, chosen: TokenFilter) -> pd.DataFrame:
    """What the tokens that could make the choice did in every layer, those that made it apart: `counts_by_choice` by
    `made`."""
    where, values = chosen.where(run.sizes)
    source = f"tokens WHERE {where} AND {choice.had(run.sizes)}"
    return counts_by_choice(run, {"made": choice.made(run.sizes)}, source, values)


def _loops(mixed: pd.DataFrame) -> pd.DataFrame:
    table = _made_and_had(mixed[mixed["kind"] == "loops"]).rename(columns={"value": "loops"})
    return _with_shares_of_layer(table)


def _experts(mixed: pd.DataFrame) -> pd.DataFrame:
    rows = mixed[(mixed["kind"] == "expert") & (mixed["value"] != DID_NOT_ROUTE)]
    table = _with_shares_of_layer(_made_and_had(rows).rename(columns={"value": "expert"}))
    expected = table["of_had"] * table.groupby("layer")["made"].transform("sum")
    return table.assign(lift_log2=_lift_log2(table["made"], expected))


def _made_and_had(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per layer and value, sorted: tokens that made the choice, and that could."""
    counts = rows.assign(made=rows["tokens"] * rows["made"].astype(bool), had=rows["tokens"])
    return counts.groupby(["layer", "value"])[["made", "had"]].sum().astype(int).reset_index()


def _with_shares_of_layer(table: pd.DataFrame) -> pd.DataFrame:
    layers = table.groupby("layer")
    return table.assign(
        **{
            f"of_{name}": share(table[name].to_numpy(float), layers[name].transform("sum").to_numpy())
            for name in ("made", "had")
        }
    )


def _neighbours(run: Run, choice: Choice, chosen: TokenFilter) -> pd.DataFrame:
    """The other experts of the layer, beside the pairs that the loads alone would give."""
    sizes, (where, values) = run.sizes, chosen.where(run.sizes)
    ran = " + ".join(f"({expert_at(choice.layer, rank, sizes)} IS NOT NULL)::INTEGER" for rank in range(sizes.k))
    rows = counts_by_choice(
        run,
        {"unit": unit_of_prompt(run.counts.records), "made": choice.made(sizes), "ran": ran},
        f"tokens WHERE {where} AND {choice.had(sizes)}",
        values,
        [each for each in choice_columns(sizes) if (each.kind, each.layer) == ("expert", choice.layer)],
    )
    rows = rows[rows["value"] != DID_NOT_ROUTE]
    degree = np.bincount(rows["value"], rows["tokens"] * (rows["ran"] - 1), minlength=sizes.num_experts)
    expected = expected_pairs(degree)[choice.expert]
    served = rows[rows["made"].astype(bool)]
    together = by_unit(served["unit"], served["value"].to_numpy(int), served["tokens"], sizes.num_experts)
    had = np.broadcast_to(together[:, [choice.expert]], together.shape)
    others = np.arange(sizes.num_experts) != choice.expert
    shares = Shares(*(each[others] for each in shares_of(together, had)))
    seen, expected, total = together.sum(axis=0)[others], expected[others], had.sum(axis=0)[others]
    table = pd.DataFrame({"expert": np.flatnonzero(others), "together": seen.astype(int), "expected": expected})
    table["lift_log2"] = _lift_log2(table["together"], table["expected"])
    return _with_lift(table, shares, share(expected, total), compared=len(table))


def _lift_log2(seen: pd.Series, expected: pd.Series) -> np.ndarray:
    """As that of `analysis.experts.expert_pairs`."""
    return np.where(expected >= FEWEST_EXPECTED, np.log2((seen + 0.5) / (expected + 0.5)), np.nan)


__all__ = ["CANDIDATES", "FEWEST", "Card", "card"]
