"""Measures what a health check needs of a model: whole weights, and its routing over texts, plain and disturbed."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from hooks.capturing import capture
from hooks.health_record import HealthRecord, TextHealth
from hooks.passes import run_windows
from hooks.reading import Reading, read
from hooks.trace import RoutingTrace
from sample_models.evaluate import shuffled_experts, shuffled_loops
from sample_models.loading import LoadedModel, load_model, model_folder, read_config, read_tokenizer
from sample_models.modeling_versatile import VersatileFFNForCausalLM
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

    What is disturbed is a pass of its own, or its input: the model stays as it is, and others may run it meanwhile.
    `progress` is told the share done, 0..1.

    Raises ValueError for a model of another precision or without routing, or a text without tokens.
    """
    if loaded.model.dtype != torch.float32:
        raise ValueError(f"a health check needs the model in float32, got {loaded.model.dtype}: load it so")
    parameters = dict(loaded.model.named_parameters())
    counts = {name: int((~parameter.isfinite()).sum()) for name, parameter in parameters.items()}
    not_finite = {name: count for name, count in counts.items() if count}
    measured: list[TextHealth] = []
    if not not_finite:
        readings = [read(loaded, text) for text in texts]
        traces = capture(loaded, readings)
        halves = capture(LoadedModel(in_half(loaded.model), loaded.tokenizer, loaded.name), readings)
        for reading, trace, half in zip(readings, traces, halves, strict=True):
            progress((len(measured) + 1) / (len(texts) + 1))
            measured.append(_disturbed(loaded, reading, trace, half, seed))
    progress(1.0)
    return HealthRecord(
        model=loaded.name,
        texts=measured,
        tau=loaded.config.tau,
        gates_trained=loaded.gates_trained,
        parameters=loaded.parameter_count,
        not_finite=not_finite,
    )


def in_half(model: VersatileFFNForCausalLM) -> VersatileFFNForCausalLM:
    """The model with its weights in bfloat16, as `load_model` gives it in that precision; its buffers are shared."""
    with torch.no_grad():
        halves = {id(each): torch.nn.Parameter(each.bfloat16(), each.requires_grad) for each in model.parameters()}
    return copy.deepcopy(model, halves | {id(buffer): buffer for buffer in model.buffers()})


@torch.inference_mode()
def _disturbed(loaded: LoadedModel, reading: Reading, trace: RoutingTrace, half: RoutingTrace, seed: int) -> TextHealth:
    random = np.random.default_rng(seed)
    orders, reordered = [], []
    for _ in range(DRAWS):
        order = np.arange(trace.num_tokens)
        order[~trace.special] = random.permutation(order[~trace.special])
        orders.append(order)
        reordered.append(capture(loaded, replace(reading, ids=trace.token_ids[order].tolist())))

    def logprobs(shuffled: Callable) -> np.ndarray:
        """Log p of every token [draw, token], NaN for the first, while `shuffled` deals out a decision anew."""
        draws = []
        for draw in range(DRAWS):
            with shuffled(loaded.model, seed=seed + draw):
                draws.append(capture(loaded, reading).logprob)
        return np.stack(draws)

    return TextHealth(
        trace=trace,
        half=half,
        orders=np.stack(orders),
        reordered_loops=np.stack([each.loops for each in reordered]),
        reordered_experts=np.stack([each.expert_ids for each in reordered]),
        shuffled_logprob=logprobs(shuffled_loops),
        shuffled_experts_logprob=logprobs(shuffled_experts),
        step_shares=_step_shares(loaded.model, reading),
    )


def _step_shares(model: VersatileFFNForCausalLM, reading: Reading) -> np.ndarray:
    """f_e(H) . D_1 / D_1 . D_1 of every expert [layer, token, expert]: the slices sum to D_1, so these sum to 1."""
    ffns = {f"blocks.{layer}.mlp.hook_in": block.mlp for layer, block in enumerate(model.model.layers)}

    def shares(name: str, hidden: torch.Tensor) -> torch.Tensor:
        """Of the residual stream H [token, d], as it passes: the experts' outputs of one layer at a time."""
        outputs = ffns[name].expert_outputs(ffns[name].activations(hidden[None]))[0]  # [token, expert, d]
        step = outputs.sum(dim=1, keepdim=True)
        return (outputs * step).sum(dim=-1) / step.square().sum(dim=-1).clamp_min(1e-30)

    found = run_windows(model, reading.ids, reading.windows, ffns, of=shares)
    return np.stack([found[name] for name in ffns])


__all__ = ["DRAWS", "SickWeights", "load_to_check", "measure_health"]
