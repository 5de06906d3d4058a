"""One forward pass that also keeps what both paths of chosen layers computed."""

from collections.abc import Sequence

import numpy as np
import torch

from hooks.capturing import refuse_without_routing, routing_names, routing_trace, to_numpy, tokenise
from hooks.hook_points import instrument, record
from hooks.path_trace import PathTrace
from sample_models.loading import LoadedModel


@torch.inference_mode()
def capture_paths(
    loaded: LoadedModel, text: str, *, layers: Sequence[int] | None = None, tokens: tuple[int, int] | None = None
) -> PathTrace:
    """Trace a text and keep the states and expert outputs of `layers` (default all) for `tokens` (first, last + 1).

    The model runs once. In the captured layers every token takes all loops and all experts, and the states and outputs
    that it did not choose leave the result alone: it equals the plain pass up to rounding (the same sums in another
    order). Size of the answer: `path_bytes(loaded.config, layers, tokens)`. Safe to call from several threads.

    Raises ValueError if the text holds no token, if layers or tokens lie outside the model or the text, or if the model
    has no depth head and router.
    """
    refuse_without_routing(loaded)
    instrument(loaded.model)
    ids, special = tokenise(loaded, text)
    total = loaded.config.num_hidden_layers
    first, end = tokens or (0, len(ids))
    if not 0 <= first < end <= len(ids):
        raise ValueError(f"tokens must be (first, last + 1) within 0..{len(ids)}, got ({first}, {end})")
    chosen = sorted(set(range(total) if layers is None else layers))
    if not chosen or chosen[0] < 0 or chosen[-1] >= total:
        raise ValueError(f"layers must be some of 0..{total - 1}, got {chosen}")

    routing = routing_names(total)
    whole = {name for of_field in routing.values() for name in of_field}
    states = ["mlp.hook_in", *(f"mlp.hook_depth_state_{loop}" for loop in range(1, loaded.config.max_loops + 1))]
    before, after = "blocks.0.hook_resid_pre", f"blocks.{total - 1}.hook_resid_post"
    stream = [*states, "mlp.hook_expert_out", "hook_resid_pre", "hook_resid_post"]
    parts = {f"blocks.{layer}.{name}" for layer in chosen for name in stream} | {before, after}

    def keep(name: str, tensor: torch.Tensor) -> torch.Tensor | np.ndarray:
        # Cut and copied at once: a view would keep the whole text's tensor alive, layer after layer.
        return tensor if name in whole else to_numpy(tensor[0, first:end])

    with record(whole | parts, keep) as recording:
        logits = loaded.model(torch.tensor([ids], device=loaded.model.device), use_cache=False).logits[0]
    tensors = {field: torch.stack([recording[name][0] for name in names]) for field, names in routing.items()}

    def rows(name: str) -> np.ndarray:
        return np.stack([recording[f"blocks.{layer}.{name}"] for layer in chosen])

    final, norm = recording[after], loaded.model.model.norm
    return PathTrace(
        routing=routing_trace(loaded, text, ids, special, tensors, logits),
        layers=np.array(chosen),
        first_token=first,
        states=np.stack([rows(name) for name in states], axis=2),
        expert_out=rows("mlp.hook_expert_out"),
        resid_pre=rows("hook_resid_pre"),
        resid_post=rows("hook_resid_post"),
        embedding=recording[before],
        resid_final=final,
        norm_scale=(1 / np.sqrt(np.square(final).mean(axis=-1) + norm.variance_epsilon)).astype(np.float32),
        norm_weight=to_numpy(norm.weight),
    )


__all__ = ["capture_paths"]
