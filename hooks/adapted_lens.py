"""The logit lens on the stream before and after every layer of a model of another family, at one token."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from transformers import PreTrainedConfig

from hooks.hook_points import instrument
from hooks.lens import lens_trace, summary_of_logits
from hooks.lens_trace import OUTPUT, STATE, LensTrace
from hooks.passes import run_rows
from hooks.reading import refuse_other_model
from hooks.replay import replayed
from hooks.trace import RoutingTrace
from sample_models.adapter_streams import AFTER, BEFORE
from sample_models.loading import LoadedModel
from sample_models.taps import edited


@dataclass(frozen=True)
class StreamPass:
    """The streams and logits of a window, of its tokens from `first` on. Read only; several threads may share one."""

    first: int
    """Position in the text."""
    streams: Float[torch.Tensor, "read token hidden"]
    """Before every layer, and then after every layer."""
    logits: Float[torch.Tensor, "token vocab"]


def stream_pass_bytes(config: PreTrainedConfig, layers: int, tokens: int) -> int:
    """Bytes of the `StreamPass` of this many tokens in float32."""
    return 4 * tokens * (2 * layers * config.hidden_size + config.vocab_size)


@torch.inference_mode()
def stream_pass(
    loaded: LoadedModel, trace: RoutingTrace, token: int, *, tokens: tuple[int, int] | None = None
) -> StreamPass:
    """Run the window that owns `token` once more, with the decisions of the trace, and keep the streams of its tokens.

    `tokens` are the first of those kept and the end, as positions in the text: by default all of the window.

    Raises ValueError for a trace of another model, or if a pass does not run every layer of the trace once.
    """
    refuse_other_model(loaded, trace)
    if trace.num_layers != len(loaded.model.model.layers):
        raise ValueError(f"{loaded.name} runs its layers more than once, so there is no stream after one of them")
    instrument(loaded.model)
    window = trace.window_of(token)
    first, end = tokens or (window.first, window.end)
    part = slice(first - window.first, end - window.first)
    names = [pattern.format(layer) for pattern in (BEFORE, AFTER) for layer in range(trace.num_layers)]
    with edited(replayed(loaded, trace, window)):
        ids = trace.token_ids[window.first : window.end].tolist()
        output, seen = run_rows(loaded.model, [ids], names, lambda name, stream: stream[0, part].clone())
    return StreamPass(first, torch.stack([seen[name] for name in names]), output.logits[0, part].clone())


@torch.inference_mode()
def stream_lens(
    loaded: LoadedModel, trace: RoutingTrace, token: int, target: int, *, own: StreamPass | None = None
) -> LensTrace:
    """A LensTrace of the streams alone: STATE is the stream before a layer, OUTPUT the one after it.

    `own` is the `stream_pass` of the token's window; the model runs here if it is not given. `rounding` is the largest
    difference between the logits that the lens reads after the last layer and the model's own.

    Raises ValueError as `stream_pass` does, or for a target outside the vocabulary.
    """
    layers = np.arange(trace.num_layers)
    if not 0 <= target < loaded.config.vocab_size:
        raise ValueError(f"token ids must be 0..{loaded.config.vocab_size - 1}, got {target}")
    own = own or stream_pass(loaded, trace, token, tokens=(token, token + 1))
    truth = own.logits[token - own.first].float()
    logits = loaded.unembed(own.streams[:, token - own.first]).float()
    return lens_trace(
        loaded,
        trace,
        token,
        target,
        summary_of_logits(logits, truth, target),
        kind=np.repeat([STATE, OUTPUT], len(layers)),
        layer=np.tile(layers, 2),
        loop=np.repeat([0, 1], len(layers)),
        used=np.ones(2 * len(layers), dtype=bool),
        rounding=float((logits[-1] - truth).abs().max()),
    )


__all__ = ["StreamPass", "stream_lens", "stream_pass", "stream_pass_bytes"]
