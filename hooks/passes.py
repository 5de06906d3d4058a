"""Forward passes over a text, window by window, with what passes the hook points recorded."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext

import numpy as np
import torch
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from hooks.eval_mode import in_eval_mode
from hooks.windows import Window
from sample_models.modeling_versatile import VersatileFFNForCausalLM, VersatileFFNModel
from sample_models.taps import Edit, Recording, edited, record

Keep = Callable[[str, torch.Tensor], torch.Tensor | None]


def run_rows(
    model: VersatileFFNForCausalLM | VersatileFFNModel,
    rows: Sequence[Sequence[int]],
    names: Iterable[str] = (),
    keep: Keep | None = None,
    *,
    use_cache: bool = False,
) -> tuple[CausalLMOutputWithPast | BaseModelOutputWithPast, Recording]:
    """One forward pass in eval mode over rows of token ids, padded on the right, and what the hook names recorded.

    The inner model, without the unembedding, gives no logits.
    """
    longest = max(map(len, rows))
    padded = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=model.device)
    with in_eval_mode(model), record(names, keep) as recording:
        output = model(padded, use_cache=use_cache)
    return output, recording


def run_windows(
    model: VersatileFFNForCausalLM | VersatileFFNModel,
    ids: Sequence[int],
    windows: Iterable[Window],
    names: Iterable[str],
    *,
    tokens: slice | None = None,
    of: Keep = lambda name, tensor: tensor,
    edits: Callable[[Window], Mapping[str, Edit]] | None = None,
    into: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """The tensors at the hook names for every token of a text, [token, ...], each from the window that owns the token.

    `tokens` restricts the result to a range, and the passes to its windows. `of(name, tensor)` may reduce a tensor
    [token, ...] while the pass goes on. `edits(window)` gives the edits to make in the pass over a window. The tensors
    of the names in `into` are written into its arrays [token, ...], and are not in the result: what is large is then in
    memory once.
    """
    names, first, end = list(names), *(tokens or slice(0, len(ids))).indices(len(ids))[:2]
    into = into or {}
    recorded: dict[str, list[np.ndarray]] = {name: [] for name in names if name not in into}
    for window in windows:
        part = slice(max(first, window.own) - window.first, min(end, window.end) - window.first)

        def cut(name: str, tensor: torch.Tensor, part: slice = part, window: Window = window) -> None:
            # Copied at once: a view would keep the whole window's tensor of every layer in memory.
            piece, at = of(name, tensor[0, part]), part.start + window.first - first
            if name in into:
                into[name][at : at + len(piece)] = piece.float().cpu().numpy()
            else:
                recorded[name].append(to_numpy(piece))

        if part.start < part.stop:
            with edited(edits(window)) if edits else nullcontext():
                run_rows(model, [ids[window.first : window.end]], names, cut)
    return {name: np.concatenate(parts) for name, parts in recorded.items()}


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A copy that shares nothing with live tensors; bfloat16, which numpy lacks, becomes float32."""
    return (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy().copy()


__all__ = ["run_rows", "run_windows", "to_numpy"]
