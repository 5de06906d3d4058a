"""Answers about runs."""

from analysis.answers.answer import Answer
from analysis.runs.atlas import Atlas
from analysis.runs.filters import ALL_TOKENS
from analysis.view import View
from analysis.words.labels import how_many


def atlas(drawn: Atlas, view: View) -> Answer:
    """How many tokens of a run count, and of which model it is."""
    found = drawn.table("counts").iloc[0]
    every = drawn.chosen == ALL_TOKENS
    of = "" if every else f", {found.tokens / found.all_tokens:.0%} of the run" if found.all_tokens else ""
    return Answer(
        f"{how_many(int(found.tokens), 'token')} of {how_many(int(found.prompts), 'prompt')} count here{of}, read by "
        f"{drawn.meta.get('model') or 'an unnamed model'}."
    )


__all__ = ["atlas"]
