"""The answer of the page on expert knock-outs: which expert the text and the selected prediction lose most without."""

from analysis.answers.answer import Answer, Piece, a_token, an_expert, answer
from analysis.explain.knock_out import IN_PATH, above_control, carrier, largest
from analysis.view import DEFAULT_VIEW, View
from analysis.words.numbers import number
from hooks.knock_out_trace import KnockOutTrace, Path

MILLI = 1000


def expert_knock_outs(found: KnockOutTrace, view: View = DEFAULT_VIEW, *, path: Path = "width") -> Answer:
    """Which expert the text loses most without, how many cost more than random ones, and which carries the prediction
    after the selected token, by the `path` that loses the expert."""
    trace, most = found.routing, largest(found, path)
    if most is None:
        return Answer(f"No expert was dropped from the {IN_PATH[path]} of this text yet.")
    above, known = above_control(found, path)
    beside = f" (random experts: {_milli(most.control)})" if known else ""
    pieces: list[Piece] = [
        f"Dropped from the {IN_PATH[path]}, ", an_expert(most.expert, most.layer), f" of layer {most.layer} costs "
        f"most: {_milli(most.change)} thousandths of a nat per token{beside}. ",
    ]  # fmt: skip
    if known:
        pieces.append(f"{above} of {known} cost more than random ones. ")
    one = carrier(found, path, view.token)
    if one is None:
        return answer(*pieces, "No token follows the selected one.")
    if one.change <= 0:
        return answer(*pieces, "Without any expert ", a_token(trace, view.token + 1), " is predicted no worse.")
    return answer(
        *pieces, a_token(trace, view.token + 1), " after ", a_token(trace, view.token),
        " loses most without ", an_expert(one.expert, one.layer), f" of layer {one.layer}: {_milli(one.change)}.",
    )  # fmt: skip


def _milli(nats: float) -> str:
    return number(MILLI * nats, 1, signed=True)


__all__ = ["expert_knock_outs"]
