"""Small traces for tests: exact ones by hand, random ones by seed."""

import numpy as np

from hooks.trace import RoutingTrace
from sample_models.lambda_gate import width_share


def make_trace(
    *,
    loops=((1, 2), (4, 3)),
    tokens=None,
    max_loops: int = 4,
    num_experts: int = 4,
    k: int = 2,
    special=None,
    **overrides,
) -> RoutingTrace:
    """A valid trace, by default of 2 layers x 2 tokens; `overrides` replace fields.

    By default gate and width_ran follow from `loops`, the depth head is almost certain, each token chooses experts 0
    and 1 with weights 0.75 and 0.25, and each token after the first has log p = -1.
    """
    loops = np.array(loops, dtype=np.int64)
    layers, count = loops.shape
    tokens = list(tokens or ("␣" + chr(ord("a") + i % 26) for i in range(count)))
    gate = overrides.get("gate", width_share(loops, max_loops).astype(np.float32))
    logprob = np.full(count, -1.0, dtype=np.float32)
    logprob[:1] = np.nan
    fields = {
        "tokens": tokens,
        "token_ids": np.arange(count),
        "special": np.zeros(count, dtype=bool) if special is None else np.array(special),
        "depth_logits": (20.0 * (loops[..., None] == np.arange(1, max_loops + 1))).astype(np.float32),
        "loops": loops,
        "gate": gate,
        "width_ran": gate > 0,
        "expert_logits": np.tile(-np.arange(num_experts, dtype=np.float32), (layers, count, 1)),
        "expert_ids": np.tile(np.arange(k), (layers, count, 1)),
        "expert_weights": np.tile(np.array([0.75, 0.25] if k == 2 else [1 / k] * k, np.float32), (layers, count, 1)),
        "logprob": logprob,
        "next_ids": np.zeros((count, 2), dtype=np.int64),
        "next_tokens": [["a", "b"]] * count,
        "next_logprobs": np.full((count, 2), -1.0, dtype=np.float32),
        "next_entropy": np.full(count, 2.0, dtype=np.float32),
        "meta": {
            "model": "tiny",
            "weights_sha256": "0123456789abcdef",
            "config": {"hidden_size": 10, "intermediate_size": 8},
            "text": "".join(tokens),
        },
    }
    return RoutingTrace(**{**fields, **overrides})


def random_trace(
    layers: int = 8, tokens: int = 57, experts: int = 8, seed: int = 0, *, max_loops: int = 4, k: int = 2, words=None
) -> RoutingTrace:
    """A consistent trace with random logits: loops are their argmax, experts their top k, the gate follows."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(size=tokens)  # some tokens are hard in every layer, and surprising
    steps = np.linspace(-1.2, 1.2, max_loops) if max_loops > 1 else np.zeros(1)
    bend = 0.8 * np.abs(np.linspace(-1, 1, layers))[:, None] - 0.3
    depth = (hard + bend)[..., None] * steps - 0.9 * steps**2 + 0.6 * rng.normal(size=(layers, tokens, max_loops))
    router = rng.normal(size=(layers, tokens, experts)) + 0.7 * rng.normal(size=(layers, 1, experts))
    loops = depth.argmax(axis=-1) + 1
    ids = np.argsort(-router, axis=-1)[..., :k]
    top = np.exp(np.take_along_axis(router, ids, axis=-1))
    logprob = -np.abs(2 + 1.3 * hard + rng.normal(size=tokens))
    logprob[:1] = np.nan
    names = words or WORDS
    return make_trace(
        loops=loops,
        tokens=[names[i % len(names)] for i in range(tokens)],
        max_loops=max_loops,
        num_experts=experts,
        k=k,
        depth_logits=depth.astype(np.float32),
        expert_logits=router.astype(np.float32),
        expert_ids=ids,
        expert_weights=(top / top.sum(axis=-1, keepdims=True)).astype(np.float32),
        logprob=logprob.astype(np.float32),
    )


TEXT = """
The ␣James ␣We bb ␣tele scope , ␣launched ␣on ␣Christmas ␣Day ␣20 21 , ␣has ␣photograph ed ␣gal axies ␣so
␣distant ␣that ␣their ␣light ␣began ␣trav elling ␣towards ␣us ␣barely ␣300 ␣million ␣years ␣after ␣the ␣Big
␣Bang . ↵ Ast ron omers ␣call ␣it ␣a ␣time ␣machine , ␣although ␣nobody ␣ab oard ␣ever ␣ages ␣back wards .
"""
WORDS = TEXT.split()
HOSTILE = [
    "<script>alert(1)</script>", "␣<b>", "$x$", "␣**", "⟨F0 9F⟩", "⟨98⟩", "⟨80⟩", "␣مرحبا", "你好", "↵↵", "␣", "⇥",
    "&lt;", "%{x}", "␣a\u0301", "=1+1", "\"'`", "⟨20 F0 9F⟩", "⟨8D 95 21⟩", "x" * 90, "</script>", "$", "_a_", "😀",
]  # fmt: skip
