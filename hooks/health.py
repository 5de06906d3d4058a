"""Measures what a health check needs of a model: whole weights, and its routing over texts, plain and disturbed."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch

from hooks.capturing import capture, to_numpy
from hooks.health_record import HealthRecord, TextHealth
from hooks.hook_points import HOOK_NAMES, record
from hooks.trace import RoutingTrace
from sample_models.evaluate import shuffled_loops
from sample_models.loading import LoadedModel, load_model, model_folder, read_config, read_tokenizer
from sample_models.registry import is_olmo

DRAWS = 4
"""Other orders of each text, and other deals of its loops."""


class SickWeights(ValueError):
    """The weights of a model are at fault: missing, damaged, or not those of its configuration."""


def load_to_check(source: str | Path) -> LoadedModel:
    """`load_model`, telling weights that are at fault (SickWeights) from a model that was not found (ValueError).

    What is wrong with a checkpoint of the authors' trainer is always the latter: it is read in one go.
    """
    folder = model_folder(source)
    if is_olmo(folder):
        return load_model(source)
    read_tokenizer(folder, read_config(folder))
    try:
        return load_model(source)
    except ValueError as error:
        raise SickWeights(str(error)) from error


def measure_health(
    loaded: LoadedModel, texts: Sequence[str], *, seed: int = 0, progress: Callable[[float], None] = lambda share: None
) -> HealthRecord:
    """Run a float32 model over the texts: as they are, in bfloat16, in other orders, and with its loops shuffled.

    What is disturbed is a copy of the model or its input: others may run the model meanwhile. `progress` is told the
    share done, 0..1.

    Raises ValueError for a model of another precision or without routing, or a text without tokens.
    """
    if loaded.model.dtype != torch.float32:
        raise ValueError(f"a health check needs the model in float32, got {loaded.model.dtype}: load it so")
    parameters = dict(loaded.model.named_parameters())
    counts = {name: int((~parameter.isfinite()).sum()) for name, parameter in parameters.items()}
    not_finite = {name: count for name, count in counts.items() if count}
    measured: list[TextHealth] = []
    if not not_finite:
        traces = capture(loaded, texts)
        other = deepcopy(loaded.model)
        halves = capture(LoadedModel(deepcopy(other).to(torch.bfloat16), loaded.tokenizer, loaded.name), texts)
        for trace, half in zip(traces, halves, strict=True):
            progress((len(measured) + 1) / (len(texts) + 1))
            measured.append(_disturbed(other, trace, half, seed))
    progress(1.0)
    return HealthRecord(
        model=loaded.name,
        texts=measured,
        tau=loaded.config.tau,
        gates_trained=loaded.gates_trained,
        parameters=loaded.parameter_count,
        not_finite=not_finite,
    )


@torch.inference_mode()
def _disturbed(model: torch.nn.Module, trace: RoutingTrace, half: RoutingTrace, seed: int) -> TextHealth:
    random = np.random.default_rng(seed)
    ids = torch.tensor(trace.token_ids, device=model.device)
    names = [HOOK_NAMES["loop_choice"].format(layer) for layer in range(trace.num_layers)]
    orders, loops, logprobs = [], [], []
    for draw in range(DRAWS):
        order = np.arange(trace.num_tokens)
        order[~trace.special] = random.permutation(order[~trace.special])
        orders.append(order)
        reordered = ids[torch.tensor(order, device=ids.device)]
        chosen, read = [], [np.array([np.nan], np.float32)]
        for window in trace.windows:
            own = window.own - window.first
            with record(names) as recording:
                model(reordered[None, window.first : window.end], use_cache=False)
            chosen.append(to_numpy(torch.stack([recording[name][0, own:] for name in names])) + 1)
            with shuffled_loops(model, seed=seed + draw):
                logits = model(ids[None, window.first : window.end], use_cache=False).logits[0, own:]
            following = ids[window.own + 1 : window.end + 1, None]
            log_probs = logits[: len(following)].float().log_softmax(dim=-1)
            read.append(to_numpy(log_probs.gather(-1, following).squeeze(-1)))
        loops.append(np.concatenate(chosen, axis=1))
        logprobs.append(np.concatenate(read))
    return TextHealth(
        trace=trace,
        half=half,
        orders=np.stack(orders),
        reordered_loops=np.stack(loops),
        shuffled_logprob=np.stack(logprobs),
    )


__all__ = ["DRAWS", "SickWeights", "load_to_check", "measure_health"]
