"""The logit lens on the stream before and after every layer of a model of another family, at one token."""

import numpy as np
import torch

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


@torch.inference_mode()
def stream_lens(loaded: LoadedModel, trace: RoutingTrace, token: int, target: int) -> LensTrace:
    """A LensTrace of the streams alone: STATE is the stream before a layer, OUTPUT the one after it.

    The model runs once more, with the decisions of the trace. `rounding` is the largest difference between the logits
    that the lens reads after the last layer and the model's own.

    Raises ValueError for a trace of another model, if a pass does not run every layer of the trace once, or for a
    target outside the vocabulary.
    """
    refuse_other_model(loaded, trace)
    layers = np.arange(trace.num_layers)
    if trace.num_layers != len(loaded.model.model.layers):
        raise ValueError(f"{loaded.name} runs its layers more than once, so there is no stream after one of them")
    if not 0 <= target < loaded.config.vocab_size:
        raise ValueError(f"token ids must be 0..{loaded.config.vocab_size - 1}, got {target}")
    instrument(loaded.model)
    window = trace.window_of(token)
    names = [pattern.format(layer) for pattern in (BEFORE, AFTER) for layer in layers]
    at = token - window.first
    with edited(replayed(loaded, trace, window)):
        ids = trace.token_ids[window.first : window.end].tolist()
        output, seen = run_rows(loaded.model, [ids], names, lambda name, stream: stream[0, at].clone())
    truth = output.logits[0, at].float()
    logits = loaded.unembed(torch.stack([seen[name] for name in names])).float()
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


__all__ = ["stream_lens"]
