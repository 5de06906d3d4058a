"""PathTraces for tests: consistent by construction, so that their books balance to rounding."""

import numpy as np

from hooks.path_trace import PathTrace
from hooks.trace import RoutingTrace


def make_paths(trace: RoutingTrace, *, tokens=None, hidden: int = 6, seed: int = 0, **overrides) -> PathTrace:
    """Random paths of all layers that fit `trace`: expert outputs sum to the first step, the stream goes on.

    Steps shrink with the loop; the layer's output follows from the ledger identity.
    """
    rng = np.random.default_rng(seed)
    first, end = tokens or (0, trace.num_tokens)
    part, layers, count = slice(first, end), trace.num_layers, end - first
    loops = trace.loops[:, part]
    stream = embedding = rng.normal(size=(count, hidden))
    rows = []
    for layer in range(layers):
        mid = stream + 0.5 * rng.normal(size=(count, hidden))
        experts = 0.4 * rng.normal(size=(count, trace.num_experts, hidden))
        steps = [experts.sum(axis=1)]
        for loop in range(1, trace.max_loops):
            steps.append(0.6 * steps[-1] + 0.2 * rng.normal(size=(count, hidden)) / loop)
        states = mid[:, None] + np.concatenate([np.zeros((count, 1, hidden)), np.cumsum(np.stack(steps, 1), 1)], 1)
        gate = trace.gate[layer, part, None].astype(float)
        chosen = np.take_along_axis(experts, trace.expert_ids[layer, part, :, None], axis=1)
        width = (trace.expert_weights[layer, part, :, None] * chosen).sum(axis=1)
        depth = np.take_along_axis(states, loops[layer][:, None, None], axis=1)[:, 0] - mid
        post = mid + (1 - gate) * depth + gate * width
        rows.append((stream, states, experts, post))
        stream = post
    pre, states, experts, post = (np.stack(part).astype(np.float32) for part in zip(*rows, strict=True))
    fields = {
        "layers": np.arange(layers),
        "first_token": first,
        "states": states,
        "expert_out": experts,
        "resid_pre": pre,
        "resid_post": post,
        "embedding": embedding.astype(np.float32),
        "resid_final": stream.astype(np.float32),
        "norm_scale": (1 / np.sqrt(np.square(stream).mean(-1))).astype(np.float32),
        "norm_weight": np.ones(hidden, np.float32),
    }
    return PathTrace(routing=trace, **{**fields, **overrides})
