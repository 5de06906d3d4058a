"""A random sample of the tokens of a run: the same in every program and version, and drawn in bounded memory."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int, UInt8

from analysis.runs.choices import DID_NOT_ROUTE
from analysis.runs.filters import ALL_TOKENS, TokenFilter, quoted
from analysis.runs.run import Run
from analysis.runs.schema import Sizes, entries

MOST_TOKENS, MOST_BYTES = 100_000, 128 * 2**20
"""Most tokens of a sample, and most bytes: with many layers and experts it has fewer tokens."""
MOST_GROUPS, MOST_COLUMNS = 7, 12
"""Most values of a column of the prompts that are told apart, those of the most tokens; and most such columns."""
OTHERS, UNKNOWN = "all others", "none"
"""Names for the tokens of rarer values, and of prompts without one."""
_ROUND = "(xor({0}, {0} >> 16) * 73244475) % 4294967296"
_COLUMNS = "prompt, token, token_id, text, loops, gate, experts, weights, difficulty"


@dataclass(frozen=True, eq=False)
class Groups:
    """The tokens of a sample by a column of their prompts, such as the source."""

    names: tuple[str, ...]
    """Largest group first; then OTHERS and UNKNOWN, where there are such tokens."""
    number: UInt8[np.ndarray, " token"]
    """Place of the token's group in `names`."""


@dataclass(frozen=True, eq=False)
class TokenSample:
    """Tokens drawn without replacement, each with the same chance, in random order."""

    run: str
    """Name of the run."""
    meta: dict[str, Any]
    """Model and weights, as in a trace."""
    sizes: Sizes
    chosen: TokenFilter
    """Which tokens of the run they were drawn from."""
    seed: int
    count: int
    """How many tokens of the run they were drawn from."""
    prompt: Int[np.ndarray, " token"]
    token: Int[np.ndarray, " token"]
    """Position in the prompt, from 0."""
    token_id: Int[np.ndarray, " token"]
    text: pa.Array
    """Display strings."""
    loops: UInt8[np.ndarray, "token layer"]
    gate: Float[np.ndarray, "token layer"]
    """λ, 0..1; NaN if the model does not decide it, as for `difficulty`."""
    experts: Int[np.ndarray, "token layer k"]
    """Best first; DID_NOT_ROUTE for one that did not run."""
    weights: Float[np.ndarray, "token layer k"]
    """NaN where the expert did not run."""
    difficulty: Float[np.ndarray, "token layer"]
    groups: dict[str, Groups] = field(default_factory=dict)
    """source, and columns of the reader's file -> the tokens by it."""

    def __len__(self) -> int:
        return len(self.prompt)

    @property
    def nbytes(self) -> int:
        arrays = (self.prompt, self.token, self.token_id, self.text, self.loops, self.gate)
        return sum(each.nbytes for each in (*arrays, self.experts, self.weights, self.difficulty))


def sample_tokens(run: Run, chosen: TokenFilter = ALL_TOKENS, *, most: int = 20_000, seed: int = 0) -> TokenSample:
    """At most `most` of the tokens that a filter lets through, and no more than `room` has.

    A seed draws the same tokens of a run again, on every machine. Raises ValueError for a filter that does not fit the
    run.
    """
    where, values = chosen.where(run.sizes)
    count = int(run.ask(f"SELECT count(*) FROM tokens WHERE {where}", values).iloc[0, 0])
    most = min(most, room(run.sizes))
    order = _scrambled(seed)
    below = ""
    if count > most:  # few more than are wanted come to be sorted, with as good as no chance of too few
        below = f" AND {order} < {math.ceil(2**32 * min(1.0, (most + 8 * math.sqrt(most) + 8) / count))}"
    found = run.ask_table(
        f"SELECT {_COLUMNS} FROM tokens WHERE {where}{below} ORDER BY {order}, prompt, token LIMIT {most}", values
    )
    layers, k = run.sizes.num_layers, run.sizes.k
    return TokenSample(
        run=run.name,
        meta=run.meta,
        sizes=run.sizes,
        chosen=chosen,
        seed=seed,
        count=count,
        prompt=found["prompt"].to_numpy(),
        token=found["token"].to_numpy(),
        token_id=found["token_id"].to_numpy(),
        text=found["text"].combine_chunks(),
        loops=entries(found["loops"], layers, pa.uint8(), 0),
        gate=entries(found["gate"], layers, pa.float32(), np.nan),
        experts=entries(found["experts"], layers * k, pa.int16(), DID_NOT_ROUTE).reshape(-1, layers, k),
        weights=entries(found["weights"], layers * k, pa.float32(), np.nan).reshape(-1, layers, k),
        difficulty=entries(found["difficulty"], layers, pa.float32(), np.nan),
        groups=_groups(run, found["prompt"].to_numpy()),
    )


def _groups(run: Run, prompt: np.ndarray) -> dict[str, Groups]:
    columns = ["source", *run.manifest.others[:MOST_COLUMNS]]
    table = run.ask_table(
        f"SELECT prompt, {', '.join(map(quoted, columns))} FROM prompts "
        "WHERE prompt IN (SELECT unnest(?::BIGINT[])) ORDER BY prompt",
        [np.unique(prompt)],
    )
    row = np.searchsorted(table["prompt"].to_numpy(), prompt)
    return {name: _grouped(table[name].combine_chunks(), row) for name in columns}


def _grouped(values: pa.Array, row: np.ndarray) -> Groups:
    coded = values.dictionary_encode()
    code = coded.indices.fill_null(len(coded.dictionary)).to_numpy()[row]
    counts = np.bincount(code, minlength=len(coded.dictionary) + 1)
    kept = [each for each in np.argsort(-counts[:-1], kind="stable") if counts[each]][:MOST_GROUPS]
    place = np.full(len(counts), len(kept), np.uint8)
    place[kept] = np.arange(len(kept))
    names = [coded.dictionary[int(each)].as_py() for each in kept]
    if counts[:-1].sum() > counts[kept].sum():
        names.append(OTHERS)
    place[-1] = len(names)
    return Groups((*names, UNKNOWN) if counts[-1] else tuple(names), place[code])


def room(sizes: Sizes) -> int:
    """How many tokens of a model the largest sample has."""
    return min(MOST_TOKENS, MOST_BYTES // (sizes.num_layers * (9 + 6 * sizes.k)))


def _scrambled(seed: int) -> str:
    """A number from 0 to 2^32 - 1 for a row of `tokens` in SQL, which looks random and is the same everywhere.

    DuckDB's own hash may change with its version. This mixes in three rounds of xor and multiply.
    """
    mixed = f"(prompt * 2654435761 + token * 40503 + {seed % 2**31} * 97 + 1013904223) % 4294967296"
    for _ in range(3):
        mixed = _ROUND.format(f"({mixed})")
    return f"({mixed})"


__all__ = [
    "MOST_BYTES", "MOST_GROUPS", "MOST_TOKENS", "OTHERS", "UNKNOWN", "Groups", "TokenSample", "room", "sample_tokens",
]  # fmt: skip
