"""Measures what a health check needs: whether the weights are finite, and the routing of texts, plain and disturbed."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hooks.capturing import capture
from hooks.health_record import ControlRun, HealthRecord, TextHealth
from hooks.passes import run_windows
from hooks.reading import Reading, read
from hooks.trace import RoutingTrace
from sample_models.adapter_families import family_of
from sample_models.controls import conditions
from sample_models.loading import LoadedModel, checkpoint_at, load_model
from sample_models.model_folders import model_folder, read_config
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.olmo import read_olmo
from sample_models.olmo_config import read_olmo_config
from sample_models.registry import OLMO_CONFIG, is_olmo, model_type_of
from sample_models.tokenizer_files import read_tokenizer

DRAWS = 4
"""Random orders of each text."""
CONTROLS = {
    "loops_shuffled": DRAWS,
    "loops_alone_shuffled": 2,
    "lambda_alone_shuffled": 2,
    "loops_shuffled_within_token_type": 2,
    "experts_shuffled": DRAWS,
    "without_experts": 1,
}
"""Control of `sample_models.controls` -> how often it is drawn. Verdicts rest on those with most draws."""


class SickWeights(ValueError):
    """The weights of a model are missing, damaged, or do not fit its configuration."""


def load_to_check(source: str | Path, *, step: int | None = None, **how: Any) -> LoadedModel:
    """`load_model` for a health check: raises SickWeights for bad weights, ValueError if there is no such model."""
    folder = model_folder(source)
    if family := family_of(model_type_of(folder / "config.json")):
        raise ValueError(
            f"{folder} holds a {family}: the checks are about loops, gates and experts of a VersatileFFN, so give one"
        )
    if step is not None:
        checkpoint_at(folder, step)
    if is_olmo(folder):
        read_olmo_config(folder / OLMO_CONFIG)
        with _weights_at_fault():
            config = read_olmo(folder).config
    else:
        config = read_config(folder)
    read_tokenizer(folder, config)
    with _weights_at_fault():
        return load_model(source, step=step, **how)


@contextmanager
def _weights_at_fault() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise SickWeights(str(error)) from error


def measure_health(
    loaded: LoadedModel, texts: Sequence[str], *, seed: int = 0, progress: Callable[[float], None] = lambda share: None
) -> HealthRecord:
    """Run a float32 model over the texts: plain, in bfloat16, in other token orders, and with every one of `CONTROLS`.

    The model itself is not changed, and others may run it meanwhile. `progress` is called with the share done, 0..1.

    Raises ValueError for a model of another precision or without routing, or a text without tokens.
    """
    if loaded.model.dtype != torch.float32:
        raise ValueError(f"a health check needs the model in float32, got {loaded.model.dtype}: load it in float32")
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
            measured.append(_text_health(loaded, reading, trace, half, seed))
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
    """A copy of the model with its weights in bfloat16, as `load_model` would give it; the buffers are shared."""
    with torch.no_grad():
        halves = {
            id(parameter): torch.nn.Parameter(parameter.bfloat16(), parameter.requires_grad)
            for parameter in model.parameters()
        }
    return copy.deepcopy(model, halves | {id(buffer): buffer for buffer in model.buffers()})


@torch.inference_mode()
def _text_health(
    loaded: LoadedModel, reading: Reading, trace: RoutingTrace, half: RoutingTrace, seed: int
) -> TextHealth:
    random = np.random.default_rng(seed)
    orders, reordered = [], []
    for _ in range(DRAWS):
        order = np.arange(trace.num_tokens)
        order[~trace.special] = random.permutation(order[~trace.special])
        orders.append(order)
        reordered.append(capture(loaded, replace(reading, ids=trace.token_ids[order].tolist())))

    return TextHealth(
        trace=trace,
        half=half,
        orders=np.stack(orders),
        reordered_loops=np.stack([moved.loops for moved in reordered]),
        reordered_experts=np.stack([moved.expert_ids for moved in reordered]),
        controls={name: _control_run(loaded, reading, name, seed) for name in CONTROLS},
        step_shares=_step_shares(loaded.model, reading),
    )


def _control_run(loaded: LoadedModel, reading: Reading, name: str, seed: int) -> ControlRun:
    """The text under one of the controls, drawn as often as `CONTROLS` says."""
    passes = [torch.tensor([reading.ids[window.first : window.end]]) for window in reading.windows]
    draws, cells, changed = [], 0, 0
    for draw in range(CONTROLS[name]):
        with conditions(loaded.model, passes, seed=seed + draw)[name]() as counted:
            draws.append(capture(loaded, reading).logprob)
        cells, changed = cells + counted.all, changed + counted.changed
    return ControlRun(np.stack(draws), cells, changed)


def _step_shares(model: VersatileFFNForCausalLM, reading: Reading) -> np.ndarray:
    """f_e(H) . D_1 / D_1 . D_1 of every expert [layer, token, expert]: the slices sum to D_1, so these sum to 1."""
    ffns = {f"blocks.{layer}.mlp.hook_in": block.mlp for layer, block in enumerate(model.model.layers)}

    def shares(name: str, hidden: torch.Tensor) -> torch.Tensor:
        """Shares [token, expert] in one layer, from its input H [token, d]."""
        outputs = ffns[name].expert_outputs(ffns[name].activations(hidden[None]))[0]  # [token, expert, d]
        step = outputs.sum(dim=1, keepdim=True)
        return (outputs * step).sum(dim=-1) / step.square().sum(dim=-1).clamp_min(1e-30)

    by_layer = run_windows(model, reading.ids, reading.windows, ffns, of=shares)
    return np.stack([by_layer[name] for name in ffns])


__all__ = ["CONTROLS", "DRAWS", "SickWeights", "load_to_check", "measure_health"]
