"""Reruns a text with every number of loops of every token in every layer, one cell at a time, in few passes.

Forcing the loops of a token in a layer changes nothing in the layers below, nor at the tokens before it, nor at any
other token of that layer. So the text is run once. What each number of loops makes of a token is computed from the
layer's own input, for all tokens at once, and only the layers above run again, from that token on, with the keys and
values of the tokens before. All cells of a token share these passes: a cell joins them above its layer.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from hooks.depth_effects import GATES, DepthEffects, TokenEffects, tokens_to_run
from hooks.hook_points import instrument
from hooks.passes import run_rows
from hooks.reading import refuse_intervened, refuse_other_model, refuse_without_routing
from hooks.replay import replayed
from hooks.trace import RoutingTrace
from hooks.windows import Window
from sample_models.lambda_gate import width_share
from sample_models.loading import LoadedModel
from sample_models.taps import HOOK_NAMES, Edit, edited

MAX_ROW_TOKENS = 1024
"""Most tokens of one pass, all its rows together."""
MAX_LOGITS = 2**19
"""Most logits that are computed at a time: so many stay in the cache of a core."""
MID, POST = "blocks.{}.hook_resid_mid", "blocks.{}.hook_resid_post"
Check = Callable[[], None]
"""Called before each layer of each pass; an exception that it raises ends the sweep."""


def depth_sweep(
    loaded: LoadedModel, trace: RoutingTrace, *, tokens: Iterable[int] | None = None, check: Check = lambda: None
) -> DepthEffects:
    """The effects of every number of loops in every layer, for these tokens or all; see `sweep_tokens`."""
    return DepthEffects.none_of(trace).with_tokens(list(sweep_tokens(loaded, trace, tokens=tokens, check=check)))


def sweep_tokens(
    loaded: LoadedModel, trace: RoutingTrace, *, tokens: Iterable[int] | None = None, check: Check = lambda: None
) -> Iterator[TokenEffects]:
    """The effects of one token after the other, so that a caller can show, stop and keep what is there.

    `tokens` may be an iterator that decides as it goes. Each token equals `capture` under `ForceLoops` for one
    cell, up to the rounding of another batch shape. In a text read in several windows a token is forced in the window
    that owns it. Safe to call from several threads.

    Raises ValueError for a trace of another model or with interventions, a model without routing, or a token that has
    no next one.
    """
    refuse_without_routing(loaded)
    refuse_other_model(loaded, trace)
    refuse_intervened(trace, "what other depths would do")
    instrument(loaded.model)
    start, control = None, True
    for token in tokens_to_run(trace) if tokens is None else tokens:
        if not 0 <= token < trace.num_tokens - 1:
            raise ValueError(f"tokens must be 0..{trace.num_tokens - 2}, those with a next one, got {token}")
        window = trace.window_of(token)
        if start is None or start.window != window:
            start = _start(loaded, trace, window, check)
        yield start.effects_of(token, check, control=control)
        control = False


@torch.inference_mode()
def _start(loaded: LoadedModel, trace: RoutingTrace, window: Window, check: Check) -> "_Start":
    """Run a window once as it is, and each of its layers with every number of loops on the input that it had."""
    model, layers = loaded.model, range(trace.num_layers)
    ids = trace.token_ids[window.first : window.end].tolist()
    names = [name.format(layer) for layer in layers for name in (MID, POST)]
    check()
    with edited(replayed(loaded, trace, window)):
        output, seen = run_rows(model, [ids], names, use_cache=True)
    targets = torch.tensor(trace.token_ids[window.first + 1 : window.end + 1], device=model.device)
    forced, own = [], window.own_part
    for layer in layers:
        check()
        middle = seen[MID.format(layer)][:, own].expand(len(GATES) * trace.max_loops, -1, -1)
        with edited(_forced(trace, layer, slice(window.own, window.end))):
            forced.append(model.model.layers[layer].mlp(middle).unflatten(0, (len(GATES), -1)))
    return _Start(
        loaded,
        trace,
        window,
        forced,
        [seen[POST.format(layer)][0] for layer in layers],
        [tuple(layer[:2]) for layer in output.past_key_values],
        targets,
        -_surprisal(loaded, output.logits[0, : len(targets)], targets),
    )


@dataclass(frozen=True)
class _Start:
    """What all cells of a window begin from."""

    loaded: LoadedModel
    trace: RoutingTrace
    window: Window
    forced: list[torch.Tensor]
    """Output of every layer for the window's own tokens, with each number of loops [gate loop token hidden]."""
    outputs: list[torch.Tensor]
    """Output of every layer as it is [token hidden]."""
    past: list[tuple[torch.Tensor, torch.Tensor]]
    """Keys and values of every layer [1 head token head_dim]."""
    targets: torch.Tensor
    """The token that follows each one; the last of a text has none."""
    logprob: torch.Tensor
    """Their log p as it is."""

    @torch.inference_mode()
    def effects_of(self, token: int, check: Check, *, control: bool) -> TokenEffects:
        """The effects of one token; `control` measures the rounding as well."""
        place, trace = token - self.window.first, self.trace
        chosen = trace.loops[:, token] - 1
        shape = (len(GATES), trace.max_loops, trace.num_layers)
        cells = [cell for cell in np.ndindex(shape) if cell[1] != chosen[cell[2]]]
        cells.sort(key=lambda cell: cell[2])
        last = [cell for cell in cells if cell[2] == trace.num_layers - 1]
        above: list[tuple[int, int, int] | None] = [None, *cells[: len(cells) - len(last)]]  # None: nothing forced
        if not control or trace.num_layers == 1:
            above = above[1:]
        own, later, rounding = np.zeros(shape, np.float32), np.zeros(shape, np.float32), float("nan")
        count = len(self.targets) - place
        for part in _parts(above, max(MAX_ROW_TOKENS // count, 1)):
            stream = self._rerun(place, part, check)
            for cell, change in zip(part, self._changes(stream, place, check), strict=True):
                if cell is None:
                    rounding = float(change.abs().max())
                else:
                    own[cell], later[cell] = float(change[0]), float(change.mean())
        if last:
            outputs = torch.stack([self._output(cell, place) for cell in last])[:, None]
            for cell, change in zip(last, self._changes(outputs, place, check), strict=True):
                own[cell], later[cell] = float(change[0]), float(change[0]) / count
        return TokenEffects(token, own, later, rounding)

    def _output(self, cell: tuple[int, int, int], place: int) -> torch.Tensor:
        """Output [hidden] of a cell's layer at its token."""
        gate, loop, layer = cell
        return self.forced[layer][gate, loop, place - self.window.own_part.start]

    def _rerun(self, place: int, cells: Sequence[tuple[int, int, int] | None], check: Check) -> torch.Tensor:
        """The stream [cell token hidden] after the last layer, from the place on; cells ascend by their layer."""
        inner, end = self.loaded.model.model, len(self.targets)
        positions = torch.arange(place, end, device=self.targets.device)[None]
        seen = positions[0, :, None] >= torch.arange(end, device=self.targets.device)
        stream = self.outputs[0].new_empty(0, end - place, self.outputs[0].shape[-1])
        turned = inner.rotary_emb(self.outputs[0][None], position_ids=positions)
        for index in range(1, len(inner.layers)):
            joining = [cell for cell in cells if (cell[2] if cell else 0) == index - 1]
            if joining:
                begun = self.outputs[index - 1][place:end].repeat(len(joining), 1, 1)
                for row, cell in enumerate(joining):
                    if cell:
                        begun[row, 0] = self._output(cell, place)
                stream = torch.cat([stream, begun])
            if len(stream):
                check()
                stream = inner.layers[index](
                    stream,
                    attention_mask=seen[None, None],
                    position_ids=positions,
                    position_embeddings=turned,
                    past_key_values=_KeysBefore(self.past, place) if place else None,
                )
        return stream

    def _changes(self, stream: torch.Tensor, place: int, check: Check) -> torch.Tensor:
        """Change of log p [row token] from the place on, for streams [row token hidden] after the last layer."""
        model, (rows, count, _) = self.loaded.model, stream.shape
        targets = self.targets[place : place + count].expand(rows, count).flatten()
        flat, found = stream.flatten(0, 1), []
        size = max(MAX_LOGITS // model.config.vocab_size, 1)
        for part, of in zip(flat.split(size), targets.split(size), strict=True):
            check()
            found.append(-_surprisal(self.loaded, model.lm_head(model.model.norm(part)), of))
        return torch.cat(found).view(rows, count) - self.logprob[place : place + count]


class _KeysBefore:
    """Keys and values of the tokens before a place, which all rows of a pass share."""

    def __init__(self, past: list[tuple[torch.Tensor, torch.Tensor]], place: int):
        self.past, self.place = past, place

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer_idx: int, *args, **kwargs):
        """Keys and values [row head token head_dim] with those of the tokens before; nothing is stored."""
        own = (keys, values)
        return tuple(
            torch.cat([before[:, :, : self.place].expand(len(new), -1, -1, -1), new], dim=2)
            for before, new in zip(self.past[layer_idx], own, strict=True)
        )


def _forced(trace: RoutingTrace, layer: int, tokens: slice) -> dict[str, Edit]:
    """Edits of one layer's FFN whose rows are all loops, first with lambda that follows and then with lambda held.

    The experts are those of the trace.
    """

    def put(values: np.ndarray) -> Edit:
        def edit(tensor: torch.Tensor, hook) -> torch.Tensor:
            return torch.tensor(values, dtype=tensor.dtype, device=tensor.device).expand_as(tensor)

        return edit

    loops = np.arange(1, trace.max_loops + 1, dtype=np.float32)[:, None, None]
    held = trace.gate[layer, tokens, None]  # [token 1]
    follows = np.broadcast_to(width_share(loops, trace.max_loops), (len(loops), *held.shape))
    by_field = {
        "loop_choice": np.tile(loops[..., 0] - 1, (len(GATES), 1)),
        "gate": np.concatenate([follows, np.broadcast_to(held, follows.shape)]),
        "expert_ids": trace.expert_ids[layer, tokens],
        "expert_weights": trace.expert_weights[layer, tokens],
    }
    return {HOOK_NAMES[field].format(layer): put(values) for field, values in by_field.items()}


def _surprisal(loaded: LoadedModel, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """-log p of the targets [token], nats, in float32."""
    return F.cross_entropy(logits.float(), targets, reduction="none")


def _parts(items: list, size: int) -> Iterator[list]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


__all__ = ["depth_sweep", "sweep_tokens"]
