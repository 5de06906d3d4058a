"""FigurePair: the numbers behind a figure of one trace, of A and of B, and B minus A.

A difference stands where both have a number under the same keys (a layer, an expert, a number of loops). Tokens are
those of A, and one has a difference where it is aligned with one token of B. What one of both lacks has none, which is
never 0.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.compare.pair import TracePair
from analysis.compare.tables import one_to_one, pair_table
from analysis.difficulty import difficulty_by_loops, difficulty_surprisal, difficulty_table
from analysis.experts import all_expert_paths, expert_load, served_tokens
from analysis.explain.cost import cost_by_layer, cost_ledger, cost_table
from analysis.explain.near_miss import near_miss_table
from analysis.explain.schematic import schematic_table
from analysis.gate import gate_along_text_table, gate_level_shares, gate_table
from analysis.models.sampling import sampling_table
from analysis.overview import compute_table, loops_by_layer
from analysis.recursion import depth_table, loop_shares, loop_table, margin_table
from analysis.texts.chance import all_pairs_against_chance
from analysis.texts.layers_alike import layers_alike
from analysis.view import View
from hooks.trace import RoutingTrace

VALUE = "value"
"""Stands for the names of the subtracted columns as the rows or the columns of a grid."""
EXPERT_KEYS = {"expert", "first", "second"}
EXPERT_MAP = "expert_map"
"""Experts have no difference that could be subtracted: their figure counts those that are others."""


@dataclass(frozen=True)
class Subtracted:
    """Which columns of a figure's table are subtracted, and how the differences lie in a grid."""

    table: Callable[[RoutingTrace], pd.DataFrame]
    words: str
    """What is subtracted, with its unit."""
    rows: str
    columns: str
    """Columns of the table, or VALUE."""
    values: Mapping[str, str]
    """Column that is subtracted -> its words."""
    at: tuple[str, ...] = ()
    """Columns of which a grid shows the selection alone: "layer" and "token"."""
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Value of the figure's choice -> `values` of it, where they are others."""
    only: str | None = None
    """Column that must equal the value of the figure's choice."""
    own_scales: bool = False
    """Whether the values have units of their own, so that a colour means something else for each."""
    of_routed: bool = False
    """Whether a token that routed has 0 where the table has no row."""

    @property
    def keys(self) -> list[str]:
        """Columns that say what a number is of."""
        return [each for each in dict.fromkeys((*self.at, self.rows, self.columns)) if each != VALUE]

    def of(self, option: str) -> dict[str, str]:
        """Columns that are subtracted with a value of the figure's choice -> their words."""
        return dict(self.options.get(option, self.values))


def _map(table: Callable[[RoutingTrace], pd.DataFrame], column: str, words: str, **options: str) -> Subtracted:
    """A map of layers x tokens. `options`: value of the choice -> another column."""
    others = {value: {name: words} for value, name in options.items()}
    return Subtracted(table, words, "layer", "token", {column: words}, options=others)


def _mean_by_loops(trace: RoutingTrace) -> pd.DataFrame:
    table = difficulty_by_loops(trace)
    return table.groupby(["layer", "loops"], as_index=False)["difficulty_soft"].mean()


def _routed_probabilities(trace: RoutingTrace) -> pd.DataFrame:
    """The router's probabilities where the token routed: the others were not used."""
    table = all_expert_paths(trace)
    return table.assign(probability=table["probability"].where(table["width_ran"]))


_TAUS = ("0.1", "1", "5")
_SCHEMATIC = {"loops": "loops", "width_weight": "λ", "depth_weight": "1 − λ", "difficulty": "soft difficulty"}
SUBTRACTED: Mapping[str, Subtracted] = {
    "compute_map": Subtracted(
        compute_table,
        "FFN passes, mean over layers",
        VALUE,
        "token",
        {"depth": "depth path", "width": "width path", "total": "both paths"},
    ),
    "loops_by_layer": Subtracted(
        loops_by_layer, "loops", "layer", VALUE, {"mean_loops": "ran (mean)", "expected_loops": "expected (mean)"}
    ),
    "difficulty_map": _map(difficulty_table, "difficulty_soft", "difficulty", hard="difficulty_hard"),
    "difficulty_surprisal": Subtracted(
        difficulty_surprisal,
        "soft difficulty, and surprisal in nats",
        VALUE,
        "token",
        {"difficulty_soft": "difficulty", "surprisal_read": "surprisal"},
        options={"next": {"difficulty_soft": "difficulty", "surprisal_next": "surprisal of the next"}},
        own_scales=True,
    ),
    "difficulty_by_loops": Subtracted(
        _mean_by_loops, "mean soft difficulty", "layer", "loops", {"difficulty_soft": "soft difficulty"}
    ),
    "gate_map": _map(gate_table, "gate", "width share λ"),
    "gate_levels": Subtracted(gate_level_shares, "share of tokens", "layer", "gate", {"share": "share of tokens"}),
    "gate_along_text": Subtracted(
        gate_along_text_table,
        "λ",
        VALUE,
        "token",
        {"smoothed": "smoothed mean", "gate": "this layer"},
        at=("layer",),
    ),
    "expert_tokens": Subtracted(
        served_tokens, "weight", "expert", "token", {"weight": "weight"}, at=("layer",), of_routed=True
    ),
    "expert_path": Subtracted(
        _routed_probabilities, "router probability", "layer", "expert", {"probability": "probability"}, at=("token",)
    ),
    "expert_load": Subtracted(
        expert_load,
        "share of the choices",
        VALUE,
        "expert",
        {"first_share": "first choices", "later_share": "later choices", "share": "all choices"},
        at=("layer",),
    ),
    "expert_load_by_layer": Subtracted(expert_load, "load", "layer", "expert", {"share": "load"}),
    "expert_pairs": Subtracted(
        all_pairs_against_chance, "lift, log2", "first", "second", {"lift_log2": "lift, log2"}, at=("layer",)
    ),
    "layers_alike": Subtracted(layers_alike, "agreement", "layer", "other", {"adjusted": "agreement"}),
    "loop_map": _map(loop_table, "loops", "loops"),
    "loop_shares": Subtracted(loop_shares, "share of tokens", "layer", "loops", {"share": "share of tokens"}),
    "depth_choice": Subtracted(
        depth_table, "probability", "layer", "loops", {"probability": "probability"}, at=("token",)
    ),
    "depth_logits": Subtracted(depth_table, "logit", "layer", "loops", {"logit": "logit"}, at=("token",)),
    "depth_margin": _map(margin_table, "margin", "margin of the loops"),
    "near_miss_map": _map(near_miss_table, "loops_margin", "margin", experts="expert_margin", gate="gate_gap"),
    "flip_distance": _map(near_miss_table, "loops_flip", "distance to another number of loops"),
    "layer_schematic": Subtracted(
        schematic_table, "numbers of the selected token", "layer", VALUE, _SCHEMATIC, at=("token",), own_scales=True
    ),
    "cost_ledger": Subtracted(
        cost_ledger, "FFN-equivalents per token and layer", "design", "account", {"total": "FFN-equivalents"}
    ),
    "cost_by_layer": Subtracted(
        cost_by_layer, "FFN-equivalents", "layer", "account", {"ffn_equivalents": "FFN-equivalents"}
    ),
    "cost_map": _map(cost_table, "nominal", "FFN-equivalents", released="released", ours="ours"),
    "drawn_loops": Subtracted(
        lambda trace: sampling_table(trace).assign(tau=lambda table: table["tau"].map("{:g}".format)),
        "share of draws that match, and mean weight",
        "layer",
        VALUE,
        {"agreement": "agreement", "weight": "weight"},
        only="tau",
    ),
}
"""Figure of one trace -> what B minus A of it is. All figures of one trace but EXPERT_MAP."""


@dataclass(frozen=True, eq=False)
class FigurePair:
    """A figure of one trace, for two traces."""

    pair: TracePair
    figure: str
    """Its name, one of SUBTRACTED or EXPERT_MAP."""
    option: str = ""
    """Value of the figure's choice; empty for the first one, and for a figure without a choice."""

    @property
    def routing(self) -> RoutingTrace:
        """The trace whose tokens are drawn: A."""
        return self.pair.a

    @property
    def subtracted(self) -> Subtracted:
        """What is subtracted. ValueError if the figure is none of one trace."""
        if self.figure not in SUBTRACTED:
            raise ValueError(f"there is no B minus A of {self.figure!r}; there is one of {', '.join(SUBTRACTED)}")
        return SUBTRACTED[self.figure]

    @cached_property
    def table(self) -> pd.DataFrame:
        """What `difference_table` gives: another selection needs no other."""
        return pair_table(self.pair) if self.figure == EXPERT_MAP else _difference_table(self)

    @property
    def why_not(self) -> str | None:
        """Why there is no difference, in a sentence; None if there is one."""
        if self.figure == EXPERT_MAP:
            return self.pair.why_no_experts
        keys, values = set(self.subtracted.keys), self.subtracted.of(self.option)
        if (keys & EXPERT_KEYS or "expert_margin" in values) and (why_not := self.pair.why_no_experts):
            return why_not
        return self.pair.why_no_layers if "layer" in keys else None


def difference_table(both: FigurePair) -> pd.DataFrame:
    """One row per key of the figure's table (such as layer x loops): each value in A, in B, and B minus A.

    With tokens, `token` is that of A and `token_b` the one of B; a token that is not aligned one to one has no B.
    Without a difference (`why_not`) the table has no rows.
    """
    return both.table


def _difference_table(both: FigurePair) -> pd.DataFrame:
    what = both.subtracted
    values, keys = list(what.of(both.option)), what.keys
    a, b = (_numbers(trace, what, keys, values, both.option) for trace in (both.pair.a, both.pair.b))
    if both.why_not:
        a, b = a.iloc[:0], b.iloc[:0]
    if "token" in keys:
        tokens_a, tokens_b = one_to_one(both.pair)
        b = b.rename(columns={"token": "token_b"}).merge(pd.DataFrame({"token": tokens_a, "token_b": tokens_b}))
        if not what.of_routed:
            a = a.merge(pd.DataFrame({"token": tokens_a, "token_b": tokens_b}), how="left")
        b = b.drop(columns="token_b")
    how = "left" if "token" in keys and not what.of_routed else "outer"
    a["place"] = np.arange(len(a))
    table = a.merge(b, on=keys, how=how, suffixes=("_a", "_b")).sort_values("place", kind="stable", ignore_index=True)
    table = table.drop(columns="place")  # an outer merge sorts by the keys, and the figure has an order of its own
    if what.of_routed:
        table = _zero_where_routed(table, both.pair, values)
    for value in values:
        table[f"{value}_difference"] = table[f"{value}_b"] - table[f"{value}_a"]
    if "token" in table:
        table["text"] = [both.pair.a.tokens[token] for token in table["token"]]
    return table


def _numbers(trace: RoutingTrace, what: Subtracted, keys: list[str], values: list[str], option: str) -> pd.DataFrame:
    """Keys and numbers of the figure's table of one trace."""
    table = what.table(trace)
    if what.only:
        table = table[table[what.only] == (option or _TAUS[0])]
    table = table[[*keys, *values]].copy()
    table[values] = table[values].astype(float).where(np.isfinite(table[values].astype(float)))
    return table


def _zero_where_routed(table: pd.DataFrame, pair: TracePair, values: list[str]) -> pd.DataFrame:
    """The weights of experts that one of both chose: 0 in the other if it routed, missing if it did not."""
    tokens_a, tokens_b = one_to_one(pair)
    partner = np.full(pair.a.num_tokens, -1)
    partner[tokens_a] = tokens_b
    layer, token = table["layer"].to_numpy(int), table["token"].to_numpy(int)
    there = partner[token]
    routed = {"a": pair.a.width_ran[layer, token], "b": pair.b.width_ran[layer, there] & (there >= 0)}
    for value in values:
        for side, ran in routed.items():
            table[f"{value}_{side}"] = table[f"{value}_{side}"].where(table[f"{value}_{side}"].notna() | ~ran, 0.0)
    table["token_b"] = pd.array(np.where(there >= 0, there, 0), dtype="Int64")
    return table.assign(token_b=table["token_b"].where(there >= 0))


@dataclass(frozen=True)
class Grid:
    """Differences as a grid, with the numbers that they are of."""

    rows: list
    columns: list
    """Values of the keys, or words of the subtracted columns."""
    a: np.ndarray
    b: np.ndarray
    """[row, column], NaN where there is none."""
    column_is_token: bool

    @property
    def difference(self) -> np.ndarray:
        """B minus A [row, column]."""
        return self.b - self.a


def difference_grid(both: FigurePair, view: View) -> Grid:
    """The differences of a figure at the selected layer and token, if it is of these alone.

    All tokens of A have a column if tokens are the columns. ValueError if there is no difference (`why_not`).
    """
    if both.why_not:
        raise ValueError(both.why_not)
    what, table = both.subtracted, both.table
    for at in what.at:
        table = table[table[at] == getattr(view, at)]
    words = what.of(both.option)
    sides = []
    for side in ("a", "b"):
        if VALUE not in (what.rows, what.columns):
            (value,) = words
            sides.append(table.pivot(index=what.rows, columns=what.columns, values=f"{value}_{side}"))
            continue
        named = {f"{value}_{side}": told for value, told in words.items()}
        key = what.columns if what.rows == VALUE else what.rows
        wide = table.set_index(key)[list(named)].rename(columns=named)
        sides.append(wide.T if what.rows == VALUE else wide)
    rows = list(words.values()) if what.rows == VALUE else list(dict.fromkeys(table[what.rows]))
    columns = list(words.values()) if what.columns == VALUE else list(dict.fromkeys(table[what.columns]))
    if what.columns == "token":
        columns = list(range(both.pair.a.num_tokens))
    if what.rows == "layer":
        rows = list(range(both.pair.a.num_layers))
    a, b = (side.reindex(index=rows, columns=columns).to_numpy(float) for side in sides)
    return Grid(rows, columns, a, b, what.columns == "token")


def aligned_columns(both: FigurePair) -> np.ndarray:
    """Of every token of A whether it can have a difference: it is aligned with one token of B."""
    return np.isin(np.arange(both.pair.a.num_tokens), one_to_one(both.pair)[0])


__all__ = [
    "EXPERT_MAP", "SUBTRACTED", "VALUE", "FigurePair", "Grid", "Subtracted", "aligned_columns", "difference_grid",
    "difference_table",
]  # fmt: skip
