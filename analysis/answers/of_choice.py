"""Why the selected token loops so often in the selected layer: what is known of this one choice of the depth head."""

import numpy as np

from analysis.aggregate import mean_over_tokens, ordinary
from analysis.answers.answer import MOST_LAYERS_TOLD, Answer, Named, Piece, a_layer, a_token, answer, share
from analysis.difficulty import surprisal
from analysis.explain.near_miss import TwoPrecisions
from analysis.parts import why_lacking_result
from analysis.recursion import NEAR_MISS, margin_of
from analysis.texts.goes_with import Correlation, GoesWith
from analysis.texts.study import Study
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import how_many, token_label
from analysis.words.numbers import number
from hooks.trace import RoutingTrace

MOST_LOOPS_TOLD = 4
"""Of more numbers of loops the likeliest are told."""
LIMIT = "More loops are what the depth head assigned; they do not prove that a token is hard"


def choice_of_loops(
    trace: RoutingTrace,
    view: View = DEFAULT_VIEW,
    *,
    precisions: TwoPrecisions | None = None,
    known: GoesWith | None = None,
) -> dict[str, Answer]:
    """What is known of the selected token's number of loops in the selected layer: short heading -> a sentence or two.

    `precisions` tell whether bfloat16 flips the choice, `known` what difficulty goes with in this model. Empty for a
    model with one loop, which has no choice.
    """
    if trace.max_loops == 1:
        return {}
    return {
        "Because": _what_it_saw(trace, view),
        "How sure": _how_sure(trace, view, precisions),
        **({"Every layer": _every_layer(trace, view)} if 1 < trace.num_layers <= MOST_LAYERS_TOLD else {}),
        "In this text": _same_token(trace, view),
        "What is known": _known(trace, view, known),
    }


def _what_it_saw(trace: RoutingTrace, view: View) -> Answer:
    """The probabilities of the numbers of loops, the likeliest first, and which ran."""
    logits, ran = trace.depth_logits[view.layer, view.token].astype(float), int(trace.loops[view.layer, view.token])
    probs = np.exp(logits - logits.max())
    probs /= probs.sum()
    order = np.argsort(-probs, kind="stable")[:MOST_LOOPS_TOLD]
    first, *others = ((int(loops) + 1, share(float(probs[loops]))) for loops in order)
    told = ", ".join(f"{how_many(loops, 'loop')} {likely}" for loops, likely in others)
    rest = "" if len(probs) <= MOST_LOOPS_TOLD else f", the others {share(float(1 - probs[order].sum()))}"
    forced = "" if first[0] == ran else f" But {how_many(ran, 'loop')} ran."
    return answer(
        "In ", a_layer(view.layer), f" the depth head gave {how_many(first[0], 'loop')} the highest probability for ",
        a_token(trace, view.token), f", {first[1]}; {told}{rest}.{forced}",
    )  # fmt: skip


def _how_sure(trace: RoutingTrace, view: View, precisions: TwoPrecisions | None) -> Answer:
    """The margin of the choice beside those of the layer, and whether bfloat16 flips it."""
    margins, logits = margin_of(trace.depth_logits[view.layer]), trace.depth_logits[view.layer, view.token]
    first, second = (int(loops) + 1 for loops in np.argsort(-logits, kind="stable")[:2])
    margin, counted = float(margins[view.token]), margins[ordinary(trace)]
    near = f"{'a' if margin < NEAR_MISS else 'no'} near miss (that is below {NEAR_MISS})"
    beside = ""
    if counted.size:
        beside = f", and clearer than {share(float((counted < margin).mean()))} of this layer's choices"
    pieces: list[Piece] = [f"{how_many(first, 'loop')} won over {second} by {number(margin)} logits: {near}{beside}. "]
    if why_lacking_result(TwoPrecisions, trace.meta):
        return answer(*pieces)
    if precisions is None:
        pieces.append("Would rounding flip it? The button Trace in bfloat16 tells; all tokens: ")
        return answer(*pieces, a_page("Near misses"), ".")
    differ = (precisions.routing.loops != precisions.rounded.loops)[:, ordinary(trace)]
    one, other = (int(each.loops[view.layer, view.token]) for each in (precisions.routing, precisions.rounded))
    pieces.append(f"bfloat16 flips it to {how_many(other, 'loop')}" if one != other else "bfloat16 does not flip it")
    pieces.append(f"; in this text it flips {differ.sum():,} of {differ.size:,} choices: see ")
    return answer(*pieces, a_page("Near misses"), ".")


def _same_token(trace: RoutingTrace, view: View) -> Answer:
    """Loops of the other occurrences of the token and of all tokens, in this layer and over all."""
    alike = np.array([token == trace.tokens[view.token] for token in trace.tokens]) & ordinary(trace)
    alike[view.token] = False
    loops, label = trace.loops[view.layer], token_label(trace, view.token)
    here, everywhere = mean_over_tokens(trace, trace.loops), number(mean_over_tokens(trace, trace.loops).mean())
    told = f"“{label}” occurs once. It took {how_many(int(loops[view.token]), 'loop')} in this layer"
    if alike.any():
        low, high = int(loops[alike].min()), int(loops[alike].max())
        took = f"{low} to {high} loops (mean {number(loops[alike].mean())})" if low < high else how_many(low, "loop")
        told = f"“{label}” occurs {how_many(int(alike.sum()), 'more time')}, and there took {took} in this layer"
    own = number(trace.loops[:, view.token].mean())
    return Answer(
        f"{told}; the mean of all tokens is {number(here[view.layer])}. Over all layers the mean of this one is {own}, "
        f"that of all tokens {everywhere}."
    )


def _every_layer(trace: RoutingTrace, view: View) -> Answer:
    """The loops of the token in every layer, whose names are links."""
    pieces: list[Piece] = []
    for layer, loops in enumerate(trace.loops[:, view.token].tolist()):
        lead = f"{how_many(loops, 'loop').capitalize()} in " if not layer else f", {loops} in "
        pieces += [lead, a_layer(layer)]
    return answer(*pieces, ".")


def _known(trace: RoutingTrace, view: View, known: GoesWith | None) -> Answer:
    """The token's surprisal, what difficulty goes with in this model, and the limit of it all."""
    read = surprisal(trace)
    others, own = read[np.isfinite(read)], float(read[view.token])
    pieces: list[Piece] = [
        "It stands first, so nothing predicted it, and in many models that place is a sink of attention. "
    ]
    if np.isfinite(own):
        higher = share(float((others < own).mean()))
        pieces = [f"Its surprisal is {number(own, 1)} nats, higher than {higher} of this text's tokens. "]
    elif trace.special[view.token]:
        pieces = ["The tokenizer added it, so it has no surprisal. "]
    studied = why_lacking_result(Study, trace.meta) is None
    pages = (": see ", a_page("What decides"), " and ", a_page("Validity")) if studied else ()
    return answer(*pieces, _goes_with(known), LIMIT, *pages, ".")


def _goes_with(known: GoesWith | None) -> str:
    """How difficulty correlates with frequency and surprisal in the sample texts, in one sentence."""
    if known is None or not known.measures.keys() >= {"frequency", "surprisal_read", "surprisal_read_given_frequency"}:
        return "What this model's difficulty goes with has not been measured yet. "
    rho = {name: number(each.rho, signed=True) for name, each in known.measures.items()}
    return (
        f"In {known.texts} {known.name}, tokens to which the depth head gives more loops are "
        f"{_which(known.measures['frequency'], 'more frequent', 'rarer')} (ρ = {rho['frequency']}) and "
        f"{_which(known.measures['surprisal_read'], 'more surprising', 'less surprising')} (ρ = "
        f"{rho['surprisal_read']}; among equally frequent tokens {rho['surprisal_read_given_frequency']}). "
    )


def _which(found: Correlation, more: str, less: str) -> str:
    """The adjective for the sign of a correlation; neither where its interval holds zero."""
    if found.low <= 0 <= found.high:
        return f"neither {more} nor {less}"
    return more if found.rho > 0 else less


def a_page(name: str) -> Named:
    """A page of the explorer by its name."""
    return Named(name, page=name)


__all__ = ["a_page", "choice_of_loops"]
