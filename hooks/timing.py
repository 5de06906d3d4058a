"""Wall-clock time of the FFN alone: what a text really costs on this machine, beside what is counted on paper."""

import time
from statistics import median

import torch

from hooks.hook_points import instrument
from hooks.passes import run_windows
from hooks.reading import read
from hooks.trace import RoutingTrace
from sample_models.loading import LoadedModel

MOST_ROUNDS, FEWEST_ROUNDS, BUDGET_S = 25, 3, 1.5
"""Rounds go on until there are MOST_ROUNDS, or BUDGET_S is spent and there are FEWEST_ROUNDS."""


@torch.inference_mode()
def time_ffn(loaded: LoadedModel, text: str | RoutingTrace, *, most_rounds: int = MOST_ROUNDS) -> dict[str, float]:
    """Seconds that the FFNs of all layers take for one text, by what they run: sum over layers of the medians.

    "dense": one pass for every token. "as chosen": the model's own forward, with depth head, router and experts.
    "deepest": every token as often as the layer's deepest one chose, without experts. "all loops": every token
    max_loops times. All start from the same H, of every token once, also where windows overlap; the runs take turns, so
    that a busy moment of the machine hits all. Of a trace its tokens are taken over, nothing that it decided.

    Raises ValueError if the text holds no token, or for a trace of another model.
    """
    reading = read(loaded, text)
    instrument(loaded.model)
    layers = range(loaded.config.num_hidden_layers)
    names = {part: [f"blocks.{layer}.mlp.{part}" for layer in layers] for part in ("hook_in", "hook_loop_choice")}
    every = [name for of_part in names.values() for name in of_part]
    passed = run_windows(loaded.model, reading.ids, reading.windows, every)
    model = loaded.model
    hidden = [torch.tensor(passed[name][None], dtype=model.dtype, device=model.device) for name in names["hook_in"]]
    runs: list[tuple[int, str, int | None]] = []  # layer, name, loops
    for layer in layers:
        deepest = int(passed[names["hook_loop_choice"][layer]].max()) + 1
        each = {"dense": 1, "as chosen": None, "deepest": deepest, "all loops": loaded.config.max_loops}
        runs += [(layer, name, loops) for name, loops in each.items()]
    taken: list[list[float]] = [[] for _ in runs]
    begin = time.perf_counter()
    for done in range(most_rounds):
        if done >= FEWEST_ROUNDS and time.perf_counter() - begin > BUDGET_S:
            break
        for values, (layer, _, loops) in zip(taken, runs, strict=True):
            values.append(_seconds(model.model.layers[layer].mlp, hidden[layer], loops))
    total = dict.fromkeys(("dense", "as chosen", "deepest", "all loops"), 0.0)
    for values, (_, name, _) in zip(taken, runs, strict=True):
        total[name] += median(values)
    return total


def _seconds(ffn: torch.nn.Module, hidden: torch.Tensor, loops: int | None) -> float:
    """One run: `loops` passes of every token or, with None, the model's own forward."""
    _wait_for(hidden.device)
    start = time.perf_counter()
    if loops is None:
        ffn(hidden)
    else:
        state = hidden
        for _ in range(loops):
            state = ffn.loop(state)
    _wait_for(hidden.device)
    return time.perf_counter() - start


def _wait_for(device: torch.device) -> None:
    """An accelerator works on its own: wait until it has done what it was told."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


__all__ = ["time_ffn"]
