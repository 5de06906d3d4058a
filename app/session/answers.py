"""The answer of the open page, from the results that are there, and following its links."""

from typing import Any

import pandas as pd

from analysis.answers import ANSWERS, Answer, answer_of
from analysis.explain.near_miss import TwoPrecisions
from analysis.texts.study import Study
from analysis.texts.summary import summary_table
from app.session import results, state, text_study
from app.session.prompt_list import prompt_list, prompt_summaries
from app.session.search_form import search_expert
from app.texts.prompts import opening

_KINDS = {function.__name__: kind for function, kind in ANSWERS.items()}


def current_answer(page: str) -> Answer | None:
    """The answer of a page by its name in the address; None while what it would speak of is not there."""
    kind = _KINDS[page]
    if page == "prompts":
        return answer_of(page, _prompts())
    if kind is Study:
        finished = None if state.why_no_model() else text_study.finished_study()
        return answer_of(page, finished.study, state.current_view()) if finished and finished.study else None
    if not results.can_draw(kind):
        return None
    return answer_of(page, results.current_result(kind), state.current_view(), **_more(page))


def follow(layer: int | None, token: int | None, expert: int | None) -> None:
    """Select what a link names; an expert by a search for the tokens that chose it in the layer."""
    state.select(layer=layer, token=token)
    if expert is not None:
        search_expert(expert, layer)


def _more(page: str) -> dict[str, Any]:
    """What a page's answer knows beside its data, once the visitor has asked for it."""
    if page == "near_misses" and results.can_draw(TwoPrecisions):
        return {"precisions": results.current_precisions()}
    return {"checks": results.checked_health()} if page == "models" else {}


def _prompts() -> pd.DataFrame:
    """The table of the list's prompts, without their texts."""
    rows = zip(prompt_list().prompts, prompt_summaries(), strict=True)
    return summary_table((opening(prompt.name, 40), "", found) for prompt, found in rows)
