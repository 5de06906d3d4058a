"""Knock-outs: drops experts of a text one at a time, in pairs and all of a layer, beside experts drawn at random.

The work is a list of variants (`hooks.variants`) that is measured a few at a time, so that whoever waits sees how far
it is, can stop, and keeps what was measured.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from hooks.knock_out_trace import MOST_K, PATHS, STAGES, KnockOutTrace, Path, Then, experts_had, pair_experts
from hooks.reading import refuse_intervened
from hooks.replay import trace_of
from hooks.trace import RoutingTrace
from hooks.variants import Variant, nothing, variant_logprobs
from sample_models.interventions import DropExpert, ForceTopK
from sample_models.loading import LoadedModel

DRAWS = 3
"""Random controls of each expert, unless the caller wants more."""
STEP_S = 0.3
"""Seconds that one step should take: so often progress is seen and a stop takes effect."""
MOST_TOKENS = 4096
"""Tokens of all variants of one step."""


class _Item(NamedTuple):
    """One variant to be measured, and where its numbers belong."""

    stage: str
    layer: int
    variant: Variant
    into: str
    """Name of the array."""
    at: tuple[int, ...]


class KnockOutRun:
    """The knock-outs of one text, measured step by step; `result` is what is known so far.

    Not for several threads at once. An exception in a step, such as one that `between` raises, loses that step alone.
    """

    def __init__(self, trace: RoutingTrace, *, then: Then = "repick", draws: int = DRAWS, seed: int = 0):
        """Of a trace of the model's own choices. Raises ValueError for one with interventions, or without draws."""
        refuse_intervened(trace, "what its experts do")
        if draws < 1:
            raise ValueError(f"a control needs at least one draw, got {draws}")
        self.trace, self.then, self.draws = trace, then, draws
        layers, experts, tokens = trace.num_layers, trace.num_experts, trace.num_tokens
        cells = (len(PATHS), layers, experts, tokens)
        shapes = {"change": cells, "control": cells, "whole": (len(PATHS), layers, tokens)}
        shapes |= {"top_k": (layers + 1, min(experts, MOST_K), tokens)}
        shapes |= {"pairs": (layers, len(pair_experts(experts)), tokens)}
        self._arrays = {name: np.full(shape, np.nan, np.float32) for name, shape in shapes.items()}
        self._drawn = np.zeros(cells[:3], int)
        plan = list(_plan(trace, then, draws, seed))
        self._items = {stage: [item for item in plan if item.stage == stage] for stage in STAGES}
        self._done = dict.fromkeys(STAGES, 0)
        self._work = {stage: np.cumsum([0, *map(self._cost, items)]) for stage, items in self._items.items()}
        self._rows, self._known = 2, None

    @property
    def nbytes(self) -> int:
        """Bytes of what is or will be measured, and of its last result."""
        return 2 * sum(values.nbytes for values in self._arrays.values())

    def share(self, stages: Iterable[str] = STAGES) -> float:
        """How much of these stages is measured, 0..1, by what it costs."""
        stages = tuple(stages)
        total = sum(int(self._work[each][-1]) for each in stages)
        return sum(int(self._work[each][self._done[each]]) for each in stages) / total if total else 1.0

    def advance(
        self, loaded: LoadedModel, stages: Iterable[str] = STAGES, *, between: Callable[[], None] = nothing
    ) -> bool:
        """Measure the next few variants of the first of these stages that is not finished; return whether one was left.

        `between` is called before every layer of the pass and among its logits. Raises ValueError for a trace of
        another model.
        """
        stage = next((each for each in stages if self._done[each] < len(self._items[each])), None)
        if stage is None:
            return False
        first = self._done[stage]
        room = max(1, MOST_TOKENS // self.trace.num_tokens)
        items = self._items[stage][first : first + min(self._rows, room)]
        began = time.perf_counter()
        logprobs = variant_logprobs(loaded, self.trace, [item.variant for item in items], between=between)
        seconds = time.perf_counter() - began
        for item, logprob in zip(items, logprobs, strict=True):
            self._note(item, self.trace.logprob - logprob)
        self._done[stage] += len(items)
        self._known = None
        fitting = len(items) * STEP_S / max(seconds, 1e-3)
        self._rows = int(np.clip(fitting, 1, 2 * self._rows))
        return True

    def result(self) -> KnockOutTrace:
        """What is measured so far; the same object until more is. A control is there once all its draws are."""
        if self._known is None:
            arrays = {name: values.copy() for name, values in self._arrays.items()}
            arrays["control"][self._drawn < self.draws] = np.nan
            self._known = KnockOutTrace(self.trace, self.then, self.draws, **arrays)
        return self._known

    def _note(self, item: _Item, change: np.ndarray) -> None:
        array = self._arrays[item.into]
        if item.into != "control":
            array[item.at] = change
            return
        drawn = self._drawn[item.at]
        array[item.at] = change if not drawn else array[item.at] + (change - array[item.at]) / (drawn + 1)
        self._drawn[item.at] += 1

    def _cost(self, item: _Item) -> int:
        return self.trace.num_layers - item.layer


def knock_outs(
    loaded: LoadedModel,
    text: str | RoutingTrace,
    *,
    then: Then = "repick",
    draws: int = DRAWS,
    seed: int = 0,
    stages: Sequence[str] = STAGES,
    progress: Callable[[float], None] = lambda share: None,
) -> KnockOutTrace:
    """What a text's loss becomes without its experts, with `draws` random controls of each; `stages` as in STAGES.

    `progress` is told the share done, 0..1. Raises ValueError for a text without tokens, a trace of another model or
    with interventions, or an unknown stage.
    """
    if unknown := sorted(set(stages) - set(STAGES)):
        raise ValueError(f"the stages are {', '.join(STAGES)}, got {unknown[0]!r}")
    run = KnockOutRun(trace_of(loaded, text), then=then, draws=draws, seed=seed)
    while run.advance(loaded, stages):
        progress(run.share(stages))
    return run.result()


def _plan(trace: RoutingTrace, then: Then, draws: int, seed: int) -> Iterator[_Item]:
    """All variants, stage by stage and layer by layer: those of a layer are measured together."""
    had, experts = experts_had(trace), range(trace.num_experts)
    for number, path in enumerate(PATHS):
        for layer in range(trace.num_layers):
            all_gone = tuple(DropExpert(expert, layer, path=path, then="kept") for expert in experts)
            yield _Item(path, layer, all_gone, "whole", (number, layer))
            for expert in experts:
                if path == "width" and not had[layer, expert].any():
                    continue
                at = (number, layer, expert)
                yield _Item(path, layer, (DropExpert(expert, layer, path=path, then=then),), "change", at)
                for draw in range(draws):
                    rng = np.random.default_rng([seed, *at, draw])
                    yield _Item(path, layer, _at_random(trace, had, path, at, then, rng), "control", at)
    for k in range(1, min(trace.num_experts, MOST_K) + 1):
        yield _Item("k", 0, (ForceTopK(k),), "top_k", (trace.num_layers, k - 1))
    for layer in range(trace.num_layers):
        for k in range(1, min(trace.num_experts, MOST_K) + 1):
            yield _Item("k", layer, (ForceTopK(k, layer),), "top_k", (layer, k - 1))
    for layer in range(trace.num_layers):
        for number, pair in enumerate(pair_experts(trace.num_experts)):
            gone = tuple(DropExpert(expert, layer, then=then) for expert in pair)
            yield _Item("pairs", layer, gone, "pairs", (layer, number))


def _at_random(
    trace: RoutingTrace, had: np.ndarray, path: Path, at: tuple[int, int, int], then: Then, rng: np.random.Generator
) -> Variant:
    """At every token, one expert drawn instead of the one at `at`.

    A token whose width path had that one loses one of its own experts. In the loops, which run all experts, any may be
    drawn; in both paths, a token that had not that one loses one that it did not have either.
    """
    _, layer, expert = at
    hit = had[layer, expert]
    pool = had[layer].T if path == "width" else np.ones_like(had[layer].T)  # [token, expert]
    if path == "both":
        pool = np.where(hit[:, None], had[layer].T, ~had[layer].T)
        pool[~pool.any(axis=-1)] = True
    drawn = np.where(pool, rng.random(pool.shape), -1).argmax(axis=-1)
    named = hit if path == "width" else np.ones_like(hit)
    return tuple(
        DropExpert(each, layer, np.flatnonzero(named & (drawn == each)), path=path, then=then)
        for each in range(trace.num_experts)
        if (named & (drawn == each)).any()
    )


__all__ = ["DRAWS", "KnockOutRun", "knock_outs"]
