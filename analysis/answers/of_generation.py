"""The answer of the page Generate: what the model wrote, with how many loops, and where two branches part."""

from analysis.answers.answer import Answer
from analysis.texts.branches import Branches, first_difference, written_loops
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import how_many, token_label
from analysis.words.numbers import number

NOTHING_YET = (
    "Nothing has been generated here yet. Press Generate, and the model goes on with your text, and you see every "
    "token as it is written. Then branch from any token, and see what another choice there leads to."
)


def generate(found: Branches, view: View = DEFAULT_VIEW) -> Answer:
    """Length and mean loops of the prompt and of what the model wrote, and the first difference of two branches."""
    trace = found.routing
    if trace is None:
        return Answer(NOTHING_YET)
    written = trace.num_tokens - trace.first_generated
    prompt_loops, loops = written_loops(trace)
    if not written:
        return Answer(f"The prompt has {how_many(trace.num_tokens, 'token')}, and the model has written nothing yet.")
    if "depth" not in trace.parts:
        before = how_many(trace.first_generated, "token")
        text = f"The model has written {how_many(written, 'token')} after a prompt of {before}."
        differs = found.against is not None and found.against != found.shown
        return Answer(f"{text} {_parting(found)}" if differs else text)
    name = f"In branch {found.branches[found.shown].name}" if len(found.branches) > 1 else "After the prompt"
    text = (
        f"{name} the model has written {how_many(written, 'token')}, which took {number(loops)} loops per layer on "
        f"average; the prompt’s {how_many(trace.first_generated, 'token')} took {number(prompt_loops)}."
    )
    if found.against is not None and found.against != found.shown:
        text += f" {_parting(found)}"
    return Answer(text)


def _parting(found: Branches) -> str:
    """Where the shown branch and the one it is compared with part."""
    shown, other = found.branches[found.shown], found.branches[found.against]
    against = f"branch {other.name}"
    at = first_difference(other.trace, shown.trace)
    if at is None:
        return f"It has the same tokens as {against}."
    pieces = []
    for branch in (shown, other):
        ended = at >= branch.trace.num_tokens
        pieces.append("nothing more" if ended else f"“{token_label(branch.trace, at)}”")
    return f"Its first token that differs from {against} is token {at}: {pieces[0]} instead of {pieces[1]}."


__all__ = ["NOTHING_YET", "generate"]
