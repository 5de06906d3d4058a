"""The routing table: one row per prompt x layer x token of any number of traces, as a frame and as Parquet.

Its columns are described here, in the file itself (the description of each field) and in docs/data.md.
"""

import io
import json
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from hooks.interventions import in_words
from hooks.token_text import token_text
from hooks.trace import RoutingTrace

ROUTING_VERSION = 2
"""Of the table's columns; version 1 had neither this number nor prompt_id, model, token_id, raw_text and special."""
COLUMNS: dict[str, tuple[pa.DataType, str]] = {
    "prompt": (pa.int64(), "Number of the prompt in this run, from 0; the trace file is NNNN.trace.safetensors."),
    "prompt_id": (
        pa.large_string(),
        "Name of the prompt: its id, its place in the file, or its first words; null if it was given none.",
    ),
    "model": (pa.large_string(), "Name of the model."),
    "layer": (pa.int64(), "Decoder layer, from 0."),
    "token": (pa.int64(), "Position of the token in the prompt, from 0."),
    "token_id": (pa.int64(), "Id of the token in the tokenizer's vocabulary."),
    "text": (pa.large_string(), "Display string of the token, with white space and lone bytes made visible."),
    "raw_text": (pa.large_string(), "Text of the token itself; null where its bytes are not whole characters."),
    "special": (pa.bool_(), "True for a token that the tokenizer added; averages leave it out."),
    "loops": (pa.int64(), "Passes through the FFN that ran, from 1."),
    "gate": (pa.float32(), "λ, the weight of the width path, 0 to 1; null for a model without λ."),
    "width_ran": (pa.bool_(), "Whether the width path ran, so that the token was routed to experts."),
    "expert_ids": (
        pa.list_(pa.field("element", pa.int64())),
        "Experts that ran, from 0, best first; null where the width path did not run.",
    ),
    "expert_weights": (
        pa.list_(pa.field("element", pa.float64())),
        "Their weights, in the same order; null where it did not run.",
    ),
    "difficulty_hard": (pa.float64(), "(loops − 1) / (max loops − 1), 0 to 1; null for a model that chooses no loops."),
    "difficulty_soft": (pa.float32(), "The same with the loops that the depth head expected."),
    "logprob": (pa.float32(), "Log probability of the token given those before it, in nats; null for the first."),
}
"""Column -> type and meaning. They are the same even for a trace in which no token routed."""
ROUTING_SCHEMA = pa.schema(
    [pa.field(name, kind, metadata={"description": told}) for name, (kind, told) in COLUMNS.items()]
)
METADATA = {
    "routing_version": "Version of these columns.",
    "models": "List of the models: name, SHA-256 of the weights, whether they were changed since, whether the gates "
    "were trained, whether the text is token ids, number of parameters, number format, configuration, versions of the "
    "libraries, and for other families which it is, what the model decides, and notes.",
    "interventions": "Prompt -> its interventions, in words.",
    "generated": "Prompt -> the first token that the model wrote.",
    "windows": "Prompt -> how a text longer than the trained context was read.",
    "chat": "List of the prompts that were read as a user's message in the model's chat template.",
}
"""Key of the Parquet file's metadata -> meaning of its JSON value. The last four only if a prompt has such."""
PROVENANCE = (
    *("model", "weights_sha256", "weights_changed", "gates_trained", "reads_ids", "parameters", "dtype", "config"),
    *("versions", "family", "parts", "notes"),
)
"""Entries of a trace's `meta` that "models" holds."""
ROWS_PER_GROUP = 2**16


def trace_table(trace: RoutingTrace, prompt: int = 0) -> pd.DataFrame:
    """The rows of one trace, layer x token, layers outermost. Experts are null where the token did not route."""
    token = np.tile(np.arange(trace.num_tokens), trace.num_layers)
    more = {
        "prompt": prompt,
        "prompt_id": trace.meta.get("prompt_id"),
        "model": trace.meta.get("model"),
        "token_id": trace.token_ids[token],
        "raw_text": np.array([token_text(each) for each in trace.tokens], dtype=object)[token],
    }
    return trace.to_frame().assign(**more)[ROUTING_SCHEMA.names]


def write_routing(sink: BinaryIO, traces: Iterable[RoutingTrace]) -> None:
    """The routing table as Parquet: the `trace_table` of every trace, and METADATA.

    Traces are consumed one by one and written in row groups of at least ROWS_PER_GROUP rows: memory does not grow with
    their number.
    """
    with ParquetWriter(sink, ROUTING_SCHEMA) as writer:
        group: list[pd.DataFrame] = []
        about = _About()
        for index, trace in enumerate(traces):
            about.add(index, trace)
            group.append(trace_table(trace, index))
            if sum(map(len, group)) >= ROWS_PER_GROUP:
                writer.write_table(_routing_rows(group))
                group.clear()
        if group:
            writer.write_table(_routing_rows(group))
        writer.add_key_value_metadata(about.metadata())


def trace_parquet(traces: Iterable[RoutingTrace]) -> bytes:
    """The table of `write_routing` as bytes."""
    buffer = io.BytesIO()
    write_routing(buffer, traces)
    return buffer.getvalue()


class _About:
    """What METADATA says of the traces so far; it keeps none of them."""

    def __init__(self) -> None:
        self.models: list[dict[str, Any]] = []
        self.of_prompts: dict[str, dict[int, Any]] = {"interventions": {}, "generated": {}, "windows": {}}
        self.chat: list[int] = []

    def add(self, prompt: int, trace: RoutingTrace) -> None:
        model = {name: trace.meta[name] for name in PROVENANCE if name in trace.meta}
        if model not in self.models:
            self.models.append(model)
        if trace.interventions:
            self.of_prompts["interventions"][prompt] = in_words(trace.interventions)
        if trace.first_generated < trace.num_tokens:
            self.of_prompts["generated"][prompt] = trace.first_generated
        if windows := trace.meta.get("windows"):
            self.of_prompts["windows"][prompt] = windows
        if trace.meta.get("chat"):
            self.chat.append(prompt)

    def metadata(self) -> dict[str, str]:
        values = {"routing_version": ROUTING_VERSION, "models": self.models}
        values |= {name: told for name, told in (*self.of_prompts.items(), ("chat", self.chat)) if told}
        return {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}


def _routing_rows(group: list[pd.DataFrame]) -> pa.Table:
    return pa.Table.from_pandas(pd.concat(group), ROUTING_SCHEMA, preserve_index=False)


__all__ = ["COLUMNS", "METADATA", "ROUTING_SCHEMA", "ROUTING_VERSION", "trace_parquet", "trace_table", "write_routing"]
