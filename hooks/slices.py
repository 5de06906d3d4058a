"""Computes which slices of the FFN the loops use, from captured states and without another pass."""

import numpy as np
import torch

from hooks.interventions import DropExpert
from hooks.passes import to_numpy
from hooks.path_trace import PathTrace
from hooks.slice_trace import SliceTrace
from sample_models.loading import LoadedModel


@torch.inference_mode()
def loop_slices(loaded: LoadedModel, paths: PathTrace) -> SliceTrace:
    """Split the step of every loop of the captured layers and tokens over the experts' slices. Runs the FFNs only.

    Raises ValueError for a trace in which an expert's slice was dropped from the loops.
    """
    if any(isinstance(each, DropExpert) and each.path != "width" for each in paths.routing.interventions):
        raise ValueError("experts were dropped from the loops of this trace, so their steps are no sum over all slices")
    norms, shares = [], []
    for row, layer in enumerate(paths.layers.tolist()):
        ffn = loaded.model.model.layers[layer].mlp
        before = torch.tensor(paths.states[row, :, :-1], dtype=loaded.model.dtype, device=loaded.model.device)
        parts = to_numpy(ffn.expert_outputs(ffn.activations(before))).astype(np.float64)  # [token loop expert hidden]
        step = parts.sum(axis=2)
        norms.append(np.linalg.norm(parts, axis=-1))
        length = np.maximum(np.square(step).sum(axis=-1), np.finfo(np.float64).tiny)
        shares.append(np.einsum("tled,tld->tle", parts, step) / length[..., None])
    return SliceTrace(
        routing=paths.routing,
        layers=paths.layers,
        first_token=paths.first_token,
        norm=np.stack(norms),
        share=np.stack(shares),
    )


__all__ = ["loop_slices"]
