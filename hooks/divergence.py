"""Divergence: how different the predictions of two passes over one text are, without keeping their distributions."""

import numpy as np
import torch
from jaxtyping import Float

from hooks.hook_points import instrument
from hooks.passes import run_windows, to_numpy
from hooks.reading import refuse_other_model
from hooks.replay import replayed
from hooks.trace import RoutingTrace
from sample_models.loading import LoadedModel

LOGITS = 2**19
"""Most logits of one pass that are in memory at a time: so many stay in a core's cache."""


def next_token_kl(loaded: LoadedModel, before: RoutingTrace, after: RoutingTrace) -> Float[np.ndarray, " token"]:
    """KL(before || after) of the next-token distributions after each token of one traced text, nats.

    Each trace is run again as it was made, with its interventions and its own decisions; only the last stream is kept,
    and a few tokens at a time are read from it. Safe to call from several threads.

    Raises ValueError for traces of another model or of different texts.
    """
    if not np.array_equal(before.token_ids, after.token_ids):
        raise ValueError("the two traces must be of the same text: trace one text twice")
    return stream_kl(loaded, last_stream(loaded, before), last_stream(loaded, after))


@torch.inference_mode()
def last_stream(loaded: LoadedModel, trace: RoutingTrace) -> Float[np.ndarray, "token hidden"]:
    """The residual stream after the last layer, in a pass that repeats a trace. ValueError if another model made it."""
    refuse_other_model(loaded, trace)
    instrument(loaded.model)
    name = f"blocks.{trace.num_layers - 1}.hook_resid_post"
    recorded = run_windows(
        loaded.model.model,  # without the unembedding, which would make the logits of all tokens at once
        trace.token_ids.tolist(),
        trace.windows,
        [name],
        edits=lambda window: replayed(loaded, trace, window),
    )
    return recorded[name]


@torch.inference_mode()
def stream_kl(
    loaded: LoadedModel, before: Float[np.ndarray, "token hidden"], after: Float[np.ndarray, "token hidden"]
) -> Float[np.ndarray, " token"]:
    """KL(before || after) of the next-token distributions that the model reads from two streams, nats."""
    model, parts = loaded.model, []

    def log_probs(stream: np.ndarray) -> torch.Tensor:
        rows = torch.tensor(stream, dtype=model.dtype, device=model.device)
        return loaded.unembed(rows).float().log_softmax(dim=-1)

    rows = max(LOGITS // loaded.config.vocab_size, 1)
    for first in range(0, len(before), rows):
        p, q = (log_probs(stream[first : first + rows]) for stream in (before, after))
        parts.append(to_numpy(torch.einsum("tv,tv->t", p.exp(), p - q).clamp_min(0)))
    return np.concatenate(parts)


__all__ = ["last_stream", "next_token_kl", "stream_kl"]
