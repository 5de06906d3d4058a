"""Specialisation: how much of a layer's choice is told by the token, by its class, and by the domain of its prompt.

The number is normalised mutual information: I(choice; label) / H(choice), the share of the uncertainty about the choice
that knowing the label removes. Of few tokens with many labels it is large by chance alone, so it stands beside what
chance gives. Labels of tokens are parted from the choices as in `analysis.texts.chance`, by exchanges between prompts
at equal positions and by reading prompts backwards, and the larger p counts. A domain is the label of a whole prompt,
so whole prompts are dealt domains.

It is counted over a sample of whole prompts, drawn at random, since every draw of chance counts all tokens again.
"""

from collections.abc import Iterator
from itertools import chain, islice

import numpy as np
import pandas as pd

from analysis.aggregate import share
from analysis.runs.choices import DID_NOT_ROUTE, Kind
from analysis.runs.domains import SOURCE
from analysis.runs.filters import ALL_TOKENS, TokenFilter, quoted
from analysis.runs.run import Run
from analysis.runs.schema import Sizes, expert_at
from analysis.runs.token_class import classed
from analysis.texts.chance import FEWEST_TEXTS, corrected
from analysis.texts.orders import Orders, exchanges, lengths_to_text, parted, reversals, rotations

SAMPLE = 10_000
"""Most tokens of the sample."""
DRAWS = 199
"""Exchanges, and deals of the domains."""
REVERSALS = 255
"""Orders of prompts read backwards; of a few prompts, all that there are."""
LEVEL_DRAWS = 20
"""Draws whose mean is what chance gives."""
LABELS = {"token_id": "token", "class": "class of token", "domain": "domain"}
"""Column of a label -> its name."""


def specialisation(
    run: Run,
    chosen: TokenFilter = ALL_TOKENS,
    *,
    column: str | None = SOURCE,
    sample: int = SAMPLE,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per choice (loops, expert: the first one) x label (LABELS) x layer.

    `column` is the column of `prompts` that names domains; None leaves them out. Columns: choice, label, layer, tokens
    and prompts (of the sample, that had the choice), labels (different ones), nmi, chance (mean of what is left when
    labels and choices are parted; the larger one of the ways to part them), p (the larger one, likewise), p_corrected
    (Benjamini-Hochberg over all rows). p is NaN of fewer than FEWEST_TEXTS prompts, and of a domain if all prompts are
    of one.
    """
    tokens = sampled(run, chosen, column=column, sample=sample, seed=seed)
    choices = {(kind, layer): tokens[f"{kind}_{layer}"].to_numpy() for kind, layer in _kinds(run)}
    labels = {name: _codes(tokens[name]) for name in LABELS if name in tokens}
    lengths = tokens.groupby("prompt", sort=False).size().to_numpy() if len(tokens) else np.zeros(0, int)
    orders = _Orders(lengths, tokens["token"].to_numpy(), draws, seed)
    rows = []
    for label, codes in labels.items():
        found = _measured(codes, choices, orders, of_prompt=label == "domain")
        rows += [{"choice": kind, "label": label, "layer": layer} | each for (kind, layer), each in found.items()]
    table = pd.DataFrame(rows)
    return table.assign(p_corrected=corrected(table["p"].to_numpy(float))) if len(table) else table


def sampled(
    run: Run, chosen: TokenFilter, *, column: str | None = SOURCE, sample: int = SAMPLE, seed: int = 0
) -> pd.DataFrame:
    """The tokens that count of whole prompts, drawn at random until they have `sample` tokens or all are there.

    One row per token: prompt, token, token_id, class, domain, and of every layer loops (loops_0, loops_1 and so on) and
    the first expert (expert_0, expert_1 and so on; DID_NOT_ROUTE), as far as the model decides them.
    """
    where, values = chosen.where(run.sizes)
    of_prompt, given = chosen.where_prompt()
    domain = quoted(column) if column else "NULL"
    drawn = (
        "SELECT prompt, domain FROM (SELECT *, sum(tokens) OVER (ORDER BY place, prompt) AS upto FROM ("
        f"SELECT prompt, tokens, {domain} AS domain, hash(prompt, {int(seed)}) AS place FROM prompts "
        f"WHERE {of_prompt} ORDER BY place, prompt LIMIT {int(sample)})) WHERE upto <= {int(sample)} OR upto = tokens"
    )
    picked = run.ask(drawn, given)
    listed = f"prompt IN ({', '.join(map(str, picked['prompt'])) or 'NULL'})"
    columns = [_column(kind, layer, run.sizes) for kind, layer in _kinds(run)]
    tokens = run.ask(
        f"SELECT {', '.join(['prompt', 'token', 'token_id', 'class', *columns])} FROM ({classed(listed)}) "
        f"WHERE {where} ORDER BY prompt, token",
        values,
    )
    if column is None:
        return tokens
    domains = picked.set_index("prompt")["domain"].fillna("")
    return tokens.assign(domain=tokens["prompt"].map(domains))


class _Orders:
    """The ways in which labels are parted from choices."""

    def __init__(self, lengths: np.ndarray, positions: np.ndarray, draws: int, seed: int):
        self.lengths, self.positions, self.draws, self.seed = lengths, positions, draws, seed
        self.text = lengths_to_text(lengths)

    @property
    def enough(self) -> bool:
        return len(self.lengths) >= FEWEST_TEXTS

    def exchanged(self) -> Iterator[np.ndarray]:
        """Every other exchange of a few prompts, or `draws` of many."""
        return islice(_single(exchanges(self.lengths, self.positions, self.draws, seed=self.seed)), 1, None)

    def reversed(self) -> Iterator[np.ndarray]:
        """Prompts read backwards, but for the order that was read."""
        return islice(_single(reversals(self.lengths, REVERSALS, seed=self.seed)), 1, None)

    def surely_parted(self) -> tuple[Iterator[np.ndarray], Iterator[np.ndarray]]:
        """Exchanges in which no prompt keeps its own, and rotations, for what chance gives."""
        return (
            _single(parted(self.lengths, self.positions, LEVEL_DRAWS, seed=self.seed)),
            _single(rotations(self.lengths, LEVEL_DRAWS, seed=self.seed)),
        )

    def dealt(self) -> Iterator[np.ndarray]:
        """Deals of what whole prompts have: which token's label comes to stand at each token."""
        rng, first = np.random.default_rng(self.seed), np.cumsum(self.lengths) - self.lengths
        for _ in range(self.draws):
            yield first[rng.permutation(len(first))][self.text]


def _single(blocks: Orders) -> Iterator[np.ndarray]:
    """The orders of all blocks, one by one."""
    return chain.from_iterable(blocks)


def _measured(codes: np.ndarray, choices: dict, orders: _Orders, *, of_prompt: bool) -> dict:
    """nmi, chance and p of one label with every choice."""
    read = {name: _Table(codes, values) for name, values in choices.items()}
    found = {name: table.nmi() for name, table in read.items()}

    def drawn(given: Iterator[np.ndarray]) -> np.ndarray:
        return np.array([[table.nmi(codes[order]) for table in read.values()] for order in given])

    def p_of(drawn: np.ndarray) -> np.ndarray:
        reached = (drawn >= np.array(list(found.values())) - 1e-12).sum(axis=0) if len(drawn) else 0
        return np.broadcast_to((1 + reached) / (1 + len(drawn)), len(found))

    chance = p = np.full(len(found), np.nan)
    if orders.enough and of_prompt and len(np.unique(codes)) > 1:
        dealt = drawn(orders.dealt())
        chance, p = dealt.mean(axis=0), p_of(dealt)
    elif orders.enough and not of_prompt:
        p = np.maximum(p_of(drawn(orders.exchanged())), p_of(drawn(orders.reversed())))
        chance = np.max([drawn(each).mean(axis=0) for each in orders.surely_parted()], axis=0)
    return {
        name: {
            "tokens": table.tokens,
            "prompts": len(np.unique(orders.text[table.there])),
            "labels": len(np.unique(codes[table.there])),
            "nmi": found[name],
            "chance": chance[at],
            "p": p[at] if np.isfinite(found[name]) else np.nan,
        }
        for at, (name, table) in enumerate(read.items())
    }


class _Table:
    """Counts a label and a choice together, quickly for many orders of the labels."""

    def __init__(self, codes: np.ndarray, values: np.ndarray):
        self.codes, self.there = codes, values != DID_NOT_ROUTE
        self.tokens = int(self.there.sum())
        self.choice = np.unique(values[self.there], return_inverse=True)[1]
        self.choices, self.labels = int(self.choice.max(initial=-1)) + 1, int(codes.max(initial=-1)) + 1
        self.plogp = np.arange(self.tokens + 1) * np.log(np.maximum(np.arange(self.tokens + 1), 1))
        self.own = self.plogp[np.bincount(self.choice, minlength=1)].sum()

    def nmi(self, codes: np.ndarray | None = None) -> float:
        """I / H; NaN if all tokens chose alike, or none chose."""
        uncertain = self.plogp[-1] - self.own  # tokens x H
        if uncertain <= 1e-9:
            return float("nan")
        label = (self.codes if codes is None else codes)[self.there]
        joint = np.bincount(label * self.choices + self.choice, minlength=self.labels * self.choices)
        rows = joint.reshape(self.labels, self.choices).sum(axis=1)
        told = self.plogp[joint].sum() - self.plogp[rows].sum() + self.plogp[-1] - self.own
        return float(share(np.array(max(told, 0.0)), np.array(uncertain)))


def _column(kind: Kind, layer: int, sizes: Sizes) -> str:
    """A choice in a layer, from a row of `tokens` in SQL."""
    chosen = f"loops[{layer + 1}]" if kind == "loops" else f"coalesce({expert_at(layer, 0, sizes)}, {DID_NOT_ROUTE})"
    return f"({chosen})::SMALLINT AS {kind}_{layer}"


def _kinds(run: Run) -> list[tuple[Kind, int]]:
    """Kind and layer of all choices that the model makes."""
    kinds: list[Kind] = [kind for kind, part in (("expert", "width"), ("loops", "depth")) if part in run.sizes.parts]
    return [(kind, layer) for kind in kinds for layer in range(run.sizes.num_layers)]


def _codes(values: pd.Series) -> np.ndarray:
    return pd.factorize(values)[0]


__all__ = ["DRAWS", "LABELS", "REVERSALS", "SAMPLE", "sampled", "specialisation"]
