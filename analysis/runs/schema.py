"""The two tables of a run: `tokens`, a row per prompt and token, and `prompts`, a row per record of the source.

Their columns are described here, in the files themselves (the description of each field) and in docs/runs.md.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

RUN_VERSION = 1
"""Version of the folder's layout and of the columns."""
MOST = 10_000
"""Most layers, loops or experts of a model that a manifest may name."""
PROMPT_COLUMNS: dict[str, tuple[pa.DataType, str]] = {
    "prompt": (pa.int64(), "Number of the record in the run, from 0."),
    "prompt_id": (pa.string(), "Its name: its id, or its place in the file."),
    "source": (pa.string(), "The file or dataset that it came from."),
    "text": (pa.string(), "The text that was traced; null where the record could not be used."),
    "tokens": (pa.int32(), "Tokens of the text; 0 where the record could not be used."),
    "problem": (pa.string(), "Why the record could not be used, in a sentence; null where it was traced."),
}
"""Column -> type and meaning. The other columns of the reader's files, such as a category, stand beside these."""


@dataclass(frozen=True)
class Sizes:
    """What the rows of a run have room for."""

    num_layers: int
    max_loops: int
    num_experts: int
    k: int
    """Experts that a token is routed to."""
    parts: tuple[str, ...] = ("depth", "gate", "width")
    """What the model decides (`RoutingTrace.parts`), in the order of the alphabet; the columns of the others are
    null."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"parts": list(self.parts)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Sizes":
        """Raises TypeError for what are no sizes of a model."""
        found = cls(**(data | {"parts": tuple(data["parts"])}))
        numbers = found.num_layers, found.max_loops, found.num_experts, found.k
        if not all(type(each) is int and 0 <= each <= MOST for each in numbers) or found.num_layers < 1:
            raise TypeError("these are no sizes of a model")
        if not set(found.parts) <= set(cls.parts):
            raise TypeError("these are no parts of a model")
        return found


def token_columns(sizes: Sizes) -> dict[str, tuple[pa.DataType, str]]:
    """Column of `tokens` -> type and meaning. Lists have one entry per layer, or per layer and chosen expert."""
    layers, chosen = sizes.num_layers, sizes.num_layers * sizes.k
    return {
        "prompt": (pa.int64(), "Number of the prompt in the run, from 0."),
        "token": (pa.int32(), "Position of the token in the prompt, from 0."),
        "token_id": (pa.int32(), "Id of the token in the tokenizer's vocabulary."),
        "text": (pa.string(), "Display string of the token, with white space and lone bytes made visible."),
        "special": (pa.bool_(), "True for a token that the tokenizer added; averages leave it out."),
        "logprob": (pa.float32(), "Log probability of the token given those before it, in nats; null for the first."),
        "loops": (_list(pa.uint8(), layers), "By layer: passes through the FFN that ran, from 1."),
        "gate": (_list(pa.float32(), layers), "By layer: λ, the weight of the width path, 0 to 1."),
        "experts": (
            _list(pa.uint8() if sizes.num_experts <= 256 else pa.uint16(), chosen),
            f"By layer, {sizes.k} after each other, best first: experts that ran, from 0; null for one that did not.",
        ),
        "weights": (_list(pa.float32(), chosen), "The weights of `experts`, in the same order."),
        "difficulty": (
            _list(pa.float32(), layers),
            "By layer: soft difficulty, (E[L] − 1) / (max loops − 1), 0 to 1.",
        ),
    }


def token_schema(sizes: Sizes) -> pa.Schema:
    """The Arrow schema of `tokens`."""
    return _schema(token_columns(sizes))


def prompt_schema(others: tuple[str, ...] = ()) -> pa.Schema:
    """The Arrow schema of `prompts`, with columns of the reader's files, which hold text."""
    told = {name: (pa.string(), "A column of the reader's file.") for name in others}
    return _schema(PROMPT_COLUMNS | told)


def lists(values: np.ndarray, kind: pa.DataType, there: np.ndarray | None = None) -> pa.Array:
    """A column of lists from `values` [token, entry]; entries are null where `there` is false."""
    flat = pa.array(
        np.ascontiguousarray(values).ravel(), kind.value_type, mask=None if there is None else ~there.ravel()
    )
    return pa.FixedSizeListArray.from_arrays(flat, type=kind)


def entries(column: pa.ChunkedArray, each: int, kind: pa.DataType, missing: float) -> np.ndarray:
    """A column of lists of `each` entries as [token, entry], with `missing` in the place of null."""
    flat = column.combine_chunks().flatten() if len(column) else pa.array([], column.type.value_type)
    return flat.cast(kind).fill_null(missing).to_numpy(zero_copy_only=False).reshape(-1, each)


def expert_at(layer: int, rank: int, sizes: Sizes) -> str:
    """The expert of a rank in a layer, from a row of `tokens` in SQL; null where none ran."""
    return f"experts[{layer * sizes.k + rank + 1}]"


def parquet_options(sizes: Sizes) -> dict[str, Any]:
    """Arguments of `pyarrow.parquet.ParquetWriter` for `tokens`: dictionaries for what repeats, floats split by byte.

    Split floats compress better, since most of the sign and exponent is the same for all tokens.
    """
    floats = ["logprob", "weights.list.element", "difficulty.list.element"]
    repeated = ["token_id", "text", "loops.list.element", "gate.list.element", "experts.list.element"]
    return {
        "compression": "zstd",
        "use_dictionary": repeated,
        "column_encoding": dict.fromkeys(floats, "BYTE_STREAM_SPLIT")
        | dict.fromkeys(("prompt", "token"), "DELTA_BINARY_PACKED"),
    }


def _list(kind: pa.DataType, entries: int) -> pa.DataType:
    return pa.list_(pa.field("element", kind), entries)


def _schema(columns: dict[str, tuple[pa.DataType, str]]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, metadata={"description": told}) for name, (kind, told) in columns.items()])


__all__ = [
    "PROMPT_COLUMNS",
    "RUN_VERSION",
    "Sizes",
    "entries",
    "expert_at",
    "lists",
    "parquet_options",
    "prompt_schema",
    "token_columns",
    "token_schema",
]
