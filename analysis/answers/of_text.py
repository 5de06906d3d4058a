"""Answers about a whole text: what its trace says of difficulty, gate, experts, loops, near misses and cost."""

import numpy as np
from scipy.stats import binom

from analysis.aggregate import mean_over_tokens, ordinary
from analysis.answers.answer import (
    Answer,
    Piece,
    a_layer,
    a_token,
    an_expert,
    answer,
    others_alike,
    share,
)
from analysis.answers.of_family import overview_of_family
from analysis.difficulty import rank_correlation, token_difficulty
from analysis.experts import choice_counts, routed
from analysis.explain.cost import cost as cost_of
from analysis.explain.near_miss import TwoPrecisions, precision_numbers
from analysis.overview import halves, overview_numbers
from analysis.recursion import NEAR_MISS, depth_margin
from analysis.texts.chance import rho_by_chance
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import how_many
from analysis.words.numbers import number, significant
from hooks.trace import RoutingTrace
from hooks.trace_checks import PARTS

NOTHING = Answer("This text has only tokens that the tokenizer added, so there is nothing to count.")
LIKELY = 0.05
"""An uneven load is called possible by chance if even choices would reach it with a larger probability than this."""


def overview(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> Answer:
    """How often tokens loop and what that costs, which layers loop most and least, and the token of most difficulty."""
    if not ordinary(trace).any():
        return NOTHING
    if trace.parts != PARTS:
        return overview_of_family(trace, view)
    numbers, loops = overview_numbers(trace), mean_over_tokens(trace, trace.loops)
    times = f"{number(numbers.mean_loops)} times per layer, of at most {trace.max_loops}"
    if trace.max_loops == 1:
        times = "once per layer"
    return answer(
        f"On average a token passes the FFN {times}; with the experts it costs "
        f"{number(numbers.ffn_equivalents)} times a dense FFN. ",
        *_most_and_least("has the most loops", "the fewest", loops),
        *_highest(trace),
        *_halves(trace),
    )


def difficulty(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> Answer:
    """The tokens of highest and lowest difficulty, and whether difficulty goes with surprisal beyond chance."""
    counted = ordinary(trace)
    if not counted.any():
        return NOTHING
    if trace.max_loops == 1:
        return Answer(
            "This model has only one loop, so its depth head decides nothing and there is no difficulty to compare."
        )
    values = token_difficulty(trace)
    hard = int(np.where(counted, values, -1).argmax())
    easy = int(np.where(counted, values, 2).argmin())
    if counted.sum() == 1:
        told = f", has a soft difficulty of {number(values[hard])} of 1 (mean over layers). {_surprise(trace)}"
        return answer("The only token, ", a_token(trace, hard), told)
    layer, there = _hardest_layer(trace, hard)
    return answer(
        f"Of {how_many(int(counted.sum()), 'token')}, the depth head expects the most loops for ",
        a_token(trace, hard, layer=layer),
        f" (soft difficulty {number(values[hard])} of 1, mean over layers",
        *there,
        ") and the fewest for ",
        a_token(trace, easy),
        f" ({number(values[easy])}). {_surprise(trace)}",
    )


def gate(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> Answer:
    """The mean weight of the experts, in how many layers they lead and in which most and least, and where none ran."""
    if not ordinary(trace).any():
        return NOTHING
    numbers, by_layer = overview_numbers(trace), mean_over_tokens(trace, trace.gate)
    pairs = int(ordinary(trace).sum()) * trace.num_layers
    return answer(
        f"The experts have a mean weight of λ = {number(numbers.mean_gate)} in the mixture, the loops the rest. "
        f"{_which_path_leads(by_layer)}. ",
        *_most_and_least("gives the experts the most weight", "the least", by_layer, end=". "),
        f"In {share(numbers.did_not_route)} of {pairs:,} pairs of token and layer λ is 0 and no expert ran.",
    )


def experts(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> Answer:
    """The expert with the largest share of the choices of its layer, and those of the selected layer."""
    counts = choice_counts(trace).sum(axis=1)  # [layer, expert]
    tokens, whole = routed(trace).sum(axis=1), counts.sum(axis=1)
    if not whole.any():
        return Answer("No token of this text chose an expert.")
    even = 1 / trace.num_experts
    loads = np.divide(counts, whole[:, None], out=np.zeros(counts.shape), where=whole[:, None] > 0)
    layer, expert = np.unravel_index(int(loads.argmax()), loads.shape)
    by_chance = _by_chance(counts, tokens, trace.expert_ids.shape[2])
    pieces: list[Piece] = [
        "The load is most uneven in ", a_layer(layer), ": ", an_expert(expert, layer),
        f" has {share(loads[layer, expert])} of all choices there, where an even share is {significant(100 * even)}% "
        f"({how_many(int(tokens[layer]), 'token')} made {whole[layer]:,} choices). ",
        "In so short a text, even choices could reach this by chance. " if by_chance else "",
    ]  # fmt: skip
    if not whole[view.layer]:
        return answer(*pieces, "In the selected ", a_layer(view.layer), " no token routed.")
    first, last = int(counts[view.layer].argmax()), int(counts[view.layer].argmin())
    idle = int((counts[view.layer] == 0).sum())
    smallest: list[Piece] = [" and ", an_expert(last, view.layer), f" the smallest ({share(loads[view.layer, last])})."]
    if idle > 1:
        smallest = [f"; {idle} of the {trace.num_experts} experts served no token."]
    return answer(
        *pieces, "In the selected ", a_layer(view.layer), ", ", an_expert(first, view.layer),
        f" has the largest share ({share(loads[view.layer, first])})", *smallest,
    )  # fmt: skip


def recursion(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> Answer:
    """How often each number of loops ran, the token that looped most, and how many choices were close."""
    counted = ordinary(trace)
    if not counted.any():
        return NOTHING
    loops, mean = trace.loops[:, counted], trace.loops.mean(axis=0)
    if trace.max_loops == 1:
        return Answer(f"Every token passes the FFN once in each of {how_many(trace.num_layers, 'layer')}.")
    times = np.bincount(loops.ravel(), minlength=trace.max_loops + 1)
    usual, best = int(times.argmax()), int(np.where(counted, mean, 0).argmax())
    near = depth_margin(trace)[:, counted] < NEAR_MISS
    all_loops = (
        "" if usual == trace.max_loops else f", and all {trace.max_loops} ran in {share(times[-1] / loops.size)}"
    )
    return answer(
        f"{how_many(usual, 'loop').capitalize()} ran most often, in {share(times[usual] / loops.size)} of "
        f"{loops.size:,} pairs of token and layer{all_loops}. ",
        a_token(trace, best),
        f"{others_alike(np.where(counted, mean, 0), best)} looped most ({number(mean[best])}, mean over layers). "
        f"{share(near.mean())} of the choices were near misses, won by less than {NEAR_MISS} logits.",
    )


def near_misses(trace: RoutingTrace, view: View = DEFAULT_VIEW, *, precisions: TwoPrecisions | None = None) -> Answer:
    """How many choices of the loops were close, the closest one, and what flips in bfloat16 if that was traced."""
    counted = ordinary(trace)
    if not counted.any():
        return NOTHING
    if trace.max_loops == 1:
        return Answer("This model has only one loop, so there is no choice that could flip.")
    margin = np.where(counted, depth_margin(trace), np.inf)
    layer, token = np.unravel_index(int(margin.argmin()), margin.shape)
    near, pairs = int((margin < NEAR_MISS).sum()), int(counted.sum()) * trace.num_layers
    pieces: list[Piece] = [
        f"{near:,} of {pairs:,} choices of the loops were near misses, won by less than {NEAR_MISS} logits. "
        "The closest was ", a_token(trace, token, layer=layer), " in ", a_layer(layer),
        f", with a margin of {significant(float(margin[layer, token]), 2)} logits.",
    ]  # fmt: skip
    if precisions is not None:
        numbers = precision_numbers(precisions)
        pieces.append(f" In bfloat16, {numbers.loops_differ:,} of the {numbers.pairs:,} choices change.")
    return answer(*pieces)


def cost(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> Answer:
    """What the text costs by the three accounts, and the layer that costs most."""
    if not ordinary(trace).any():
        return NOTHING
    by_layer = mean_over_tokens(trace, cost_of(trace, "nominal"))
    total = {name: mean_over_tokens(trace, cost_of(trace, name)).mean() for name in ("released", "ours")}
    return answer(
        "On paper (the loops that ran, and the experts by their share of a pass) this text costs "
        f"{number(by_layer.mean())} times a dense FFN of the same size. This program runs {number(total['ours'])} "
        f"passes per token and layer, the authors' code {number(total['released'])}, because that code loops every "
        "token as often as the deepest one of the layer. ",
        *_most_and_least("costs the most", "the least", by_layer, end=" on paper."),
    )


def _which_path_leads(by_layer: np.ndarray) -> str:
    """In how many layers the loops lead, in how many the experts, and in how many both weigh alike."""
    alike = np.isclose(by_layer, 0.5)
    loops, experts = (int((led & ~alike).sum()) for led in (by_layer < 0.5, by_layer > 0.5))
    level = f", and both weigh alike in {alike.sum()}" if alike.any() else ""
    return f"The loops lead in {loops} of {how_many(len(by_layer), 'layer')}, the experts in {experts or 'none'}{level}"


def _most_and_least(most: str, least: str, by_layer: np.ndarray, *, end: str = "") -> list[Piece]:
    """Which layer has most of a mean and which has least, or that all are alike; `end` follows."""
    first, last = int(by_layer.argmax()), int(by_layer.argmin())
    if np.isclose(by_layer[first], by_layer[last]):
        return [f"All layers are alike{end}"]
    return [
        a_layer(first, capital=True), f" {most} ({number(by_layer[first])}) and ",
        a_layer(last), f" {least} ({number(by_layer[last])}){end}",
    ]  # fmt: skip


def _highest(trace: RoutingTrace) -> list[Piece]:
    values, counted = token_difficulty(trace), ordinary(trace)
    token = int(np.where(counted, values, -1).argmax())
    if trace.max_loops == 1:
        return ["."]
    if counted.sum() == 1:
        return [". The only token, ", a_token(trace, token), f", has a soft difficulty of {number(values[token])}."]
    layer, there = _hardest_layer(trace, token)
    told = f" has the highest soft difficulty ({number(values[token])}"
    return [". ", a_token(trace, token, layer=layer), told, *there, ")."]


def _hardest_layer(trace: RoutingTrace, token: int) -> tuple[int, list[Piece]]:
    """The layer in which a token has most soft difficulty, and words for it: empty in a model of one layer."""
    of_token = trace.difficulty_soft[:, token]
    layer = int(of_token.argmax())
    return layer, [f", and {number(of_token[layer])} in ", a_layer(layer)] if trace.num_layers > 1 else []


def _halves(trace: RoutingTrace) -> list[Piece]:
    """Loops of the first and the second half of a long text, and whether they differ more than chance explains."""
    found = halves(trace) if trace.max_loops > 1 else None
    if found is None:
        return []
    return [
        f" The first half takes {number(found.first)} loops and the second, from ", a_token(trace, found.start),
        f" on, {number(found.second)}: {'beyond' if found.differ else 'within'} chance (halves cut elsewhere: "
        f"up to {number(found.by_chance)} apart).",
    ]  # fmt: skip


def _surprise(trace: RoutingTrace) -> str:
    """Whether difficulty goes with the surprisal of the token read, in a sentence that claims no cause."""
    rho, count = rank_correlation(trace)
    if not np.isfinite(rho):
        return "There are too few tokens to compare difficulty with surprisal."
    far, found = rho_by_chance(trace), f"ρ = {number(rho)} over {how_many(count, 'token')}"
    if not np.isfinite(far):
        return f"Difficulty and surprisal have {found}, too few to tell this from chance."
    if abs(rho) <= far:
        return f"Difficulty and surprisal correlate no more than by chance ({found}; chance reaches ±{number(far)})."
    more = "more" if rho > 0 else "less"
    return (
        f"Tokens of higher difficulty are {more} surprising than chance explains ({found}; chance reaches "
        f"±{number(far)}), but how frequent they are may be the reason."
    )


def _by_chance(counts: np.ndarray, tokens: np.ndarray, k: int) -> bool:
    """Whether even, independent choices of k experts would reach the largest load of any layer and expert (at least)
    with a probability above LIKELY, by Bonferroni over layers and experts."""
    tail = binom.sf(counts - 1, tokens[:, None], k / counts.shape[1])
    load = np.divide(counts, tokens[:, None], out=np.zeros(counts.shape), where=tokens[:, None] > 0)
    return bool(tail.ravel()[load.argmax()] * counts.size > LIKELY)


__all__ = ["cost", "difficulty", "experts", "gate", "near_misses", "overview", "recursion"]
