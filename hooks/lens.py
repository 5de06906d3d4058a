"""Recursion lens: the logit lens on every recursion state of one token, and the prediction had the token left there."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from hooks.lens_trace import EXIT, OUTPUT, STATE, LensTrace
from hooks.passes import to_numpy
from hooks.path_trace import PathTrace
from hooks.rerun import Check, OwnPass, own_pass, rerun_streams
from hooks.token_text import display_tokens
from hooks.trace import RoutingTrace
from sample_models.loading import LoadedModel
from sample_models.taps import HOOK_NAMES

TOP = 5
CACHED = 2**19
"""Most logits that are summarised at a time: so many stay in a core's cache, which makes a large vocabulary faster."""
BLOCK = 256
"""Tokens of a block of the vocabulary."""


@torch.inference_mode()
def recursion_lens(
    loaded: LoadedModel,
    paths: PathTrace,
    token: int,
    target: int,
    *,
    exits: Sequence[int] | None = None,
    own: OwnPass | None = None,
    check: Check = lambda: None,
) -> LensTrace:
    """Read the states, exits and outputs of the captured layers at a captured token, with `target`'s rank in each.

    `exits` are the layers whose exits are read (None: all that were captured). They take most of the time.

    States and outputs are read from `paths`, without running a layer. `own` is the model's plain pass (run here if not
    given). It gives the model's own prediction, which is also that of the exit that the token took. For every other
    exit the token is rerun on the plain pass's keys and values of the tokens before it (see `hooks.rerun`). `check` is
    called before each layer of that, and an exception that it raises ends the work.

    Raises ValueError if the token or a layer was not captured or the target lies outside the vocabulary.
    """
    model, trace, index = loaded.model, paths.routing, paths.index(token)
    if not 0 <= target < loaded.config.vocab_size:
        raise ValueError(f"token ids must be 0..{loaded.config.vocab_size - 1}, got {target}")
    layers, ran = paths.layers, trace.loops[paths.layers, token]
    leaving = layers if exits is None else np.array(sorted(set(exits)), dtype=layers.dtype)
    if missing := set(leaving.tolist()) - set(layers.tolist()):
        raise ValueError(f"layer {min(missing)} was not captured, so its exits cannot be read")
    loops = np.arange(trace.max_loops + 1)
    own = own or own_pass(loaded, trace, token)
    truth = own.logits[token - own.first].float()
    left = trace.loops[leaving, token, None] == loops[1:]  # the exits that the token took
    states, outputs = (
        torch.tensor(part[:, index], dtype=model.dtype, device=model.device)
        for part in (paths.states, paths.resid_post)
    )
    streams = [states.flatten(0, 1), outputs, *_other_exits(loaded, trace, token, own, leaving, left, check)]
    logits = model.lm_head(model.model.norm(torch.cat(streams))).float()  # all in one go, which is fastest
    parts = [summary_of_logits(each, truth, target) for each in (truth[None], logits)]
    # The plain pass is place 0 of these summaries, and the rerun without edits comes before the other exits.
    unedited = 1 + states[..., 0].numel() + len(outputs)
    at = np.where(left, 0, unedited + np.cumsum(~left).reshape(left.shape))
    places = np.concatenate([1 + np.arange(len(streams[0])), at.ravel(), np.arange(unedited - len(layers), unedited)])
    summed = [np.concatenate(column)[places] for column in zip(*parts, strict=True)]
    kinds = [STATE] * len(layers) * len(loops) + [EXIT] * left.size + [OUTPUT] * len(layers)
    used = np.concatenate([(loops <= ran[:, None]).ravel(), left.ravel(), ran > 0])
    return lens_trace(
        loaded,
        trace,
        token,
        target,
        summed,
        kind=np.array(kinds),
        layer=np.concatenate([np.repeat(layers, len(loops)), np.repeat(leaving, len(loops) - 1), layers]),
        loop=np.concatenate([np.tile(loops, len(layers)), np.tile(loops[1:], len(leaving)), ran]),
        used=used,
        rounding=float((logits[unedited - 1] - truth).abs().max()),
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


def _other_exits(
    loaded: LoadedModel,
    trace: RoutingTrace,
    token: int,
    own: OwnPass,
    layers: np.ndarray,
    left: np.ndarray,
    check: Check,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Last streams of a token that is rerun alone, [1, hidden] without edits and [exit, hidden] leaving elsewhere.

    `left` [layer, loop] says which exits it took: these are the plain pass itself.
    """
    others = [
        {HOOK_NAMES["loop_choice"].format(layers[row]): _leave_after(1 + column)} for row, column in np.argwhere(~left)
    ]
    again = rerun_streams(loaded, trace, token, [{}, *others], past=own.past, check=check)
    return again[:1], again[1:]


def _leave_after(loop: int):
    return lambda choice, hook: torch.full_like(choice, int(loop) - 1)  # a choice counts from 0


def summary_of_logits(logits: torch.Tensor, own: torch.Tensor, target: int) -> tuple[np.ndarray, ...]:
    """(top ids, their probabilities, rank and probability of the target, entropy, KL from `own`) of [read, vocab]."""
    truth = own.log_softmax(dim=-1)
    shares, parts = truth.exp(), []
    for rows in logits.split(max(CACHED // logits.shape[-1], 1)):
        log_probs = rows.log_softmax(dim=-1)
        probs = log_probs.exp()
        top = _top(probs)
        rank = (rows > rows[:, target, None]).sum(dim=-1) + 1
        entropy = -(probs * log_probs).sum(dim=-1)
        kl = (truth - log_probs).mul_(shares).sum(dim=-1).clamp_min(0)
        parts.append([to_numpy(tensor) for tensor in (*top, rank, probs[:, target], entropy, kl)])
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _top(probs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids, probabilities) of the `TOP` likeliest tokens, best first, [read, top] of probabilities [read, vocab].

    Only the blocks of the vocabulary with the largest maxima are sorted: a fifth of the time of `topk` over all of it.
    """
    count = min(TOP, probs.shape[-1])
    blocks = F.pad(probs, (0, -probs.shape[-1] % BLOCK), value=-1).unflatten(-1, (-1, BLOCK))  # [read, block, token]
    best = blocks.amax(dim=-1).topk(min(count, blocks.shape[-2]), dim=-1).indices
    top = blocks.take_along_dim(best[..., None], dim=-2).flatten(-2).topk(count, dim=-1)
    return best.take_along_dim(top.indices // BLOCK, dim=-1) * BLOCK + top.indices % BLOCK, top.values


__all__ = ["lens_trace", "recursion_lens", "summary_of_logits"]
