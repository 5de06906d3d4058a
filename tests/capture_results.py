"""Random results of all captures beside the trace, made consistent, so that their sums hold up to rounding."""

import dataclasses
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.catalogue import Drawn
from analysis.compare.pair import TracePair
from analysis.compare.texts import paraphrase_flips
from analysis.explain.attribution import Attribution, attribution
from analysis.explain.embedding import Embedding, Placement, embedding
from analysis.explain.near_miss import TwoPrecisions
from analysis.figures.figure_pair import FigurePair
from analysis.models.training import TrainingCurves, read_curves
from analysis.texts.branches import Branches, BranchOfText
from analysis.texts.knock_out import KnockOutStudy, knock_out_study
from analysis.texts.study import Study, study
from analysis.view import DEFAULT_VIEW, View
from analysis.what_if.comparison import Comparison
from hooks.attention_trace import AttentionTrace
from hooks.depth_effects import GATES, DepthEffects
from hooks.frontier_record import RULES, SCOPES, Frontier, GateSweep
from hooks.interventions import ForceLoops, as_json
from hooks.knock_out_trace import MOST_K, PATHS, KnockOutTrace, experts_had, pair_experts
from hooks.lens_trace import EXIT, OUTPUT, STATE, LensTrace
from hooks.path_trace import PathTrace
from hooks.readout import LogitDirection
from hooks.slice_trace import SliceTrace
from hooks.trace import RoutingTrace
from hooks.training_trace import TrainingTrace
from hooks.transplant_trace import TransplantTrace


def make_paths(trace: RoutingTrace, *, tokens=None, hidden: int = 6, seed: int = 0, **overrides) -> PathTrace:
    """Random paths of all layers that fit `trace`: expert outputs sum to the first step, the stream goes on.

    Steps shrink with the loop; the layer's output follows from the ledger identity.
    """
    rng = np.random.default_rng(seed)
    first, end = tokens or (0, trace.num_tokens)
    part, layers, count = slice(first, end), trace.num_layers, end - first
    loops = trace.loops[:, part]
    stream = embedding = rng.normal(size=(count, hidden))
    rows = []
    for layer in range(layers):
        mid = stream + 0.5 * rng.normal(size=(count, hidden))
        experts = 0.4 * rng.normal(size=(count, trace.num_experts, hidden))
        steps = [experts.sum(axis=1)]
        for loop in range(1, trace.max_loops):
            steps.append(0.6 * steps[-1] + 0.2 * rng.normal(size=(count, hidden)) / loop)
        states = mid[:, None] + np.concatenate([np.zeros((count, 1, hidden)), np.cumsum(np.stack(steps, 1), 1)], 1)
        gate = trace.gate[layer, part, None].astype(float)
        chosen = np.take_along_axis(experts, trace.expert_ids[layer, part, :, None], axis=1)
        width = (trace.expert_weights[layer, part, :, None] * chosen).sum(axis=1)
        depth = np.take_along_axis(states, loops[layer][:, None, None], axis=1)[:, 0] - mid
        post = mid + (1 - gate) * depth + gate * width
        rows.append((stream, states, experts, post))
        stream = post
    pre, states, experts, post = (np.stack(part).astype(np.float32) for part in zip(*rows, strict=True))
    fields = {
        "layers": np.arange(layers),
        "first_token": first,
        "states": states,
        "expert_out": experts,
        "resid_pre": pre,
        "resid_post": post,
        "embedding": embedding.astype(np.float32),
        "resid_final": stream.astype(np.float32),
        "norm_scale": (1 / np.sqrt(np.square(stream).mean(-1))).astype(np.float32),
        "norm_weight": np.ones(hidden, np.float32),
    }
    return PathTrace(routing=trace, **{**fields, **overrides})


def make_attribution(paths: PathTrace, token: int, *, removed: bool = True, seed: int = 0, **overrides) -> Attribution:
    """Attribution to a random direction whose value is what the stream gives, with random effects of removal."""
    rng = np.random.default_rng(seed)
    index, vector = paths.index(token), rng.normal(size=paths.states.shape[-1])
    fields = {
        "token": token,
        "target_id": 0,
        "target": "<i>$x$",
        "distractor_id": 1,
        "distractor": "␣b",
        "vector": vector,
        "value": float(paths.norm_scale[index] * (paths.resid_final[index] @ vector)),
    }
    direction = LogitDirection(**{**fields, **overrides})
    plain = attribution(paths, direction)
    return attribution(paths, direction, rng.normal(size=len(plain.table))) if removed else plain


def make_lens(trace: RoutingTrace, token: int, seed: int = 0, *, exits: Sequence[int] | None = None) -> LensTrace:
    """Random readings of all layers that fit `trace`, with the exits of these layers (None: all)."""
    rng, layers, loops = np.random.default_rng(seed), np.arange(trace.num_layers), np.arange(trace.max_loops + 1)
    ran, leaving = trace.loops[:, token], layers if exits is None else np.array(exits, dtype=int)
    reads = len(layers) * (len(loops) + 1) + len(leaving) * (len(loops) - 1)
    probs = -np.sort(-rng.dirichlet(np.ones(9), size=reads)[:, :5].astype(np.float32), axis=1)
    return LensTrace(
        routing=trace,
        token=token,
        target_id=0,
        target="<b>$x$",
        kind=np.repeat([STATE, EXIT, OUTPUT], [len(loops) * len(layers), (len(loops) - 1) * len(leaving), len(layers)]),
        layer=np.concatenate([np.repeat(layers, len(loops)), np.repeat(leaving, len(loops) - 1), layers]),
        loop=np.concatenate([np.tile(loops, len(layers)), np.tile(loops[1:], len(leaving)), ran]),
        used=np.concatenate([(loops <= ran[:, None]).ravel(), (loops[1:] == ran[leaving, None]).ravel(), ran > 0]),
        top_ids=np.tile(np.arange(5), (reads, 1)),
        top_tokens=[["␣<b>", "$x$", "a" * 40, "↵", "⟨F0 9F⟩"]] * reads,
        top_probs=probs,
        rank=rng.integers(1, 99, size=reads),
        probability=rng.random(reads).astype(np.float32),
        entropy=5 * rng.random(reads).astype(np.float32),
        kl=3 * rng.random(reads).astype(np.float32),
        rounding=1e-6,
    )


def make_attention(trace: RoutingTrace, token: int, *, heads: int = 3, seed: int = 0, **overrides) -> AttentionTrace:
    """Random attention of all layers at a token of `trace`."""
    pattern = np.random.default_rng(seed).dirichlet(np.full(token + 1, 0.3), size=(trace.num_layers, heads))
    fields = {"pattern": pattern.astype(np.float32), "gap": np.full(trace.num_layers, 1e-7, np.float32)}
    return AttentionTrace(routing=trace, as_read=trace, token=token, **{**fields, **overrides})


def make_slices(trace: RoutingTrace, *, tokens=None, seed: int = 0) -> SliceTrace:
    """Random shares of the slices in all layers, each loop's summing to 1."""
    first, end = tokens or (0, trace.num_tokens)
    shape = (trace.num_layers, end - first, trace.max_loops, trace.num_experts)
    share = np.random.default_rng(seed).normal(0.3, 0.2, size=shape)
    share /= share.sum(axis=-1, keepdims=True)
    return SliceTrace(trace, np.arange(trace.num_layers), first, np.abs(share), share)


def make_knock_outs(trace: RoutingTrace, *, seed: int = 0, **overrides) -> KnockOutTrace:
    """Random changes of the loss that fit `trace`: none for the first token, nor for an expert that nobody had."""
    rng, layers, experts = np.random.default_rng(seed), trace.num_layers, trace.num_experts
    cells, k = (len(PATHS), layers, experts), min(experts, MOST_K)
    shapes = {"change": cells, "control": cells, "whole": cells[:2], "top_k": (layers + 1, k)}
    shapes["pairs"] = (layers, len(pair_experts(experts)))
    arrays = {
        name: rng.normal(0.002, 0.01, size=(*shape, trace.num_tokens)).astype(np.float32)
        for name, shape in shapes.items()
    }
    for name, values in arrays.items():
        values[..., 0] = np.nan
        if name in ("change", "control"):
            values[0, ~experts_had(trace).any(axis=-1)] = np.nan
    return KnockOutTrace(**{"routing": trace, "then": "repick", "draws": 3, **arrays, **overrides})


def make_embedding(paths: PathTrace, layers=None, *, seed: int = 0) -> Embedding:
    """A map of the paths with random positions instead of UMAP's."""
    points = np.random.default_rng(seed).normal
    return embedding(
        paths, layers, place=lambda states, tell: Placement(points(size=(len(states), 2)), 0.987, 0.876, (0.5, 0.2))
    )


def make_training(trace: RoutingTrace, checkpoints: int = 3, seed: int = 0) -> TrainingTrace:
    """A training trace that ends with the trace; earlier checkpoints have its routing permuted among the tokens."""
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(trace.num_tokens) for _ in range(checkpoints - 1)]
    steps = np.arange(checkpoints) ** 2 * 100
    return TrainingTrace(
        trace,
        [_reordered(trace, order) for order in orders] + [trace],
        step=steps,
        seen=steps * 2048,
        tau=np.geomspace(5, 0.1, checkpoints),
        held_out=np.linspace(6, 3, checkpoints),
    )


ROUTED = ("depth_logits", "loops", "gate", "width_ran", "expert_logits", "expert_ids", "expert_weights")
"""Fields of a trace by layer and token."""


def _reordered(trace: RoutingTrace, order: np.ndarray) -> RoutingTrace:
    return replace(trace, **{name: getattr(trace, name)[:, order] for name in ROUTED})


def make_comparison(trace: RoutingTrace, seed: int = 0) -> Comparison:
    """A comparison whose second trace has its routing permuted among the tokens and other log-probabilities.

    Its intervention names the first token in the first layer, where one loop ran.
    """
    rng = np.random.default_rng(seed)
    after = _reordered(trace, rng.permutation(trace.num_tokens))
    meta = {**trace.meta, "interventions": as_json((ForceLoops(1, layers=0, tokens=0),))}
    after = replace(after, logprob=after.logprob - rng.random(trace.num_tokens).astype(np.float32), meta=meta)
    return Comparison(trace, after, rng.random(trace.num_tokens).astype(np.float32))


def make_pair(trace: RoutingTrace, seed: int = 0) -> TracePair:
    """The trace beside itself with a token exchanged and one left out, its routing permuted; and three paraphrases."""
    rng = np.random.default_rng(seed)
    kept = np.delete(np.arange(trace.num_tokens), [] if trace.num_tokens < 6 else [5])
    b = _reordered(trace, rng.permutation(trace.num_tokens))
    arrays = {
        each.name: np.take(value, kept, axis=1 if each.name in ROUTED else 0)
        for each in dataclasses.fields(RoutingTrace)
        if isinstance(value := getattr(b, each.name), np.ndarray)
    }
    tokens = [trace.tokens[token] for token in kept]
    if len(tokens) > 4:
        tokens[3] = "␣<b>other</b>"
    text = "".join(tokens)
    next_tokens = [trace.next_tokens[token] for token in kept]
    b = RoutingTrace(tokens=tokens, next_tokens=next_tokens, meta=trace.meta | {"text": text}, **arrays)
    texts = [_reordered(trace, rng.permutation(trace.num_tokens)) for _ in range(6)]
    texts = [replace(each, meta=each.meta | {"text": str(i)}) for i, each in enumerate(texts)]
    return TracePair(trace, b, paraphrase_flips(texts))


def make_transplants(trace: RoutingTrace, seed: int = 0) -> TransplantTrace:
    """The trace beside itself; under the other's routing, log-probabilities are others."""
    rng = np.random.default_rng(seed)

    def others() -> tuple[RoutingTrace, ...]:
        shift = rng.random((3, trace.num_tokens)).astype(np.float32)
        return tuple(replace(trace, logprob=trace.logprob - each) for each in shift)

    return TransplantTrace(trace, trace, others(), others())


def make_effects(trace: RoutingTrace, seed: int = 0) -> DepthEffects:
    """Random effects of every depth; the chosen one has none, and the last token was not run."""
    rng, shape = np.random.default_rng(seed), (len(GATES), trace.max_loops, *trace.loops.shape)
    chosen = np.arange(trace.max_loops)[:, None, None] == trace.loops - 1
    own, later = (np.where(chosen, 0, rng.normal(scale=scale, size=shape)).astype(np.float32) for scale in (0.1, 0.01))
    own[..., -1:], later[..., -1:] = np.nan, np.nan
    return DepthEffects(trace, own, later, 1e-6)


def make_frontier(trace: RoutingTrace, seed: int = 0) -> Frontier:
    """Some points of every rule."""
    rule = [*RULES[:2], *(rule for rule in RULES[1:] for _ in range(4))]
    rng = np.random.default_rng(seed)
    loops = np.array([2.0, 2.0, *[2.0] * 4, *[1.0, 2.0, 3.0, 4.0] * (len(RULES) - 2)])
    return Frontier(trace, rule, rng.random(len(rule)), loops, 3 + 0.3 * rng.random(len(rule)))


def make_gate_sweep(trace: RoutingTrace, layer: int, token: int, seed: int = 0) -> GateSweep:
    """Random changes with every lambda."""
    rng, gate = np.random.default_rng(seed), np.linspace(0, 1, 11)
    return GateSweep(trace, layer, token, gate, rng.normal(size=(len(SCOPES), 11)), rng.normal(size=11))


def make_curves(trace: RoutingTrace) -> TrainingCurves:
    """Training curves of two runs, one of which has a hostile name."""
    rows = b"run,step,tokens,loss,held_out,tau,load_balance,depth_entropy,lr\n"
    rows += b"dense,10,100,5,,,,,1\ndense,20,200,4,4.5,,,,0.5\n"
    rows += b"<b>$x$</b>,10,100,4.2,,5,1.1,1.2,1\n<b>$x$</b>,20,200,3.9,4,0.1,1,1.3,0.5\n"
    return TrainingCurves(read_curves(rows), trace.meta)


def make_branches(trace: RoutingTrace) -> Branches:
    """The trace as a text that was generated from its first token on, and a branch that ends earlier."""
    stated = {"generated": {"first": 1, "sampling": [{"first": 1, "temperature": 0.0}]}}
    whole = replace(trace, meta=trace.meta | stated)
    others = replace(whole, token_ids=np.where(np.arange(trace.num_tokens) > 1, 0, trace.token_ids))
    first, second = BranchOfText("A", whole), BranchOfText("B", others, 0, 1, "4 loops; all layers, token 1")
    return Branches((first, second), 1, 0)


def result_of(kind: type, trace: RoutingTrace, view: View = DEFAULT_VIEW) -> Drawn:
    """The trace, or a random result of the kind that a figure draws (`FigureSpec.of`) and that fits the trace."""
    if kind is RoutingTrace:
        return trace
    if kind is Branches:
        return make_branches(trace)
    if kind is Study:
        return study([trace, trace], draws=9)
    if kind is KnockOutStudy:
        return knock_out_study([make_knock_outs(trace, seed=seed) for seed in range(6)])
    if kind is TrainingCurves:
        return make_curves(trace)
    if kind is Comparison:
        return make_comparison(trace)
    if kind is TracePair:
        return make_pair(trace)
    if kind is FigurePair:
        return FigurePair(make_pair(trace), "loop_shares")
    if kind is TransplantTrace:
        return make_transplants(trace)
    paths = make_paths(trace, tokens=view.window)
    make = {
        PathTrace: lambda: paths,
        Attribution: lambda: make_attribution(paths, view.token),
        AttentionTrace: lambda: make_attention(trace, view.token),
        LensTrace: lambda: make_lens(trace, view.token),
        Embedding: lambda: make_embedding(paths),
        KnockOutTrace: lambda: make_knock_outs(trace),
        SliceTrace: lambda: make_slices(trace, tokens=view.window),
        TrainingTrace: lambda: make_training(trace),
        DepthEffects: lambda: make_effects(trace),
        Frontier: lambda: make_frontier(trace),
        GateSweep: lambda: make_gate_sweep(trace, view.layer, view.token),
        TwoPrecisions: lambda: TwoPrecisions(trace, make_training(trace, 2).traces[0]),
    }
    return make[kind]()
