"""Rows of a run's table `tokens`, from arrays, from traces, or from the tokens of many texts at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from scipy.special import softmax

from analysis.runs.schema import Sizes, lists, token_schema
from hooks.trace import RoutingTrace

if TYPE_CHECKING:
    from hooks.routing_rows import TokenRows


@dataclass(frozen=True, eq=False)
class Rows:
    """Tokens of several prompts after each other, as they stand in the table."""

    table: pa.Table
    """As `token_schema` has it."""
    router_probs: np.ndarray
    """[layer, expert]: the router's probabilities (a softmax over all experts), summed over ordinary tokens in float64.
    The load balance loss needs them, and they are too many to be kept for each token."""


def rows_of_arrays(
    sizes: Sizes,
    *,
    prompt: np.ndarray,
    token: np.ndarray,
    token_id: np.ndarray,
    text: Sequence[str] | pa.Array,
    special: np.ndarray,
    logprob: np.ndarray,
    loops: np.ndarray,
    gate: np.ndarray,
    expert_ids: np.ndarray,
    expert_weights: np.ndarray,
    expert_ran: np.ndarray,
    difficulty: np.ndarray,
) -> pa.Table:
    """The table from arrays [token], [token, layer] and, for the experts, [token, layer, k].

    A `logprob` that is not a number becomes null, as do experts that did not run and what the model does not decide.
    """
    schema = token_schema(sizes)

    def column(name: str, values: np.ndarray, there: np.ndarray | None = None) -> pa.Array:
        return lists(values.reshape(len(values), -1), schema.field(name).type, there)

    def decided(part: str, values: np.ndarray) -> np.ndarray | None:
        return None if part in sizes.parts else np.zeros(values.shape, bool)

    ran = expert_ran if "width" in sizes.parts else np.zeros(expert_ran.shape, bool)
    return pa.table(
        {
            "prompt": pa.array(prompt, pa.int64()),
            "token": pa.array(token, pa.int32()),
            "token_id": pa.array(token_id, pa.int32()),
            "text": pa.array(text, pa.string()),
            "special": pa.array(special, pa.bool_()),
            "logprob": pa.array(logprob, pa.float32(), mask=np.isnan(logprob)),
            "loops": column("loops", loops),
            "gate": column("gate", gate, decided("gate", gate)),
            "experts": column("experts", expert_ids, ran),
            "weights": column("weights", expert_weights, ran),
            "difficulty": column("difficulty", difficulty, decided("depth", difficulty)),
        },
        schema=schema,
    )


def rows_of_traces(sizes: Sizes, traces: Sequence[tuple[int, RoutingTrace]]) -> Rows:
    """The rows of traces, each with the number of its prompt. Raises ValueError if one does not fit the sizes."""
    for _, trace in traces:
        if sizes_of(trace) != sizes:
            raise ValueError(f"a trace of {sizes_of(trace)} does not fit a run of {sizes}")
    probs = np.zeros((sizes.num_layers, sizes.num_experts))
    tables = []
    for prompt, trace in traces:
        probs += softmax(trace.expert_logits[:, ~trace.special].astype(np.float64), axis=-1).sum(axis=1)
        count = trace.num_tokens
        tables.append(
            rows_of_arrays(
                sizes,
                prompt=np.full(count, prompt),
                token=np.arange(count),
                token_id=trace.token_ids,
                text=trace.tokens,
                special=trace.special,
                logprob=trace.logprob,
                loops=trace.loops.T,
                gate=trace.gate.T,
                expert_ids=trace.expert_ids.swapaxes(0, 1),
                expert_weights=trace.expert_weights.swapaxes(0, 1),
                expert_ran=trace.expert_ran.swapaxes(0, 1),
                difficulty=trace.difficulty_soft.T.astype(np.float32),
            )
        )
    return Rows(pa.concat_tables(tables) if tables else token_schema(sizes).empty_table(), probs)


def rows_of_tokens(
    sizes: Sizes, found: "TokenRows", numbers: np.ndarray, display: Callable[[list[int]], list[str]]
) -> Rows:
    """The rows of many texts, of which text i is the prompt `numbers[i]`; `display` gives the display strings of ids.

    Raises ValueError if they do not fit the sizes.
    """
    given = (*found.loops.shape[1:], found.router_probs.shape[1], found.expert_ids.shape[2])
    if given != (sizes.num_layers, sizes.num_experts, sizes.k):
        raise ValueError(f"rows of {given} layers, experts and experts of a token do not fit a run of {sizes}")
    ids, places = np.unique(found.token_id, return_inverse=True)  # each string is made once
    table = rows_of_arrays(
        sizes,
        prompt=numbers[found.text],
        token=found.token,
        token_id=found.token_id,
        text=pa.array(display(ids.tolist()), pa.string()).take(pa.array(places)),
        special=found.special,
        logprob=found.logprob,
        loops=found.loops,
        gate=found.gate,
        expert_ids=found.expert_ids,
        expert_weights=found.expert_weights,
        expert_ran=found.expert_ran,
        difficulty=found.difficulty,
    )
    return Rows(table, found.router_probs)


def sizes_of(trace: RoutingTrace) -> Sizes:
    """The sizes of a run that has room for a trace."""
    sizes = (trace.num_layers, trace.max_loops, trace.num_experts, trace.expert_ids.shape[2])
    return Sizes(*sizes, parts=tuple(sorted(trace.parts)))


__all__ = ["Rows", "rows_of_arrays", "rows_of_tokens", "rows_of_traces", "sizes_of"]
