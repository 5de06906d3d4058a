"""Answers about the selected token and layer: what was decided, written, predicted and read there."""

import numpy as np
import pandas as pd

from analysis.aggregate import ordinary
from analysis.answers.answer import MOST_LAYERS_TOLD, Answer, Piece, a_layer, a_token, an_expert, answer, share
from analysis.explain.attention import attention_by_loops, counted, mismatch
from analysis.explain.attribution import Attribution
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

KINDS = {"loop": "loops", "expert": "experts", "attention": "attention", "embedding": "embedding"}
"""Kind of a write to the residual stream -> its words."""
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
    elsewhere = _in_every_layer(trace, token)
    if not trace.width_ran[layer, token]:
        why = "λ is 0" if trace.gate[layer, token] <= 0 else "The width path was dropped"
        return answer(*pieces, f"{why}, so the output comes from the loops alone and no expert ran.{elsewhere}")
    ids, weights = (
        values[layer, token, trace.expert_ran[layer, token]] for values in (trace.expert_ids, trace.expert_weights)
    )
    chosen = zip(ids.tolist(), weights.tolist(), strict=True)
    pieces.append(f"With λ = {number(gate)} the experts weigh {share(gate)} in the mixture, the loops the rest. ")
    for rank, (expert, weight) in enumerate(chosen):
        pieces += [" and " if rank else "", an_expert(expert, layer, capital=not rank)]
        pieces.append(f" ({share(weight)})")
    return answer(*pieces, f" {'share' if len(ids) > 1 else 'has'} that weight.{elsewhere}")


def _in_every_layer(trace: RoutingTrace, token: int) -> str:
    """The loops of a token from the first layer to the last, or their mean over many layers."""
    loops = trace.loops[:, token].tolist()
    if len(loops) == 1 or trace.max_loops == 1:
        return ""
    if len(loops) > MOST_LAYERS_TOLD:
        return f" Over all {len(loops)} layers it took {number(float(np.mean(loops)))} loops on average."
    return f" From layer 0 to layer {len(loops) - 1} it took {', '.join(map(str, loops[:-1]))} and {loops[-1]} loops."


def write_ledger(paths: PathTrace, view: View = DEFAULT_VIEW, *, prediction: Attribution | None = None) -> Answer:
    """Which write contributed most to the `prediction`, and which was the largest part of what the selected layer's
    FFN added for the selected token."""
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
    told = _wrote_most(prediction, layer) if prediction and prediction.gap <= prediction.allowed else []
    return answer(
        "In ", a_layer(layer), ", ", name, " wrote the largest part of what the FFN added for ",
        a_token(trace, view.token), f": {share(float(parts[best]))} of it, measured in its direction. All loops "
        f"together wrote {share(loops)}, and {rest}.", *told,
    )  # fmt: skip


def _wrote_most(prediction: Attribution, layer: int) -> list[Piece]:
    """What each kind of write contributed to a logit (difference), and which layer, single write and write of the
    selected `layer` contributed most."""
    table, to = prediction.table, prediction.direction
    best = table.loc[table["contribution"].idxmax()]
    by_kind = table.groupby("kind")["contribution"].sum().sort_values(ascending=False)
    by_layer = table[table["layer"] >= 0].groupby("layer")["contribution"].sum()
    kinds = ", ".join(f"{KINDS[kind]} {number(value, signed=True)}" for kind, value in by_kind.items())
    over = f" over “{short_label(to.distractor)}”" if to.distractor else ""
    return [
        f" The logit of “{short_label(to.target)}”{over} is {number(prediction.total, signed=True)} in all: {kinds}. "
        "The layer that adds most is ", a_layer(by_layer.idxmax()), f" ({number(by_layer.max(), signed=True)}). "
        "The write that adds most is ", *_write(best), f" ({number(best['contribution'], signed=True)}), and ",
        *_of_layer(prediction, layer), ".",
    ]  # fmt: skip


def _of_layer(prediction: Attribution, layer: int) -> list[Piece]:
    """Which write of a layer contributed most, or that each of them took away from the logit."""
    writes = prediction.of_layer(layer)
    best = writes.loc[writes["contribution"].idxmax()]
    if best["contribution"] <= 0:
        return ["all writes of ", a_layer(layer), " lower it"]
    name = _write(best)[0]
    return ["in ", a_layer(layer), " it is ", name, f" ({number(best['contribution'], signed=True)})"]


def _write(row: pd.Series) -> list[Piece]:
    """The name of a write in an attribution."""
    layer = int(row["layer"])
    if layer < 0:
        return ["the embedding"]
    name: Piece = an_expert(int(row["write"].split()[1]), layer) if row["kind"] == "expert" else row["write"]
    return [name, " of ", a_layer(layer)]


def recursion_lens(lens: LensTrace, view: View = DEFAULT_VIEW) -> Answer:
    """What the model would predict after the token after one loop of the selected layer; from which layer on the lens
    shows the model's own prediction, and how many other exits would have changed it, of those that the lens has."""
    outputs, first = lens.of(OUTPUT), lens.top_ids[:, 0]
    final = int(outputs[-1])
    agree = first[outputs] == first[final]
    since = len(agree) - int(np.argmin(agree[::-1])) if not agree.all() else 0
    if "depth" not in lens.routing.parts:
        return answer(
            "After ", a_token(lens.routing, lens.token), f" the model predicts {_likeliest(lens, final)} as the next "
            "token. The logit lens shows that token from the output of ", a_layer(lens.layer[outputs][since]), " on.",
        )  # fmt: skip
    pieces: list[Piece] = [
        *_after_one_loop(lens, view.layer, final),
        f" The logit lens shows “{short_label(lens.top_tokens[final][0])}” from the output of ",
        a_layer(lens.layer[outputs][since]), " on. ",
    ]  # fmt: skip
    if not lens.of(EXIT).size:
        return answer(*pieces)
    exits = ~grid(lens, EXIT, lens.used)  # [layer, loop]
    changed = exits & (grid(lens, EXIT, first) != first[final])
    if not exits.any():
        return answer(*pieces, "With only one loop there is no other exit.")
    others, layers = how_many(exits.sum(), "other exit"), lens.layers_of(EXIT)
    alone = len(layers) == 1
    pieces += (
        [f"Of {others} from ", a_layer(layers[0])]
        if alone
        else [f"Of {others} (one layer left after fewer or more loops)"]
    )
    pieces.append(f", {f'{changed.sum():,}' if changed.any() else 'none'} would change the prediction")
    if alone or not changed.any():
        return answer(*pieces, ".")
    where = int(changed.sum(axis=1).argmax())
    return answer(
        *pieces,
        ", most often in ",
        a_layer(layers[where]),
        f" ({changed[where].sum()} of {exits[where].sum()}).",
    )


def _after_one_loop(lens: LensTrace, layer: int, final: int) -> list[Piece]:
    """What the model would predict if the token had exited the layer after one loop, beside what it predicts."""
    token, here = a_token(lens.routing, lens.token), a_layer(layer)
    own = f"the model predicts {_likeliest(lens, final)} as the next token."
    loops = int(lens.routing.loops[layer, lens.token])
    if loops == 1:
        return [
            "After ",
            token,
            f" {own} In ",
            here,
            " this token took one loop, so leaving after one changes nothing.",
        ]
    found = np.flatnonzero((lens.kind == EXIT) & (lens.layer == layer) & (lens.loop == 1))
    if not found.size:  # the lens has the exits of other layers
        return ["After ", token, f" {own}"]
    one = int(found[0])
    would = f"after one loop instead of {loops}, the model would"
    same = "still " if lens.top_ids[one, 0] == lens.top_ids[final, 0] else ""
    return ["After ", token, f" {own} Had this token left ", here, f" {would} {same}predict {_likeliest(lens, one)}."]


def _likeliest(lens: LensTrace, reading: int) -> str:
    """The likeliest next token of a reading and its probability."""
    return f"“{short_label(lens.top_tokens[reading][0])}” ({share(float(lens.top_probs[reading, 0]))})"


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
    return answer(
        *pieces,
        f"If every token had the experts of another one, it would be {number(float(dealt.mean()))}: only the "
        "difference is about the router's choice.",
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
    if "depth" not in trace.parts:
        what: list[Piece] = ["itself"] if best == read.token else [a_token(read.routing, best)]
        return answer(*pieces, " attended most to ", *what, f" ({share(float(weights.max()))}, mean over heads).")
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
    return "" if np.isnan(margin) else f"; that choice won by {number(margin)} logits"


__all__ = ["attention", "geometry", "recursion_lens", "walkthrough", "write_ledger"]
