"""Runs many variants of a text's experts in few passes: what would the model have predicted, had it chosen otherwise?

A variant is a tuple of `DropExpert` and `ForceTopK`. Below the first layer that it names, it is the text as it was. So
one row of a pass runs the text as it was, and every variant leaves it at its first layer. What cannot have changed is
taken from the trace: the decisions up to that layer, and all that lies before the first token that is changed.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from transformers.masking_utils import create_causal_mask

from hooks.hook_points import instrument
from hooks.intervening import check_for_text, refuse_outside
from hooks.passes import to_numpy
from hooks.reading import refuse_intervened, refuse_other_model
from hooks.replay import decided
from hooks.trace import RoutingTrace
from hooks.windows import Window
from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.expert_choice import ExpertChoice
from sample_models.intervening import DEPTH_SLICES, most_experts
from sample_models.intervention import Intervention
from sample_models.interventions import DropExpert, ForceTopK
from sample_models.loading import LoadedModel
from sample_models.taps import HOOK_NAMES, Edit, TapInfo, edited

Variant = tuple[DropExpert | ForceTopK, ...]
LOGITS = 2**22
"""Most logits that are in memory at a time."""


def nothing() -> None:
    """What is called between two layers unless somebody wants to know."""


@torch.inference_mode()
def variant_logprobs(
    loaded: LoadedModel, trace: RoutingTrace, variants: Sequence[Variant], *, between: Callable[[], None] = nothing
) -> Float[np.ndarray, "variant token"]:
    """log p of every token of a traced text, in nats, under each variant; NaN for the first token.

    It is what `capture(loaded, text, interventions=variant)` gives, up to the rounding of another batch shape. Forces
    are applied before drops, and drops in the order of the experts. All variants share one pass per window, so the
    caller decides how many fit. `between` is called before every layer and among the logits; an exception that it
    raises ends the pass. Safe to call from several threads.

    Raises ValueError for a trace of another model or with interventions, and for a variant that does not fit.
    """
    refuse_other_model(loaded, trace)
    refuse_intervened(trace, "a variant of its experts")
    refuse_outside()
    for variant in variants:
        check_for_text(loaded, variant, trace.num_tokens)
        if not variant or not all(isinstance(each, DropExpert | ForceTopK) for each in variant):
            raise ValueError("a variant must be one or more of DropExpert and ForceTopK")
    instrument(loaded.model)
    found = np.tile(trace.logprob, (len(variants), 1))
    plans = [_plan(trace, variant) for variant in variants]
    for window in trace.windows:
        here = [row for row, plan in enumerate(plans) if plan.last >= window.first and plan.first < window.end]
        if not here:
            continue
        here.sort(key=lambda row: plans[row].layer)
        logprobs = _window_logprobs(loaded, trace, window, [plans[row] for row in here], between)
        for row, values in zip(here, logprobs, strict=True):
            since = max(window.own, plans[row].first) + 1  # a token's own number is read at the token before it
            found[row, since : window.end + 1] = values[since - 1 - window.first :][: trace.num_tokens - since]
    return found


@dataclass(frozen=True)
class _Plan:
    """A variant, and what it leaves as it was."""

    variant: Variant
    layer: int
    """The first layer that it changes."""
    first: int
    """The first token that it can change there."""
    last: int
    """The last one."""


def _plan(trace: RoutingTrace, variant: Variant) -> _Plan:
    layer = min(0 if each.layers is None else each.layers[0] for each in variant)
    tokens = np.concatenate([_touched(trace, each, layer) for each in variant])
    if not len(tokens):
        return _Plan(variant, layer, trace.num_tokens, -1)
    return _Plan(variant, layer, int(tokens.min()), int(tokens.max()))


def _touched(trace: RoutingTrace, each: DropExpert | ForceTopK, layer: int) -> np.ndarray:
    """Tokens that it can change in a layer below which nothing has changed; all that it names, if that is not known."""
    tokens = np.arange(trace.num_tokens) if each.tokens is None else np.array(each.tokens)
    known = len(trace.windows) == 1 and each.layers == (layer,)  # a window's own routing of earlier tokens is not known
    if known and isinstance(each, DropExpert) and each.path == "width":
        had = (trace.expert_ran[layer] & (trace.expert_ids[layer] == each.expert)).any(axis=-1)
        return tokens[had[tokens]]
    return tokens


def _window_logprobs(
    loaded: LoadedModel, trace: RoutingTrace, window: Window, plans: Sequence[_Plan], between: Callable[[], None]
) -> np.ndarray:
    """log p of the token after each token of a window, [variant, token]; the plans' layers ascend."""
    model, ids = loaded.model, torch.tensor(trace.token_ids[window.first : window.end], device=loaded.model.device)
    inner, begins, rows = model.model, [0, *(plan.layer for plan in plans)], [None, *plans]
    stream = inner.embed_tokens(ids[None])  # [row, token, hidden]
    positions = torch.arange(len(ids), device=ids.device)[None]
    turned = inner.rotary_emb(stream, position_ids=positions)
    mask = create_causal_mask(
        config=model.config, inputs_embeds=stream, attention_mask=None, past_key_values=None, position_ids=positions
    )
    with edited(_edits(loaded.config, trace, window, rows, begins)):
        for index, layer in enumerate(inner.layers):
            between()
            joining = bisect_right(begins, index) - len(stream)
            stream = torch.cat([stream, stream[:1].expand(joining, -1, -1)])
            stream = layer(stream, attention_mask=mask, position_ids=positions, position_embeddings=turned)
    after = trace.token_ids[np.arange(window.first + 1, window.end + 1) % trace.num_tokens]  # none follows the last one
    following, found = torch.tensor(after, device=ids.device)[:, None], []
    many = max(1, LOGITS // loaded.config.vocab_size)
    for row in stream[1:]:
        parts = []
        for states, of in zip(row.split(many), following.split(many), strict=True):
            between()
            logits = model.lm_head(inner.norm(states)).float()
            parts.append(logits.gather(-1, of).squeeze(-1) - logits.logsumexp(dim=-1))
        found.append(torch.cat(parts))
    return to_numpy(torch.stack(found))


def _edits(
    config: VersatileFFNConfig,
    trace: RoutingTrace,
    window: Window,
    rows: Sequence[_Plan | None],
    begins: Sequence[int],
) -> dict[str, Edit]:
    """Hook name -> edit for a pass whose first row is the text as it was, and whose others are the variants."""
    owned = np.arange(window.first, window.end) >= window.own
    place = np.arange(window.first, window.end)
    before = np.array([place < (trace.num_tokens if plan is None else plan.first) for plan in rows])
    values, edits = decided(trace, slice(window.first, window.end)), {}
    for layer in range(trace.num_layers):
        present = bisect_right(begins, layer)
        new = np.array(begins[:present]) == layer
        new[0] = True
        as_it_was = owned & (before[:present] | new[:, None])  # [row, token] whose decisions cannot have changed
        here = _operations(layer, rows[:present], window)
        edits |= _LayerOfRows(config, layer, as_it_was, values, here).edits()
    return edits


def _operations(layer: int, rows: Sequence[_Plan | None], window: Window) -> dict[Intervention, np.ndarray]:
    """What is done in a layer, named without layers and tokens -> in which rows and tokens [row, token]."""
    place, found = np.arange(window.first, window.end), {}
    masks: dict[Intervention, np.ndarray] = defaultdict(lambda: np.zeros((len(rows), len(place)), bool))
    for row, plan in enumerate(rows):
        for each in plan.variant if plan else ():
            if each.layers is None or layer in each.layers:
                here = np.ones(len(place), bool) if each.tokens is None else np.isin(place, each.tokens)
                masks[replace(each, layers=None, tokens=None)][row] |= here
    for each in sorted(masks, key=lambda each: (isinstance(each, DropExpert), getattr(each, "expert", 0))):
        found[each] = masks[each]
    return found


class _LayerOfRows:
    """The edits of one layer: what cannot have changed is put back first, then the variants' operations follow."""

    logits: torch.Tensor
    choice: ExpertChoice

    def __init__(self, config, layer: int, as_it_was: np.ndarray, values: dict[str, np.ndarray], operations):
        self.config, self.layer = config, layer
        self.as_it_was, self.values = torch.tensor(as_it_was), values
        self.operations = {each: torch.tensor(where) for each, where in operations.items()}
        self.in_width = {each: where for each, where in self.operations.items() if getattr(each, "path", "") != "depth"}

    def edits(self) -> dict[str, Edit]:
        found: dict[str, Edit] = {"loop_choice": self.put_back, "gate": self.put_back}
        if self.in_width:
            found |= {"expert_logits": self.see_logits, "expert_ids": self.choose, "expert_weights": self.weigh}
        else:
            found |= {"expert_ids": self.put_back, "expert_weights": self.put_back}
        edits = {HOOK_NAMES[field].format(self.layer): edit for field, edit in found.items()}
        if any(isinstance(each, DropExpert) and each.path != "width" for each in self.operations):
            edits[DEPTH_SLICES.format(self.layer)] = self.drop_slices
        return edits

    def put_back(self, tensor: torch.Tensor, hook: TapInfo) -> torch.Tensor:
        own = torch.tensor(self.values[hook.name], dtype=tensor.dtype, device=tensor.device)
        here = self.as_it_was.to(tensor.device)
        return torch.where(here[(..., *[None] * (tensor.ndim - 2))], own, tensor)

    def see_logits(self, logits: torch.Tensor, hook: TapInfo) -> torch.Tensor:
        self.logits = logits
        return logits

    def choose(self, chosen: torch.Tensor, hook: TapInfo) -> torch.Tensor:
        choice = ExpertChoice(self.logits, self.put_back(chosen, hook))
        for each, where in self.in_width.items():
            where = where.to(chosen.device)
            if isinstance(each, DropExpert):
                choice.drop(each, where)
            else:
                choice.force(each, where, torch.zeros_like(where), self.layer)
        self.choice = choice
        return choice.best(most_experts(self.config, list(self.in_width)))

    def weigh(self, weights: torch.Tensor, hook: TapInfo) -> torch.Tensor:
        return self.choice.weights

    def drop_slices(self, slices: torch.Tensor, hook: TapInfo) -> torch.Tensor:
        slices = slices.clone()
        for each, where in self.operations.items():
            if isinstance(each, DropExpert) and each.path != "width":
                gone = where.to(slices.device)
                slices[..., each.expert] = torch.where(gone, 0, slices[..., each.expert])
        return slices


__all__ = ["Variant", "variant_logprobs"]
