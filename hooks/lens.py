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
    loaded: LoadedModel, paths: PathTrace, token: int, target: int, *, own: OwnPass | None = None
) -> LensTrace:
    """Read the states, exits and outputs of the captured layers at a captured token, with `target`'s rank in each.

    These are the readings of `state_lens` and of `lens_with_exits`. `own` is the model's plain pass (run here if not
    given).

    Raises ValueError if the token was not captured or the target lies outside the vocabulary.
    """
    own = own or own_pass(loaded, paths.routing, token)
    return lens_with_exits(loaded, state_lens(loaded, paths, token, target, own=own), own=own)


@torch.inference_mode()
def state_lens(
    loaded: LoadedModel, paths: PathTrace, token: int, target: int, *, own: OwnPass | None = None
) -> LensTrace:
    """A LensTrace without exits: the states and outputs are read from `paths`, and no layer runs for them.

    `own` is the model's plain pass (run here if not given), which gives the model's own prediction.

    Raises ValueError if the token was not captured or the target lies outside the vocabulary.
    """
    trace, index = paths.routing, paths.index(token)
    if not 0 <= target < loaded.config.vocab_size:
        raise ValueError(f"token ids must be 0..{loaded.config.vocab_size - 1}, got {target}")
    layers, loops, ran = paths.layers, np.arange(trace.max_loops + 1), trace.loops[paths.layers, token]
    own = own or own_pass(loaded, trace, token)
    states, outputs = (
        torch.tensor(part[:, index], dtype=loaded.model.dtype, device=loaded.model.device)
        for part in (paths.states, paths.resid_post)
    )
    logits = _unembedded(loaded, torch.cat([states.flatten(0, 1), outputs]))
    return lens_trace(
        loaded,
        trace,
        token,
        target,
        summary_of_logits(logits, own.logits[token - own.first].float(), target),
        kind=np.repeat([STATE, OUTPUT], [len(layers) * len(loops), len(layers)]),
        layer=np.concatenate([np.repeat(layers, len(loops)), layers]),
        loop=np.concatenate([np.tile(loops, len(layers)), ran]),
        used=np.concatenate([(loops <= ran[:, None]).ravel(), ran > 0]),
        rounding=float("nan"),
    )


@torch.inference_mode()
def lens_with_exits(
    loaded: LoadedModel, lens: LensTrace, *, own: OwnPass | None = None, check: Check = lambda: None
) -> LensTrace:
    """The readings of a `state_lens` and, between its states and its outputs, those of the exits in its layers.

    The exit that the token took is the model's own prediction in its plain pass `own` (run here if not given). For
    every other exit the token is rerun on that pass's keys and values of the tokens before it (see `hooks.rerun`).
    `check` is called before each layer of that.
    """
    trace, token, layers = lens.routing, lens.token, lens.layer[lens.of(OUTPUT)]
    loops = np.arange(1, trace.max_loops + 1)
    own = own or own_pass(loaded, trace, token)
    truth = own.logits[token - own.first].float()
    left = trace.loops[layers, token][:, None] == loops  # the exits that the token took
    logits = _unembedded(loaded, _other_exits(loaded, trace, token, own, layers, left, check))
    parts = [summary_of_logits(each, truth, lens.target_id) for each in (truth[None], logits[1:])]
    places = np.where(left, 0, np.cumsum(~left).reshape(left.shape)).ravel()  # the plain pass is place 0
    exits = lens_trace(
        loaded,
        trace,
        token,
        lens.target_id,
        [np.concatenate(column)[places] for column in zip(*parts, strict=True)],
        kind=np.full(left.size, EXIT),
        layer=np.repeat(layers, len(loops)),
        loop=np.tile(loops, len(layers)),
        used=left.ravel(),
        rounding=float((logits[0] - truth).abs().max()),
    )
    return lens.with_others(exits, before=len(lens.of(STATE)))


def _unembedded(loaded: LoadedModel, streams: torch.Tensor) -> torch.Tensor:
    """Logits [read, vocab] of streams [read, hidden], all in one go, which is fastest."""
    return loaded.model.lm_head(loaded.model.model.norm(streams)).float()


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
) -> torch.Tensor:
    """Last streams [1 + exit, hidden] of a token that is rerun alone: first without edits, then leaving elsewhere.

    `left` [layer, loop] says which exits it took: these are the plain pass itself.
    """
    others = [
        {HOOK_NAMES["loop_choice"].format(layers[row]): _leave_after(1 + column)} for row, column in np.argwhere(~left)
    ]
    return rerun_streams(loaded, trace, token, [{}, *others], past=own.past, check=check)


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


__all__ = ["lens_trace", "lens_with_exits", "recursion_lens", "state_lens", "summary_of_logits"]
