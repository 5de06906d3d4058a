"""Answers about the selected token and layer: what was decided, written, predicted and read there."""

import numpy as np

from analysis.aggregate import ordinary
from analysis.answers.answer import Answer, Piece, a_layer, a_token, an_expert, answer, share
from analysis.explain.attention import attention_by_loops, counted, mismatch
from analysis.explain.dealt import dealt_experts
from analysis.explain.geometry import path_cosine
from analysis.explain.ledger import imbalance, layer_ledger
from analysis.explain.lens import grid
from analysis.recursion import depth_margin
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import how_many, short_label
from analysis.words.numbers import number
from hooks.attention_trace import AttentionTrace
from hooks.lens_trace import EXIT, OUTPUT, LensTrace
from hooks.path_trace import PathTrace
from hooks.trace import RoutingTrace

FEWEST_READ = 5
"""Earlier tokens from which on shares of the attention on them are told."""


def walkthrough(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> Answer:
    """Loops, gate and experts of the selected token in the selected layer."""
    layer, token = view.layer, view.token
    loops, gate = int(trace.loops[layer, token]), float(trace.gate[layer, token])
    pieces: list[Piece] = [
        "In ", a_layer(layer), f" the FFN ran {how_many(loops, 'time')} for ", a_token(trace, token),
        f"{_how_sure(trace, layer, token)}. ",
    ]  # fmt: skip
    if not trace.width_ran[layer, token]:
        return answer(*pieces, "λ is 0, so the output comes from the loops alone and no expert ran.")
    chosen = zip(trace.expert_ids[layer, token].tolist(), trace.expert_weights[layer, token].tolist(), strict=True)
    pieces.append(f"With λ = {number(gate)} the experts weigh {share(gate)} in the mixture, the loops the rest. ")
    for rank, (expert, weight) in enumerate(chosen):
        pieces += [" and " if rank else "", an_expert(expert, layer, capital=not rank)]
        pieces.append(f" ({share(weight)})")
    return answer(*pieces, " share that weight." if trace.expert_ids.shape[2] > 1 else " has that weight.")


def write_ledger(paths: PathTrace, view: View = DEFAULT_VIEW) -> Answer:
    """Which write was the largest part of what the selected layer's FFN added for the selected token."""
    trace, layer = paths.routing, view.layer
    ledger = layer_ledger(paths.only(view.token), layer)
    if problem := imbalance(paths, ledger.residual):
        return Answer(problem)
    parts, ran = ledger.share[0], ledger.ran[0]
    best = int(np.where(ran, parts, -np.inf).argmax())
    if best < ledger.loops:
        name: Piece = f"loop {best + 1}"
    else:
        name = an_expert(int(ledger.expert_ids[0, best - ledger.loops]), layer)
    loops, experts = (float(parts[of][ran[of]].sum()) for of in (slice(ledger.loops), slice(ledger.loops, None)))
    rest = "no expert ran" if not trace.width_ran[layer, view.token] else f"the experts {share(experts)}"
    return answer(
        "In ", a_layer(layer), ", ", name, " wrote the largest part of what the FFN added for ",
        a_token(trace, view.token), f": {share(float(parts[best]))} of the update, as a projection on it. All "
        f"loops together wrote {share(loops)}, and {rest}.",
    )  # fmt: skip


def recursion_lens(lens: LensTrace, view: View = DEFAULT_VIEW) -> Answer:
    """What the model predicts after the token, from which layer on, and which other exits would have changed that."""
    outputs, first = lens.of(OUTPUT), lens.top_ids[:, 0]
    final = int(outputs[-1])
    agree = first[outputs] == first[final]
    since = len(agree) - int(np.argmin(agree[::-1])) if not agree.all() else 0
    exits = ~grid(lens, EXIT, lens.used)  # [layer, loop]
    changed = exits & (grid(lens, EXIT, first) != first[final])
    pieces: list[Piece] = [
        "After ", a_token(lens.routing, lens.token), ", the model predicts "
        f"“{short_label(lens.top_tokens[final][0])}” ({share(float(lens.top_probs[final, 0]))}) as the next token; the "
        "logit lens does so from the output of ", a_layer(lens.layer[outputs][since]), " on. ",
    ]  # fmt: skip
    if not exits.any():
        return answer(*pieces, "With only one loop there is no other exit.")
    pieces.append(
        f"Exiting a layer after another number of loops would change this in {changed.sum():,} of {exits.sum():,} cases"
    )
    if not changed.any():
        return answer(*pieces, ".")
    where = int(changed.sum(axis=1).argmax())
    return answer(
        *pieces,
        ", most often in ",
        a_layer(lens.layer[outputs][where]),
        f" ({changed[where].sum()} of {exits[where].sum()}).",
    )


def geometry(paths: PathTrace, view: View = DEFAULT_VIEW) -> Answer:
    """Whether the paths of the selected layer write in similar directions, beside experts dealt from other tokens."""
    kept = ordinary(paths.routing)[paths.tokens]
    cosine = path_cosine(paths.in_layer(view.layer), "writes")[0, kept]
    known = np.isfinite(cosine)
    if not known.any():
        return answer("In ", a_layer(view.layer), " no token ran both paths, so there is nothing to compare.")
    dealt = dealt_experts(paths, view.layer).cosine_of_writes
    dealt = dealt[np.isfinite(dealt)]
    pieces: list[Piece] = [
        "In ", a_layer(view.layer),
        f" the writes of both paths have a mean cosine of {number(float(cosine[known].mean()))} "
        f"for {how_many(int(known.sum()), 'token')} that ran both (1: the same direction, 0: orthogonal). ",
    ]  # fmt: skip
    if not len(dealt):
        return answer(*pieces, "One token alone cannot be compared with others.")
    gained = float(cosine[known].mean() - dealt.mean())
    return answer(
        *pieces,
        f"With experts dealt from other tokens it is {number(float(dealt.mean()))}: only the difference, "
        f"{number(gained)}, is about the router's choice.",
    )


def attention(read: AttentionTrace, view: View = DEFAULT_VIEW) -> Answer:
    """What the selected token read most in the selected layer, and how many loops that took."""
    trace, layer = read.as_read, view.layer
    if problem := mismatch(read, layer):
        return Answer(problem)
    weights = read.pattern[layer].mean(axis=0, dtype=float)
    pieces: list[Piece] = ["In ", a_layer(layer), ", ", a_token(read.routing, read.token)]
    if len(weights) == 1:
        return answer(*pieces, " could attend only to itself, because it is the first token.")
    best = int(weights.argmax()) + read.first_read
    loops = how_many(int(trace.loops[layer, best]), "loop")
    if best == read.token:
        pieces += [" attended most to itself"]
    else:
        pieces += [" attended most to ", a_token(read.routing, best)]
    pieces.append(f" ({share(float(weights.max()))} of the attention, mean over heads), which took {loops} there.")
    if counted(read).sum() < FEWEST_READ:
        return answer(*pieces)
    rows = attention_by_loops(read).query(f"layer == {layer} and tokens > 0")
    row = rows.loc[(rows["attention_share"] - rows["token_share"]).idxmax()]
    if len(rows) < 2 or not row["attention_share"] > row["token_share"]:
        return answer(*pieces, " The tokens before it took equally many loops in this layer.")
    return answer(
        *pieces,
        f" Of its attention to earlier tokens, those with {how_many(int(row['loops']), 'loop')} got "
        f"{share(row['attention_share'])}; they are {share(row['token_share'])} of the earlier tokens.",
    )


def _how_sure(trace: RoutingTrace, layer: int, token: int) -> str:
    """How far the number of loops that ran was ahead of the next, or that the depth head would have chosen another."""
    preferred = int(trace.depth_logits[layer, token].argmax()) + 1
    if preferred != trace.loops[layer, token]:
        return f", although the depth head preferred {preferred}"
    margin = float(depth_margin(trace)[layer, token])
    return "" if np.isnan(margin) else f", {number(margin)} logits ahead of the next choice"


__all__ = ["attention", "geometry", "recursion_lens", "walkthrough", "write_ledger"]
