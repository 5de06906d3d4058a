"""Measures what a health check needs of a model: whole weights, and its routing over texts, plain and disturbed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch

from hooks.capturing import capture, to_numpy
from hooks.health_record import HealthRecord, TextHealth
from hooks.hook_points import HOOK_NAMES, record
from hooks.trace import RoutingTrace
from sample_models.evaluate import shuffled_experts, shuffled_loops
from sample_models.loading import LoadedModel, load_model, model_folder, read_config, read_tokenizer
from sample_models.olmo import read_olmo
from sample_models.olmo_config import read_olmo_config
from sample_models.registry import OLMO_CONFIG, is_olmo

DRAWS = 4
"""Other orders of each text, and other deals of its loops."""


class SickWeights(ValueError):
    """The weights of a model are at fault: missing, damaged, or not those of its configuration."""


def load_to_check(source: str | Path) -> LoadedModel:
    """`load_model`, telling weights that are at fault (SickWeights) from a model that was not found (ValueError)."""
    folder = model_folder(source)
    if is_olmo(folder):
        read_olmo_config(folder / OLMO_CONFIG)
        with _weights_at_fault():
            config = read_olmo(folder).config
    else:
        config = read_config(folder)
    read_tokenizer(folder, config)
    with _weights_at_fault():
        return load_model(source)


@contextmanager
def _weights_at_fault() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise SickWeights(str(error)) from error


def measure_health(
    loaded: LoadedModel, texts: Sequence[str], *, seed: int = 0, progress: Callable[[float], None] = lambda share: None
) -> HealthRecord:
    """Run a float32 model over the texts: as they are, in bfloat16, in other orders, with loops or experts shuffled.

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
    layers = range(trace.num_layers)
    loop_names, expert_names = ([HOOK_NAMES[of].format(i) for i in layers] for of in ("loop_choice", "expert_ids"))
    orders, loops, experts = [], [], []
    for _ in range(DRAWS):
        order = np.arange(trace.num_tokens)
        order[~trace.special] = random.permutation(order[~trace.special])
        orders.append(order)
        reordered = ids[torch.tensor(order, device=ids.device)]
        chosen, routed = [], []
        for window in trace.windows:
            own = window.own - window.first
            with record(loop_names + expert_names) as recording:
                model(reordered[None, window.first : window.end], use_cache=False)
            chosen.append(to_numpy(torch.stack([recording[name][0, own:] for name in loop_names])) + 1)
            routed.append(to_numpy(torch.stack([recording[name][0, own:] for name in expert_names])))
        loops.append(np.concatenate(chosen, axis=1))
        experts.append(np.concatenate(routed, axis=1))
    return TextHealth(
        trace=trace,
        half=half,
        orders=np.stack(orders),
        reordered_loops=np.stack(loops),
        reordered_experts=np.stack(experts),
        shuffled_logprob=_shuffled_logprob(model, ids, trace, shuffled_loops, seed),
        shuffled_experts_logprob=_shuffled_logprob(model, ids, trace, shuffled_experts, seed),
        step_shares=_step_shares(model, ids, trace),
    )


def _shuffled_logprob(
    model: torch.nn.Module, ids: torch.Tensor, trace: RoutingTrace, shuffled: Callable, seed: int
) -> np.ndarray:
    """Log p of every token [draw, token], NaN for the first, while `shuffled` deals out a decision anew."""
    draws = []
    for draw in range(DRAWS):
        read = [np.array([np.nan], np.float32)]
        for window in trace.windows:
            with shuffled(model, seed=seed + draw):
                logits = model(ids[None, window.first : window.end], use_cache=False).logits[0]
            following = ids[window.own + 1 : window.end + 1, None]
            log_probs = logits[window.own - window.first :][: len(following)].float().log_softmax(dim=-1)
            read.append(to_numpy(log_probs.gather(-1, following).squeeze(-1)))
        draws.append(np.concatenate(read))
    return np.stack(draws)


def _step_shares(model: torch.nn.Module, ids: torch.Tensor, trace: RoutingTrace) -> np.ndarray:
    """f_e(H) . D_1 / D_1 . D_1 of every expert [layer, token, expert]: the slices sum to D_1, so these sum to 1."""
    ffns = {f"blocks.{layer}.mlp.hook_in": block.mlp for layer, block in enumerate(model.model.layers)}

    def shares(name: str, hidden: torch.Tensor) -> torch.Tensor:
        """Of the residual stream H [1, token, d], as it passes: the experts' outputs of one layer at a time."""
        outputs = ffns[name].expert_outputs(ffns[name].activations(hidden))[0]  # [token, expert, d]
        step = outputs.sum(dim=1, keepdim=True)
        return (outputs * step).sum(dim=-1) / step.square().sum(dim=-1).clamp_min(1e-30)

    read = []
    for window in trace.windows:
        with record(ffns, keep=shares) as recording:
            model(ids[None, window.first : window.end], use_cache=False)
        read.append(to_numpy(torch.stack([recording[name][window.own - window.first :] for name in ffns])))
    return np.concatenate(read, axis=1)


__all__ = ["DRAWS", "SickWeights", "load_to_check", "measure_health"]
