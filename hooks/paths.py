"""One forward pass that also keeps what both paths of chosen layers computed."""

from collections.abc import Sequence

import numpy as np
import torch

from hooks.capturing import read, read_window, refuse_without_routing, routing_trace, to_numpy
from hooks.hook_points import instrument
from hooks.path_trace import PathTrace
from sample_models.loading import LoadedModel


@torch.inference_mode()
def capture_paths(
    loaded: LoadedModel, text: str, *, layers: Sequence[int] | None = None, tokens: tuple[int, int] | None = None
) -> PathTrace:
    """Trace a text and keep the states and expert outputs of `layers` (default all) for `tokens` (first, last + 1).

    The model runs once, over a text longer than the trained context window by window, as in `capture`. In the captured
    layers every token of the windows that hold `tokens` takes all loops and all experts, and the states and outputs
    that it did not choose leave the result alone: it equals the plain pass up to rounding (the same sums in another
    order). Size of the answer: `path_bytes(loaded.config, layers, tokens)`. Safe to call from several threads.

    Raises ValueError if the text holds no token, if layers or tokens lie outside the model or the text, or if the model
    has no depth head and router.
    """
    refuse_without_routing(loaded)
    instrument(loaded.model)
    reading = read(loaded, text)
    total = loaded.config.num_hidden_layers
    first, end = tokens or (0, len(reading.ids))
    if not 0 <= first < end <= len(reading.ids):
        raise ValueError(f"tokens must be (first, last + 1) within 0..{len(reading.ids)}, got ({first}, {end})")
    chosen = sorted(set(range(total) if layers is None else layers))
    if not chosen or chosen[0] < 0 or chosen[-1] >= total:
        raise ValueError(f"layers must be some of 0..{total - 1}, got {chosen}")

    states = ["mlp.hook_in", *(f"mlp.hook_depth_state_{loop}" for loop in range(1, loaded.config.max_loops + 1))]
    before, after = "blocks.0.hook_resid_pre", f"blocks.{total - 1}.hook_resid_post"
    stream = [*states, "mlp.hook_expert_out", "hook_resid_pre", "hook_resid_post"]
    parts = {f"blocks.{layer}.{name}" for layer in chosen for name in stream} | {before, after}

    kept: dict[str, list[np.ndarray]] = {name: [] for name in parts}
    routed = []
    for window in reading.windows:
        inside = slice(max(first, window.own) - window.first, max(min(end, window.end) - window.first, 0))

        def keep(name: str, tensor: torch.Tensor, inside: slice = inside) -> None:
            # Cut and copied at once: a view would keep the whole window's tensor alive, layer after layer.
            kept[name].append(to_numpy(tensor[0, inside]))

        routed.append(read_window(loaded, reading, window, parts if inside.start < inside.stop else (), keep))

    def rows(name: str) -> np.ndarray:
        return np.stack([np.concatenate(kept[f"blocks.{layer}.{name}"]) for layer in chosen])

    final, norm = np.concatenate(kept[after]), loaded.model.model.norm
    return PathTrace(
        routing=routing_trace(loaded, reading, routed),
        layers=np.array(chosen),
        first_token=first,
        states=np.stack([rows(name) for name in states], axis=2),
        expert_out=rows("mlp.hook_expert_out"),
        resid_pre=rows("hook_resid_pre"),
        resid_post=rows("hook_resid_post"),
        embedding=np.concatenate(kept[before]),
        resid_final=final,
        norm_scale=(1 / np.sqrt(np.square(final).mean(axis=-1) + norm.variance_epsilon)).astype(np.float32),
        norm_weight=to_numpy(norm.weight),
    )


__all__ = ["capture_paths"]
