"""Runs one text alone and in batches, where padding stands beside it: its routing should not depend on that."""

from dataclasses import dataclass

import torch

from hooks.capturing import Part, routing_names, routing_trace, window_part
from hooks.eval_mode import in_eval_mode
from hooks.hook_points import instrument
from hooks.reading import Reading, read, refuse_intervened, refuse_without_routing
from hooks.trace import RoutingTrace
from hooks.windows import Window
from sample_models.loading import LoadedModel
from sample_models.taps import record

ALONE, RIGHT, LEFT = "alone", "padded on the right", "padded on the left"
PADDING = 8
"""Tokens of padding that the text gets: the other text of the batch is so much longer."""


@dataclass(frozen=True, eq=False)
class BatchRuns:
    """One text, run alone and beside a longer one."""

    alone: RoutingTrace
    batched: dict[str, RoutingTrace]
    """How the text was padded -> its trace. `generate` of a batch pads on the left, a training batch on the right."""
    gaps: dict[str, float]
    """How the text was padded -> largest absolute difference of a logit from the run alone."""


@torch.inference_mode()
def run_in_batches(loaded: LoadedModel, text: str | RoutingTrace) -> BatchRuns:
    """Run a text, or that of a trace, alone and in a batch with a longer text, padded on either side.

    Safe to call from several threads. Raises ValueError if the text holds no token, for a model without routing, or for
    a trace of another model or with interventions.
    """
    refuse_without_routing(loaded)
    if isinstance(text, RoutingTrace):
        refuse_intervened(text, "this check")
    instrument(loaded.model)
    reading = read(loaded, text)
    parts: dict[str, list[Part]] = {ALONE: [], RIGHT: [], LEFT: []}
    gaps = dict.fromkeys(parts, 0.0)
    for window in reading.windows:
        own = None
        for how in parts:
            part, logits = _run(loaded, reading, window, how)
            own = logits if own is None else own
            gaps[how] = max(gaps[how], float((logits - own).abs().max()))
            parts[how].append(part)
    traces = {how: routing_trace(loaded, reading, of_windows) for how, of_windows in parts.items()}
    alone = traces.pop(ALONE)
    del gaps[ALONE]
    return BatchRuns(alone, traces, gaps)


def _run(loaded: LoadedModel, reading: Reading, window: Window, how: str) -> tuple[Part, torch.Tensor]:
    """The part of the trace of a window, and its logits [token, vocab]."""
    model, ids = loaded.model, reading.ids[window.first : window.end]
    longer = [*ids[1:], *ids, *[ids[0]] * PADDING][: len(ids) + PADDING]
    padding, after = [0] * PADDING, how == RIGHT
    rows = [ids] if how == ALONE else [[*ids, *padding] if after else [*padding, *ids], longer]
    mask = torch.ones(len(rows), len(rows[0]), dtype=torch.long, device=model.device)
    first = PADDING if how == LEFT else 0
    mask[0, :first] = 0
    mask[0, first + len(ids) :] = 0
    positions = (mask.cumsum(dim=-1) - 1).clamp_min(0)
    names = routing_names(loaded.config.num_hidden_layers)
    with in_eval_mode(model), record(name for of_field in names.values() for name in of_field) as seen:
        output = model(
            torch.tensor(rows, device=model.device), attention_mask=mask, position_ids=positions, use_cache=False
        )
    own = slice(first, first + len(ids))
    here = {name: tensor[:1, own] for name, tensor in seen.items()}
    return window_part(loaded, reading, window, names, here, output.logits[:1, own]), output.logits[0, own].float()


__all__ = ["ALONE", "LEFT", "RIGHT", "BatchRuns", "run_in_batches"]
