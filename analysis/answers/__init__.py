"""Answers: what a page found, in one or two plain sentences. One function per page, named as in its address.

Each takes the data of the page's main figure and a view, as figures do, and returns an `Answer`.
"""

from collections.abc import Callable
from typing import Any

import pandas as pd

from analysis.answers.answer import Answer, Link
from analysis.answers.of_cards import expert_cards
from analysis.answers.of_choice import choice_of_loops
from analysis.answers.of_compare import compare
from analysis.answers.of_depth import forced_depth
from analysis.answers.of_generation import generate
from analysis.answers.of_knock_outs import expert_knock_outs
from analysis.answers.of_map import token_map
from analysis.answers.of_run import atlas
from analysis.answers.of_text import cost, difficulty, experts, gate, near_misses, overview, recursion
from analysis.answers.of_texts import models, prompts, validity, what_decides
from analysis.answers.of_token import attention, geometry, recursion_lens, walkthrough, write_ledger
from analysis.answers.of_what_if import what_if
from analysis.compare.pair import TracePair
from analysis.explain.attribution import Attribution
from analysis.explain.near_miss import TwoPrecisions
from analysis.parts import PAGES, why_lacking
from analysis.runs.atlas import Atlas
from analysis.runs.cards import Card
from analysis.runs.map import TokenMap
from analysis.texts.branches import Branches
from analysis.texts.study import Study
from analysis.view import DEFAULT_VIEW, View
from analysis.what_if.comparison import Comparison
from hooks.attention_trace import AttentionTrace
from hooks.depth_effects import DepthEffects
from hooks.knock_out_trace import KnockOutTrace
from hooks.lens_trace import LensTrace
from hooks.path_trace import PathTrace
from hooks.trace import RoutingTrace

ANSWERS: dict[Callable[..., Answer], type] = {
    overview: RoutingTrace,
    difficulty: RoutingTrace,
    gate: RoutingTrace,
    experts: RoutingTrace,
    recursion: RoutingTrace,
    walkthrough: RoutingTrace,
    write_ledger: PathTrace,
    recursion_lens: LensTrace,
    geometry: PathTrace,
    attention: AttentionTrace,
    near_misses: RoutingTrace,
    cost: RoutingTrace,
    what_decides: Study,
    validity: Study,
    what_if: Comparison,
    forced_depth: DepthEffects,
    expert_knock_outs: KnockOutTrace,
    compare: TracePair,
    generate: Branches,
    models: RoutingTrace,
    prompts: pd.DataFrame,
    atlas: Atlas,
    expert_cards: Card,
    token_map: TokenMap,
}
"""Function of every page, in the order of the pages -> type of the data that it takes."""
ABOUT_SELECTION = {
    each.__name__ for each in (walkthrough, write_ledger, recursion_lens, geometry, attention, expert_knock_outs)
}
"""Pages whose answer is about the selected token or layer, and so changes with every click."""
_BY_PAGE = {function.__name__: function for function in ANSWERS}
UNTRAINED = " The gates of this model are untrained, so its routing is noise."


def answer_of(page: str, data: Any, view: View = DEFAULT_VIEW, **more: Any) -> Answer:
    """The answer of a page by its name in the address, such as "write_ledger", with a warning if the gates are
    untrained; `more` are the further arguments of its function. ValueError names the known pages."""
    if page not in _BY_PAGE:
        raise ValueError(f"there is no page {page!r}; there are {', '.join(_BY_PAGE)}")
    found = _BY_PAGE[page](data, view, **more)
    untrained = getattr(getattr(data, "routing", data), "meta", {}).get("gates_trained") is False
    return Answer(found.text + UNTRAINED, found.links) if untrained else found


def answers(given: tuple[Any, ...], view: View = DEFAULT_VIEW) -> dict[str, Answer]:
    """Name of every page whose data is among the `given` ones -> its answer. `TwoPrecisions` add to near misses, an
    `Attribution` to the write ledger."""
    of = {type(data): data for data in given}
    meta = next((getattr(getattr(data, "routing", data), "meta", {}) for data in given), {})
    more = {near_misses: {"precisions": of.get(TwoPrecisions)}, write_ledger: {"prediction": of.get(Attribution)}}
    return {
        function.__name__: answer_of(function.__name__, of[kind], view, **more.get(function, {}))
        for function, kind in ANSWERS.items()
        if kind in of and why_lacking(PAGES.get(function.__name__, ()), meta) is None
    }


__all__ = [
    "ABOUT_SELECTION", "ANSWERS", "Answer", "Link", "answer_of", "answers", "atlas", "attention", "choice_of_loops",
    "compare", "cost", "difficulty", "expert_cards", "expert_knock_outs", "experts", "forced_depth", "gate", "generate",
    "geometry", "models", "near_misses", "overview", "prompts", "recursion", "recursion_lens", "token_map", "validity",
    "walkthrough", "what_decides", "what_if", "write_ledger",
]  # fmt: skip
