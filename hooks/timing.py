"""Measures the wall-clock time of the FFNs over a text on this machine."""

import time
from statistics import median

import torch

from hooks.eval_mode import in_eval_mode
from hooks.hook_points import instrument
from hooks.passes import run_windows
from hooks.reading import read
from hooks.trace import RoutingTrace
from sample_models.loading import LoadedModel

MOST_ROUNDS, FEWEST_ROUNDS, BUDGET_S = 25, 3, 1.5
"""Rounds go on until there are MOST_ROUNDS, or BUDGET_S is spent and there are FEWEST_ROUNDS."""


@torch.inference_mode()
def time_ffn(loaded: LoadedModel, text: str | RoutingTrace, *, most_rounds: int = MOST_ROUNDS) -> dict[str, float]:
    """Seconds that the FFNs of all layers take for one text, by name of the run: sum over layers of the medians.

    "dense": one pass for every token. "as chosen": the model's own forward, with depth head, router and experts.
    "deepest": every token loops as often as the layer's deepest token, without experts. "all loops": every token loops
    max_loops times. All runs start from the same H, which has every token once even where windows overlap. They take
    turns, so that a busy moment of the machine affects all of them. Of a trace only the tokens are used.

    Raises ValueError if the text holds no token, or for a trace of another model.
    """
    reading = read(loaded, text)
    instrument(loaded.model)
    layers = range(loaded.config.num_hidden_layers)
    names = {part: [f"blocks.{layer}.mlp.{part}" for layer in layers] for part in ("hook_in", "hook_loop_choice")}
    all_names = [name for names_of_part in names.values() for name in names_of_part]
    recorded = run_windows(loaded.model, reading.ids, reading.windows, all_names)
    model = loaded.model
    hidden = [torch.tensor(recorded[name][None], dtype=model.dtype, device=model.device) for name in names["hook_in"]]
    runs: list[tuple[int, str, int | None]] = []  # layer, name, loops
    for layer in layers:
        deepest = int(recorded[names["hook_loop_choice"][layer]].max()) + 1
        loops_by_run = {"dense": 1, "as chosen": None, "deepest": deepest, "all loops": loaded.config.max_loops}
        runs += [(layer, name, loops) for name, loops in loops_by_run.items()]
    seconds: list[list[float]] = [[] for _ in runs]
    begin = time.perf_counter()
    for done in range(most_rounds):
        if done >= FEWEST_ROUNDS and time.perf_counter() - begin > BUDGET_S:
            break
        for values, (layer, _, loops) in zip(seconds, runs, strict=True):
            with in_eval_mode(model):
                values.append(_seconds(model.model.layers[layer].mlp, hidden[layer], loops))
    total = dict.fromkeys(("dense", "as chosen", "deepest", "all loops"), 0.0)
    for values, (_, name, _) in zip(seconds, runs, strict=True):
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
    """Wait until an accelerator, which runs asynchronously, has finished."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


__all__ = ["time_ffn"]
