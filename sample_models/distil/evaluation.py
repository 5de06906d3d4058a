"""Held-out figures of a distilled model beside its teacher, by kind of text, and what its decisions are worth."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from sample_models.evaluate import (
    always_loops,
    count_decisions,
    paired_difference,
    shuffled_experts,
    shuffled_loops,
    window_losses,
)
from sample_models.modeling_versatile import VersatileFFNForCausalLM

Condition = Callable[[], AbstractContextManager]
BATCH = 4
"""Documents per pass, among whose tokens a control shuffles; documents of all kinds are mixed in it."""


def bytes_of(windows: torch.Tensor, tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """UTF-8 bytes of each window's predicted tokens, all but the first [window]; a cut character counts three."""
    return np.array([len(tokenizer.decode(row[1:]).encode()) for row in windows.tolist()])


def evaluate_distilled(
    model: VersatileFFNForCausalLM,
    teacher: VersatileFFNForCausalLM,
    texts: dict[str, torch.Tensor],
    tokenizer: PreTrainedTokenizerBase,
) -> dict:
    """Losses of teacher and student, the student's also with decisions replaced; ready for JSON.

    texts: kind -> windows [document, token], a document each. Standard errors are over documents of all kinds together.
    """
    kinds = np.concatenate([[kind] * len(windows) for kind, windows in texts.items()])
    windows, order = torch.cat(list(texts.values())), np.random.default_rng(0).permutation(len(kinds))
    windows, kinds = windows[order], kinds[order]
    conditions: dict[str, Condition] = {"own": nullcontext}
    for loops in range(1, model.config.max_loops + 1):
        conditions[f"always_{loops}_loops"] = partial(always_loops, model, loops=loops)
    conditions["loops_shuffled"] = partial(shuffled_loops, model, seed=0)
    conditions["experts_shuffled"] = partial(shuffled_experts, model, seed=0)
    losses = {"dense": window_losses(teacher, windows, BATCH)}
    for name, condition in conditions.items():
        with condition():
            losses[name] = window_losses(model, windows, BATCH)
    decisions = count_decisions(model, windows, BATCH)
    sizes, predicted = bytes_of(windows, tokenizer), windows.shape[1] - 1

    def of_kind(kind: str) -> dict:
        here = kinds == kind
        bits = predicted * here.sum() / math.log(2) / sizes[here].sum()
        return {
            name: {"loss": float(row[here].mean()), "bits_per_byte": float(row[here].mean() * bits)}
            for name, row in losses.items()
        }

    mean_loops = decisions.loop_shares @ np.arange(1, model.config.max_loops + 1)
    return {
        "documents": {kind: int((kinds == kind).sum()) for kind in texts},
        "document_tokens": windows.shape[1],
        "by_kind": {kind: of_kind(kind) for kind in texts},
        "controls": {
            name: asdict(paired_difference(row, losses["own"]))
            for name, row in losses.items()
            if name not in ("own", "dense")
        },
        "mean_loops": float(mean_loops.mean()),
        "layers": [
            {
                "layer": layer,
                "mean_loops": float(mean_loops[layer]),
                "loop_shares": decisions.loop_shares[layer].tolist(),
                "loop_entropy": float(decisions.loop_entropy[layer]),
                "expert_load": decisions.expert_load[layer].tolist(),
            }
            for layer in range(len(mean_loops))
        ],
    }


def ratio_to_dense(evaluation: dict) -> float:
    """Bits per byte of the student over those of the teacher, mean over kinds of text."""
    rows = evaluation["by_kind"].values()
    return float(np.mean([row["own"]["bits_per_byte"] / row["dense"]["bits_per_byte"] for row in rows]))


__all__ = ["bytes_of", "evaluate_distilled", "ratio_to_dense"]
