"""Cards: what a choice serves in a run, an expert of a layer or a number of loops in it.

A card counts the tokens of a run under a filter that had the choice to make: for loops all of them, for an expert those
that routed in its layer. Each of its shares stands beside the share of all these tokens, the *base*: lift is the one
divided by the other. Intervals and p are over prompts (`analysis.runs.units`). They take the base and the loads as
known: these come from all tokens, so they are far surer than what is compared with them.

A card reads the run twice: once for all cards of its layer (`layer_counts`), and once more for the tokens that come
into question, prompt by prompt. It takes memory that does not grow with the run.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.aggregate import share
from analysis.experts import FEWEST_EXPECTED, expected_pairs
from analysis.runs.about import AboutRun
from analysis.runs.choices import Choice, Kind, choices_of, weight_of
from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.layer_counts import LayerCounts, layer_counts
from analysis.runs.run import Run
from analysis.runs.schema import Sizes
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
    """One row: tokens (all that count), had, made, first (as first choice; of experts), prompts (of the tokens that
    count), share, low and high. `mean_weight` gives the weight of an expert."""
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


def card(run: Run, choice: Choice, chosen: TokenFilter = ALL_TOKENS, *, counts: LayerCounts | None = None) -> Card:
    """The card of a choice in a run. `counts` are those of its layer under this filter, if they are known.

    Raises ValueError for a choice or a filter that does not fit the run.
    """
    choice.check(run.sizes)
    counts = counts or layer_counts(run, choice.layer, chosen)
    made = _MadeAndHad(counts, choice, run.sizes)
    of_all = _counts(made)
    base = float(of_all["share"].iloc[0])
    tokens, compared = _tokens(run, made, chosen, base)
    return Card(
        run=run.name,
        meta=run.meta,
        chosen=chosen,
        choice=choice,
        sizes=run.sizes,
        counts=of_all,
        tokens=tokens,
        compared=compared,
        classes=_classes(made, base),
        loops=_loops(made),
        experts=_experts(made),
        neighbours=_neighbours(counts, choice) if choice.loops is None else pd.DataFrame(),
    )


def mean_weight(run: Run, choice: Choice, chosen: TokenFilter = ALL_TOKENS) -> float:
    """The mean weight of an expert over the tokens that count and that it served; NaN if there are none.

    Raises ValueError for a choice of loops, and for a choice or a filter that does not fit the run.
    """
    choice.check(run.sizes)
    if choice.loops is not None:
        raise ValueError(f"only an expert has a weight, got {choice.words}")
    where, values = chosen.where(run.sizes)
    return float(
        run.ask(f"SELECT avg({weight_of(choice, run.sizes)}) AS mean FROM tokens WHERE {where}", values)["mean"][0]
    )


class _MadeAndHad:
    """What of the counts of a layer is of one choice: of tokens that made it, and of those that could."""

    def __init__(self, counts: LayerCounts, choice: Choice, sizes: Sizes):
        self.counts, self.choice, self.sizes = counts, choice, sizes
        choices = choices_of(sizes, [choice.layer])
        self.number = choices.index(choice)
        all_of = len(choices) + (choice.loops is None)  # whoever routed, for an expert
        self.by_class = counts.made[..., self.number], counts.counted if choice.loops else counts.routed
        """Tokens by [unit, class]."""
        self.of_token = counts.of_token[:, self.number].astype(int), counts.of_token[:, all_of].astype(int)
        self.cells = pd.DataFrame(
            {
                "kind": [each.kind for each in choices_of(sizes)],
                "layer": [each.layer for each in choices_of(sizes)],
                "value": [each.value for each in choices_of(sizes)],
                "made": counts.cells[self.number].astype(int),
                "had": counts.cells[all_of].astype(int),
            }
        )
        """Tokens by what they chose in every layer."""


def _counts(made: _MadeAndHad) -> pd.DataFrame:
    counts, expert = made.counts, made.choice.expert
    of_units = [each.sum(axis=1, keepdims=True) for each in made.by_class]
    share_of_all = shares_of(*of_units)
    row = {
        "tokens": int(counts.counted.sum()),
        "had": int(of_units[1].sum()),
        "made": int(of_units[0].sum()),
        "prompts": counts.prompts,
        "first": np.nan if expert is None else float(counts.first[expert]),
    }
    return pd.DataFrame([row | {name: float(getattr(share_of_all, name)[0]) for name in ("share", "low", "high")}])


def _tokens(run: Run, found: _MadeAndHad, chosen: TokenFilter, base: float) -> tuple[pd.DataFrame, int]:
    """The tokens of the largest lift, and how many tokens were compared."""
    (made, had), counts = found.of_token, found.counts
    enough = np.flatnonzero(had >= FEWEST)
    low, _ = interval(made[enough] / had[enough], had[enough].astype(float), had[enough] - 1.0)
    top = np.sort(enough[np.argsort(-low, kind="stable")[:CANDIDATES]])
    each = pd.DataFrame(
        {
            "token_id": counts.token_id[top],
            "text": [counts.text[at] for at in top.tolist()],
            "had": had[top],
            "made": made[top],
        }
    )
    choice, sizes, (where, values) = found.choice, run.sizes, chosen.where(run.sizes)
    by_prompt = run.ask(
        f"SELECT {unit_of_prompt(run.counts.records)} AS unit, token_id, count(*) AS had, "
        f"sum({choice.made(sizes)}::INTEGER)::BIGINT AS made FROM tokens WHERE {where} AND {choice.had(sizes)} "
        "AND token_id IN (SELECT unnest(?::INTEGER[])) GROUP BY unit, token_id",
        [*values, each["token_id"].tolist()],
    )
    at = np.searchsorted(each["token_id"].to_numpy(), by_prompt["token_id"].to_numpy())
    made, had = (by_unit(by_prompt["unit"], at, by_prompt[name], len(each)) for name in ("made", "had"))
    table = _with_lift(each, shares_of(made, had), base, compared=len(enough))
    table = table.sort_values(["lift_low", "lift", "had"], ascending=False, kind="stable", ignore_index=True)
    return table, len(enough)


def _classes(found: _MadeAndHad, base: float) -> pd.DataFrame:
    made, had = found.by_class
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


def _loops(found: _MadeAndHad) -> pd.DataFrame:
    return _with_shares_of_layer(_of_kind(found, "loops"))


def _experts(found: _MadeAndHad) -> pd.DataFrame:
    table = _with_shares_of_layer(_of_kind(found, "expert"))
    expected = table["of_had"] * table.groupby("layer")["made"].transform("sum")
    return table.assign(lift_log2=_lift_log2(table["made"], expected))


def _of_kind(found: _MadeAndHad, kind: Kind) -> pd.DataFrame:
    """One row per layer and value that one of the tokens chose: those that made the choice, and that could."""
    table = found.cells[(found.cells["kind"] == kind) & (found.cells["had"] > 0)]
    return table.drop(columns="kind").rename(columns={"value": kind}).reset_index(drop=True)


def _with_shares_of_layer(table: pd.DataFrame) -> pd.DataFrame:
    layers = table.groupby("layer")
    return table.assign(
        **{
            f"of_{name}": share(table[name].to_numpy(float), layers[name].transform("sum").to_numpy())
            for name in ("made", "had")
        }
    )


def _neighbours(counts: LayerCounts, choice: Choice) -> pd.DataFrame:
    """The other experts of the layer, beside the pairs that the loads alone would give."""
    pairs = counts.together.sum(axis=0)
    degree = (pairs.sum(axis=1) - pairs.diagonal()).astype(float)
    expected = expected_pairs(degree)[choice.expert]
    together = counts.together[:, choice.expert]
    had = np.broadcast_to(together[:, [choice.expert]], together.shape)
    others = np.arange(len(pairs)) != choice.expert
    shares = Shares(*(each[others] for each in shares_of(together, had)))
    seen, expected, total = together.sum(axis=0)[others], expected[others], had.sum(axis=0)[others]
    table = pd.DataFrame({"expert": np.flatnonzero(others), "together": seen.astype(int), "expected": expected})
    table["lift_log2"] = _lift_log2(table["together"], table["expected"])
    return _with_lift(table, shares, share(expected, total), compared=len(table))


def _lift_log2(seen: pd.Series, expected: pd.Series) -> np.ndarray:
    """As that of `analysis.experts.expert_pairs`."""
    return np.where(expected >= FEWEST_EXPECTED, np.log2((seen + 0.5) / (expected + 0.5)), np.nan)


__all__ = ["CANDIDATES", "FEWEST", "Card", "card", "mean_weight"]
