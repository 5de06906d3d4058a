"""Captures what both paths of chosen layers compute: one more forward pass, routed as a trace says."""

from collections.abc import Sequence

import numpy as np
import torch

from hooks.hook_points import instrument
from hooks.passes import run_windows, to_numpy
from hooks.path_trace import PathTrace
from hooks.replay import replayed, trace_of
from hooks.trace import RoutingTrace
from sample_models.loading import LoadedModel


@torch.inference_mode()
def capture_paths(
    loaded: LoadedModel,
    text: RoutingTrace | str,
    *,
    layers: Sequence[int] | None = None,
    tokens: tuple[int, int] | None = None,
) -> PathTrace:
    """Capture the states and expert outputs of `layers` (default all) for `tokens` (first, last + 1) of a traced text.

    The model runs once more over the windows that hold `tokens`, with the loops, gate, experts and weights of the trace
    (`hooks.replay`), so that the trace and this capture agree on every token. In the captured layers all loops and all
    experts are computed for every token of these windows; those that a token did not choose do not change the layer's
    output, which equals that of a plain pass up to rounding (the same sums in another order). A text without a trace is
    traced first. Size of the result: `path_bytes(loaded.config, layers, tokens)`. Safe to call from several threads.

    Raises ValueError if the trace is of another model, if the text holds no token, if layers or tokens lie outside the
    model or the text, or if the model has no depth head and router.
    """
    trace = trace_of(loaded, text)
    instrument(loaded.model)
    count = trace.num_tokens
    total = loaded.config.num_hidden_layers
    first, end = tokens or (0, count)
    if not 0 <= first < end <= count:
        raise ValueError(f"tokens must be (first, last + 1) within 0..{count}, got ({first}, {end})")
    chosen = sorted(set(range(total) if layers is None else layers))
    if not chosen or chosen[0] < 0 or chosen[-1] >= total:
        raise ValueError(f"layers must be some of 0..{total - 1}, got {chosen}")

    states = ["mlp.hook_in", *(f"mlp.hook_depth_state_{loop}" for loop in range(1, loaded.config.max_loops + 1))]
    before, after = "blocks.0.hook_resid_pre", f"blocks.{total - 1}.hook_resid_post"
    stream = [*states, "mlp.hook_expert_out", "hook_resid_pre", "hook_resid_post"]
    parts = {f"blocks.{layer}.{name}" for layer in chosen for name in stream} | {before, after}

    recorded = run_windows(
        loaded.model,
        trace.token_ids.tolist(),
        trace.windows,
        parts,
        tokens=slice(first, end),
        edits=lambda window: replayed(loaded, trace, window),
    )

    def rows(name: str) -> np.ndarray:
        return np.stack([recorded[f"blocks.{layer}.{name}"] for layer in chosen])

    final, norm = recorded[after], loaded.model.model.norm
    return PathTrace(
        routing=trace,
        layers=np.array(chosen),
        first_token=first,
        states=np.stack([rows(name) for name in states], axis=2),
        expert_out=rows("mlp.hook_expert_out"),
        resid_pre=rows("hook_resid_pre"),
        resid_post=rows("hook_resid_post"),
        embedding=recorded[before],
        resid_final=final,
        norm_scale=(1 / np.sqrt(np.square(final).mean(axis=-1) + norm.variance_epsilon)).astype(np.float32),
        norm_weight=to_numpy(norm.weight),
    )


__all__ = ["capture_paths"]
