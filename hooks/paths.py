"""Captures what both paths of chosen layers compute: one more forward pass, routed as a trace says."""

from collections.abc import Mapping, Sequence

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

    config, size = loaded.config, end - first
    parts = {"states": config.max_loops + 1, "expert_out": config.num_experts, "resid_pre": None, "resid_post": None}
    made = {
        name: np.empty((len(chosen), size, *([] if count is None else [count]), config.hidden_size), np.float32)
        for name, count in parts.items()
    }
    ends = np.empty((2, size, config.hidden_size), np.float32)
    into = {"blocks.0.hook_resid_pre": ends[0], f"blocks.{total - 1}.hook_resid_post": ends[1]} | _places(chosen, made)
    run_windows(
        loaded.model,
        trace.token_ids.tolist(),
        trace.windows,
        into,
        tokens=slice(first, end),
        edits=lambda window: replayed(loaded, trace, window),
        into=into,
    )
    final = made["resid_post"][-1] if chosen[-1] == total - 1 else ends[1]
    norm = loaded.model.model.norm
    return PathTrace(
        routing=trace,
        layers=np.array(chosen),
        first_token=first,
        **made,
        embedding=made["resid_pre"][0] if chosen[0] == 0 else ends[0],
        resid_final=final,
        norm_scale=(1 / np.sqrt(np.square(final).mean(axis=-1) + norm.variance_epsilon)).astype(np.float32),
        norm_weight=to_numpy(norm.weight),
    )


def _places(layers: list[int], made: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Hook name -> the part [token, ...] of the arrays of a PathTrace that it fills."""
    into = {}
    for row, layer in enumerate(layers):
        states, block = made["states"][row], f"blocks.{layer}."
        into |= {block + "mlp.hook_in": states[:, 0], block + "mlp.hook_expert_out": made["expert_out"][row]}
        into |= {block + f"mlp.hook_depth_state_{loop}": states[:, loop] for loop in range(1, states.shape[1])}
        into |= {block + f"hook_{name}": made[name][row] for name in ("resid_pre", "resid_post")}
    return into


__all__ = ["capture_paths"]
