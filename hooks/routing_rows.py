"""TokenRows: the routing of many texts as flat arrays over all their tokens, without a trace for each text.

It holds what the trace of each text would, as far as a run of a whole file keeps it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from beartype import beartype
from jaxtyping import Bool, Float, Integer, jaxtyped
from scipy.special import softmax

from hooks.any_model import as_loaded
from hooks.capturing import batches_of, routing_fields
from hooks.hook_points import edited, instrument
from hooks.intervening import check_for_text, refuse_outside, window_edits
from hooks.passes import run_rows, to_numpy
from hooks.reading import Reading, refuse_untraceable
from hooks.tap_tensors import Names, names_of, routing_of_tokens, tap_names
from hooks.trace_checks import MAX_NUMBER, PARTS
from hooks.windows import Window
from sample_models.intervening import most_experts
from sample_models.intervention import Intervention
from sample_models.loading import LoadedModel

LOGITS = 2**19
"""Most logits that are in memory at a time: so many stay in a core's cache."""


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False)
class TokenRows:
    """What every token of several texts did, text after text. Axes as in `RoutingTrace`, but tokens come first."""

    text: Integer[np.ndarray, " token"]
    """Number of the text among those that were given."""
    token: Integer[np.ndarray, " token"]
    """Position in its text."""
    token_id: Integer[np.ndarray, " token"]
    special: Bool[np.ndarray, " token"]
    logprob: Float[np.ndarray, " token"]
    """NaN for the first token of a text."""
    loops: Integer[np.ndarray, "token layer"]
    gate: Float[np.ndarray, "token layer"]
    expert_ids: Integer[np.ndarray, "token layer k"]
    expert_weights: Float[np.ndarray, "token layer k"]
    expert_ran: Bool[np.ndarray, "token layer k"]
    difficulty: Float[np.ndarray, "token layer"]
    """Soft difficulty."""
    router_probs: Float[np.ndarray, "layer expert"]
    """The router's probabilities, summed over the tokens that are not special."""
    not_finite: tuple[int, ...]
    """Texts of which the model's numbers are not finite, so that they say nothing: they have no rows."""


class _Pass(NamedTuple):
    """What one pass gives: columns over its tokens, and sums over the tokens of each of its rows."""

    columns: dict[str, np.ndarray]
    texts: np.ndarray
    router_probs: np.ndarray
    """[row, layer, expert]"""
    not_finite: frozenset[int]


def token_rows(
    loaded: LoadedModel,
    readings: Sequence[Reading],
    *,
    interventions: Sequence[Intervention] = (),
    between: Callable[[int], None] = lambda tokens: None,
) -> TokenRows:
    """Read texts with a model, those of similar length together; the rows equal those of `capture`.

    `between(tokens)` is called after every pass with the number of tokens that were read; what it raises ends the work.
    Safe to call from several threads. Raises ValueError if an intervention does not fit the model or a text, and for a
    model that cannot be traced.
    """
    loaded = as_loaded(loaded)
    refuse_untraceable(loaded)
    refuse_outside()
    instrument(loaded.model)
    for reading in readings if interventions else ():
        check_for_text(loaded, interventions, len(reading.ids))
    windows = [(text, reading, window) for text, reading in enumerate(readings) for window in reading.windows]
    if not windows:
        raise ValueError("there is no text to read: give at least one")
    names, done, tokens = names_of(loaded.config), [], 0
    for batch in batches_of([window.end - window.first for _, _, window in windows]):
        done.append(_pass(loaded, names, [windows[i] for i in batch], interventions))
        tokens += sum(windows[i][2].end - windows[i][2].own for i in batch)
        between(tokens)
    return _joined(done, loaded.config.num_hidden_layers, loaded.config.num_experts)


def row_sizes(loaded: LoadedModel, interventions: Sequence[Intervention] = ()) -> dict[str, Any]:
    """num_layers, max_loops, num_experts, k and parts of the rows that a model gives under interventions."""
    config, adapted = loaded.config, loaded.adapted
    return {
        "num_layers": config.num_hidden_layers,
        "max_loops": config.max_loops,
        "num_experts": config.num_experts,
        "k": most_experts(config, interventions),
        "parts": tuple(sorted(adapted.parts if adapted else PARTS)),
    }


@torch.inference_mode()
def _pass(
    loaded: LoadedModel,
    names: Names,
    windows: Sequence[tuple[int, Reading, Window]],
    interventions: Sequence[Intervention],
) -> _Pass:
    """One forward pass over windows padded on the right, and the tokens that they own."""
    model = loaded.model if loaded.adapted else loaded.model.model  # ours without the logits of all tokens at once
    rows = [reading.ids[window.first : window.end] for _, reading, window in windows]
    with edited(window_edits(loaded, interventions, [window for _, _, window in windows])):
        output, seen = run_rows(model, rows, tap_names(names))
    row, token = _own_tokens([window for _, _, window in windows])
    first = np.array([window.first for _, _, window in windows])
    at = torch.from_numpy(row * max(map(len, rows)) + token - first[row]).to(loaded.model.device)
    routing = routing_of_tokens(
        loaded.config,
        names,
        {name: tensor.flatten(0, 1)[at][None] for name, tensor in seen.items()},
        0,
        slice(0, len(at)),
    )
    following = [  # of a text's last token it is 0, which is as good as any: `_joined` keeps no log p of it
        [*reading.ids[window.own + 1 : window.end + 1], 0][: window.end - window.own] for _, reading, window in windows
    ]
    logprob_of_next, finite = _of_next(loaded, output, at, _flat(following))
    finite &= _all_finite(routing)
    texts = np.array([text for text, _, _ in windows])
    special = _flat([reading.special[window.own : window.end] for _, reading, window in windows]).astype(bool)
    columns = {
        "text": texts[row],
        "token": token,
        "token_id": _flat([reading.ids[window.own : window.end] for _, reading, window in windows]),
        "special": special,
        "logprob": logprob_of_next,
        **_columns_of(routing, bool(interventions)),
    }
    probs = _probs_of_rows(routing["expert_logits"][:, ~special], row[~special], len(rows))
    return _Pass(columns, texts, probs, frozenset(texts[row[~finite]].tolist()))


def _own_tokens(windows: Sequence[Window]) -> tuple[np.ndarray, np.ndarray]:
    """The row and the position in its text of every token that one of the windows owns, row after row."""
    own = np.array([window.own for window in windows])
    counts = np.array([window.end for window in windows]) - own
    row = np.repeat(np.arange(len(windows)), counts)
    return row, np.arange(len(row)) - (np.cumsum(counts) - counts)[row] + own[row]


def _flat(lists: Sequence[Sequence[int]]) -> np.ndarray:
    return np.fromiter(chain.from_iterable(lists), np.int64, sum(map(len, lists)))


def _of_next(
    loaded: LoadedModel, output: Any, at: torch.Tensor, following: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """log p of the token that follows [token], nats, and whether the token's logits are finite [token]."""
    whole = output.logits if loaded.adapted else output.last_hidden_state
    next_ids, logprobs, finite = torch.from_numpy(following).to(at.device), [], []
    rows = max(LOGITS // loaded.config.vocab_size, 1)
    for here, after in zip(at.split(rows), next_ids.split(rows), strict=True):
        values = whole.flatten(0, 1)[here]
        logits = (values if loaded.adapted else loaded.model.lm_head(values)).float()
        least, most = logits.aminmax()  # over all rows at once: row by row it takes many times as long
        if least >= -MAX_NUMBER and most <= MAX_NUMBER:  # False for NaN
            finite.append(torch.ones_like(here, dtype=torch.bool))
        else:
            finite.append((logits.abs() <= MAX_NUMBER).all(dim=-1))
        logprobs.append(logits.gather(-1, after[:, None]).squeeze(-1) - logits.logsumexp(dim=-1))
    return to_numpy(torch.cat(logprobs)), to_numpy(torch.cat(finite))


def _all_finite(routing: Mapping[str, np.ndarray]) -> np.ndarray:
    """Whether all numbers of a token are finite [token], from arrays [layer, token, ...]."""
    floats = [values for values in routing.values() if values.dtype.kind == "f"]
    fine = [np.abs(values) <= MAX_NUMBER for values in floats]
    return np.all([each.reshape(*each.shape[:2], -1).all(axis=(0, 2)) for each in fine], axis=0)


def _columns_of(routing: Mapping[str, np.ndarray], intervened: bool) -> dict[str, np.ndarray]:
    """The fields of `TokenRows` that hold decisions, from the recorded arrays [layer, token, ...]."""
    fields = routing_fields(routing)
    weights, loops = fields["expert_weights"], np.arange(1, fields["depth_logits"].shape[-1] + 1, dtype=np.float32)
    ran = np.broadcast_to(fields["width_ran"][..., None], weights.shape)
    with np.errstate(invalid="ignore"):  # of numbers that are not finite, which are left out later
        expected = softmax(fields["depth_logits"], axis=-1) @ loops
    found = {
        "loops": fields["loops"].astype(np.uint8),
        "gate": fields["gate"],
        "expert_ids": fields["expert_ids"].astype(np.uint16),
        "expert_weights": weights,
        "expert_ran": ran & (weights > 0) if intervened else ran,
        "difficulty": (expected - 1) / max(len(loops) - 1, 1),
    }
    return {name: np.ascontiguousarray(values.swapaxes(0, 1)) for name, values in found.items()}


def _probs_of_rows(logits: np.ndarray, row: np.ndarray, rows: int) -> np.ndarray:
    """[row, layer, expert]: the router's probabilities, from logits [layer, token, expert], summed over each row."""
    sums = np.zeros((rows, logits.shape[0], logits.shape[2]))
    if len(row):
        with np.errstate(invalid="ignore"):
            probs = softmax(logits.astype(np.float64), axis=-1)
        begins = np.flatnonzero(np.diff(row, prepend=-1))
        sums[row[begins]] = np.add.reduceat(probs, begins, axis=1).swapaxes(0, 1)
    return sums


def _joined(done: Sequence[_Pass], layers: int, experts: int) -> TokenRows:
    """The tokens of all passes in the order of the texts."""
    not_finite = sorted(frozenset().union(*(each.not_finite for each in done)))
    probs = np.zeros((layers, experts))
    for each in done:
        probs += each.router_probs[~np.isin(each.texts, not_finite)].sum(axis=0)
    text, token = (np.concatenate([each.columns[name] for each in done]) for name in ("text", "token"))
    order = np.lexsort((token, text))
    order = order[~np.isin(text[order], not_finite)]
    columns = {}
    for name in list(done[0].columns):  # one after the other: all of them twice are much memory
        columns[name] = np.concatenate([each.columns.pop(name) for each in done])[order]
    logprob = np.roll(columns.pop("logprob"), 1)  # of this token, which is the next one of the token before it
    logprob[columns["token"] == 0] = np.nan
    return TokenRows(**columns, logprob=logprob, router_probs=probs, not_finite=tuple(not_finite))


__all__ = ["TokenRows", "row_sizes", "token_rows"]
