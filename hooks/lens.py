"""Recursion lens: the logit lens on every recursion state of one token, and the prediction had the token left there."""

from collections.abc import Sequence

import numpy as np
import torch

from hooks.lens_trace import EXIT, OUTPUT, STATE, LensTrace
from hooks.passes import to_numpy
from hooks.path_trace import PathTrace
from hooks.rerun import OwnPass, own_pass, rerun_token
from hooks.token_text import display_tokens
from hooks.trace import RoutingTrace
from sample_models.loading import LoadedModel
from sample_models.taps import HOOK_NAMES

TOP = 5
CACHED = 2**19
"""Most logits that are summarised at a time: so many stay in a core's cache, which makes a large vocabulary faster."""


@torch.inference_mode()
def recursion_lens(
    loaded: LoadedModel, paths: PathTrace, token: int, target: int, *, own: OwnPass | None = None
) -> LensTrace:
    """Read the states, exits and outputs of the captured layers at a captured token, with `target`'s rank in each.

    States and outputs are read from `paths`, without running a layer. `own` is the model's plain pass (run here if not
    given). It gives the model's own prediction, which is also that of the exit that the token took. For every other
    exit the token is rerun on the plain pass's keys and values of the tokens before it (see `hooks.rerun`).

    Raises ValueError if the token was not captured or the target lies outside the vocabulary.
    """
    model, trace, index = loaded.model, paths.routing, paths.index(token)
    if not 0 <= target < loaded.config.vocab_size:
        raise ValueError(f"token ids must be 0..{loaded.config.vocab_size - 1}, got {target}")
    layers, ran = paths.layers, trace.loops[paths.layers, token]
    loops = np.arange(trace.max_loops + 1)

    def read(stream: np.ndarray) -> torch.Tensor:
        """Logits [read, vocab] of streams [read, hidden]."""
        tensor = torch.tensor(stream, dtype=model.dtype, device=model.device)
        return model.lm_head(model.model.norm(tensor)).float()

    own = own or own_pass(loaded, trace, token)
    truth = own.logits[token - own.first].float()
    exits, left, rounding = _exits(loaded, trace, token, own, layers, loops[1:])
    parts = [
        summary_of_logits(read(paths.states[:, index].reshape(-1, paths.states.shape[-1])), truth, target),
        summary_of_logits(exits, truth, target),
        summary_of_logits(read(paths.resid_post[:, index]), truth, target),
    ]
    summed = [np.concatenate(column) for column in zip(*parts, strict=True)]
    kinds = [STATE] * len(layers) * len(loops) + [EXIT] * len(layers) * (len(loops) - 1) + [OUTPUT] * len(layers)
    used = np.concatenate([(loops <= ran[:, None]).ravel(), left.ravel(), ran > 0])
    return lens_trace(
        loaded,
        trace,
        token,
        target,
        summed,
        kind=np.array(kinds),
        layer=np.concatenate([np.repeat(layers, len(loops)), np.repeat(layers, len(loops) - 1), layers]),
        loop=np.concatenate([np.tile(loops, len(layers)), np.tile(loops[1:], len(layers)), ran]),
        used=used,
        rounding=rounding,
    )


def lens_trace(
    loaded: LoadedModel, trace: RoutingTrace, token: int, target: int, summed: Sequence[np.ndarray], **readings
) -> LensTrace:
    """A LensTrace of what `summary_of_logits` gave, whose likeliest tokens have their text; `readings` says of what."""
    top_ids, top_probs, rank, probability, entropy, kl = summed
    flat = display_tokens(loaded.tokenizer, [*top_ids.ravel().tolist(), target])
    return LensTrace(
        routing=trace,
        token=token,
        target_id=target,
        target=flat[-1],
        top_ids=top_ids,
        top_tokens=[flat[i : i + top_ids.shape[1]] for i in range(0, top_ids.size, top_ids.shape[1])],
        top_probs=top_probs,
        rank=rank,
        probability=probability,
        entropy=entropy,
        kl=kl,
        **readings,
    )


def _exits(
    loaded: LoadedModel, trace: RoutingTrace, token: int, own: OwnPass, layers: np.ndarray, loops: np.ndarray
) -> tuple[torch.Tensor, np.ndarray, float]:
    """(logits of the exits [layer * loop, vocab], exits that the token took [layer, loop], rounding) of a token.

    The exit that the token took is the plain pass itself. `rounding` is the largest difference of a logit between that
    pass and a rerun of the token alone without edits, which is how the other exits are computed.
    """
    left = trace.loops[layers, token][:, None] == loops
    others = [
        {HOOK_NAMES["loop_choice"].format(layers[row]): _leave_after(loops[column])}
        for row, column in np.argwhere(~left)
    ]
    again = rerun_token(loaded, trace, token, [{}, *others], past=own.past)
    truth = own.logits[token - own.first].float()
    exits = truth.repeat(left.size, 1)
    exits[torch.tensor(~left.ravel())] = again[1:]
    return exits, left, float((again[0] - truth).abs().max())


def _leave_after(loop: int):
    return lambda choice, hook: torch.full_like(choice, int(loop) - 1)  # a choice counts from 0


def summary_of_logits(logits: torch.Tensor, own: torch.Tensor, target: int) -> tuple[np.ndarray, ...]:
    """(top ids, their probabilities, rank and probability of the target, entropy, KL from `own`) of [read, vocab]."""
    truth = own.log_softmax(dim=-1)
    parts = []
    for rows in logits.split(max(CACHED // logits.shape[-1], 1)):
        log_probs = rows.log_softmax(dim=-1)
        probs = log_probs.exp()
        top = probs.topk(min(TOP, probs.shape[-1]), dim=-1)
        rank = (rows > rows[:, target, None]).sum(dim=-1) + 1
        entropy = -torch.einsum("rv,rv->r", probs, log_probs)
        kl = ((truth - log_probs) * truth.exp()).sum(dim=-1).clamp_min(0)
        parts.append([to_numpy(tensor) for tensor in (top.indices, top.values, rank, probs[:, target], entropy, kl)])
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


__all__ = ["lens_trace", "recursion_lens", "summary_of_logits"]
