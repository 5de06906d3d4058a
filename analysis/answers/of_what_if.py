"""The answer of What if: the loss before and after interventions, and what changed because of them."""

import numpy as np

from analysis.answers.answer import Answer, Piece, a_layer, a_token, answer
from analysis.view import DEFAULT_VIEW, View
from analysis.what_if.comparison import (
    Comparison,
    cascade_numbers,
    logprob_change,
    losses,
    other_prediction,
)
from analysis.words.labels import how_many
from analysis.words.numbers import number

LIMIT = " This holds for this model and this text."


def what_if(both: Comparison, view: View = DEFAULT_VIEW) -> Answer:
    """The loss before and after, the token whose log-probability changed most, and the cascade."""
    found = losses(both)
    if not found.tokens:
        return Answer("No token of this text has a probability, so there is no loss to compare.")
    over = f"over {how_many(found.tokens, 'token')}"
    if not both.changed:
        if both.after.interventions:
            return Answer("The active interventions are the pinned ones, so there is nothing to compare.")
        return Answer(
            f"Nothing is changed yet: with the model's own choices, the loss is {number(found.before, 3)} nats per "
            f"token, {over}. Start with a question below, or choose a change, click a cell of the map, and press Set."
        )
    beside = "under the pinned interventions" if both.before.interventions else "with the model's own choices"
    pieces: list[Piece] = [
        f"The loss is {number(found.after, 3)} nats per token instead of {number(found.before, 3)} {beside} "
        f"({number(found.after - found.before, 3, signed=True)}, {over}). ",
        *_most_changed(both),
        *_cascade(both),
    ]
    return answer(*pieces, LIMIT)


def _most_changed(both: Comparison) -> list[Piece]:
    """The token whose log p changed most, and how many predictions have another first token."""
    change = logprob_change(both)
    if not np.nan_to_num(change).any():
        return ["No token's log-probability changed. "]
    most = int(np.nanargmax(np.abs(change)))
    flipped = int(other_prediction(both).sum())
    told = f"after {how_many(flipped, 'token')} the likeliest next token is another one"
    told = told if flipped else "the likeliest next token stayed the same everywhere"
    return [
        "The log-probability of ", a_token(both.after, most), f" changed most ({number(change[most], signed=True)}); "
        f"{told}. ",
    ]  # fmt: skip


def _cascade(both: Comparison) -> list[Piece]:
    """How many of the cells that read what was changed took other loops or experts."""
    found = cascade_numbers(both)
    if not found.reached:
        return ["No other cell reads what they changed."]
    if "depth" not in both.after.parts:
        if found.first_layer is None:
            return [f"None of the {found.reached:,} cells that read what they changed took different experts."]
        told = f"Of {found.reached:,} cells that read what they changed, {found.experts:,} took different experts, "
        return [told, "the lowest in ", a_layer(found.first_layer), "."]
    if found.first_layer is None:
        return [f"None of the {found.reached:,} cells that read what they changed took different loops or experts."]
    return [
        f"Of {found.reached:,} cells that read what they changed, {found.loops:,} took a different number of loops "
        f"and {found.experts:,} only different experts, the lowest in ", a_layer(found.first_layer), ".",
    ]  # fmt: skip


__all__ = ["what_if"]
