"""The answer about the map of a run's tokens."""

from scipy.stats import spearmanr

from analysis.answers.answer import Answer
from analysis.runs.map import TokenMap
from analysis.view import View
from analysis.words.labels import how_many
from analysis.words.numbers import number, percent

GOES_WITH = 0.3
"""Least correlation of an axis with something that is told."""


def token_map(drawn: TokenMap, view: View) -> Answer:
    """How much of the routing the plane shows, and what its first axis goes with."""
    tokens = f"{how_many(len(drawn.points), 'token')} of {how_many(_prompts(drawn), 'prompt')}"
    if not any(drawn.variances.values()):
        return Answer(f"The model routed all {tokens} alike, by what is chosen here, so the map is a single point.")
    trusted = (
        f"its trustworthiness is {number(drawn.trustworthiness)}, where 1 means that neighbours in the plane are "
        "always neighbours by their routing"
    )
    if drawn.explained is None:
        return Answer(f"The map places {tokens} near those with similar routing; {trusted}.")
    shown = sum(drawn.explained)
    return Answer(f"The plane shows {percent(shown)} of how the routing of {tokens} varies; {trusted}.{_axis(drawn)}")


def _prompts(drawn: TokenMap) -> int:
    return len(set(drawn.sample.prompt.tolist()))


def _axis(drawn: TokenMap) -> str:
    """What the first axis of PCA goes with most, if it does with anything."""
    sample, found = drawn.sample, []
    if "depth" in sample.sizes.parts:
        found.append(("the mean number of loops", sample.loops.mean(axis=1)))
    found.append(("the position in the prompt", sample.token))
    goes = [
        (float(spearmanr(drawn.points[:, 0], values).statistic), name) for name, values in found if values.std() > 0
    ]
    strongest, name = max(goes, key=lambda pair: abs(pair[0]), default=(0.0, ""))
    if not abs(strongest) >= GOES_WITH:  # NaN, if nothing varies, is not
        return ""
    return f" From left to right {name} {'rises' if strongest > 0 else 'falls'} (Spearman's ρ {number(strongest)})."


__all__ = ["GOES_WITH", "token_map"]
