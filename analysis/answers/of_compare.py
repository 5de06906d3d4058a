"""The answer of Compare: what B is, how many cells decided otherwise, and whether paraphrases do the same."""

import numpy as np

from analysis.answers.answer import Answer, Piece, a_token, answer, share
from analysis.compare.pair import TracePair, compared_tokens, flipped, flips, losses
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import how_many
from analysis.words.numbers import number

IS = {
    "text": "B is another text",
    "model": "B is another model",
    "step": "B is the model earlier in its training",
    "interventions": "B is the same text under other interventions",
}


def compare(pair: TracePair, view: View = DEFAULT_VIEW) -> Answer:
    """What differs between A and B: flips beside their null, the token that flips most, and the loss."""
    loss_a, loss_b = losses(pair)
    if np.isfinite([loss_a, loss_b]).all():
        over = " (each over its own tokens)" if pair.what in ("text", "model") else ""
        loss = f"The loss is {number(loss_a)} nats per token in A and {number(loss_b)} in B{over}."
    else:
        loss = "There is no loss to compare."
    return answer(f"{_what(pair)}. ", *_flips(pair), loss)


def _what(pair: TracePair) -> str:
    at = pair.alignment
    if pair.what != "text":
        untrained = pair.b.meta.get("gates_trained") is False and pair.a.meta.get("gates_trained") is not False
        return IS[pair.what] + (", with untrained gates, whose routing is noise" if untrained else "")
    start = at.first_difference
    return f"{IS['text']}, which differs from token {start} on" if start < pair.a.num_tokens else IS["text"]


def _flips(pair: TracePair) -> list[Piece]:
    if why_not := pair.why_no_layers:
        return [f"{why_not} "]
    found = flips(pair)
    if not found.cells:
        return ["No token that can be compared is the same in both. "]
    cells = f"the {found.cells:,} later cells" if pair.what == "text" else f"{found.cells:,} cells"
    experts = (
        (f" and {found.experts:,} of {found.routed:,} the same number but different experts") if found.routed else ""
    )
    told: list[Piece] = [
        f"Of {cells} with the same token, {found.loops:,} ({share(found.loop_share)}) took a different number of "
        f"loops{experts}",
        *_most(pair),
        ". ",
    ]
    if pair.null:
        as_many = sum(each.loop_share >= found.loop_share for each in pair.null)
        told.append(
            f"Of {how_many(len(pair.null), 'pair')} of paraphrases, {as_many} flipped at least as large a share of "
            "their choices. "
        )
    return told


def _most(pair: TracePair) -> list[Piece]:
    """The token with other loops in most layers; nothing if no token has any, or several have as many."""
    loops, _ = flipped(pair)
    by_token = loops.sum(axis=0)
    most = np.flatnonzero(by_token == by_token.max()) if by_token.any() else []
    if len(most) != 1:
        return []
    return ["; ", a_token(pair.a, int(compared_tokens(pair)[0][most[0]])), f" in most layers ({by_token[most[0]]})"]


__all__ = ["compare"]
