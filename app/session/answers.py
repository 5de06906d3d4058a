"""The answer of the open page, from the results that are there, and following its links."""

from typing import Any

from analysis.answers import ANSWERS, Answer, answer_of, choice_of_loops
from analysis.compare.pair import TracePair
from analysis.explain.attribution import Attribution
from analysis.explain.near_miss import TwoPrecisions
from analysis.parts import PAGES, why_lacking
from analysis.texts.branches import Branches
from analysis.texts.goes_with import GoesWith, goes_with
from analysis.texts.study import Study
from app.server.runs import RunError
from app.server.sample_studies import sample_studies
from app.session import card_choice, generating, knock_outs, results, run_choice, state, text_study
from app.session.navigation import open_next
from app.session.prompt_list import chosen_grouping, prompt_table
from app.session.search_form import search_expert
from app.texts.correlations import shipped_correlations
from hooks.depth_effects import DepthEffects
from hooks.knock_out_trace import KnockOutTrace

NOT_DROPPED = Answer(
    "No expert was dropped from this text yet. The button below measures what the model loses without each."
)
NOT_COMPARED = Answer(
    "Nothing is compared yet. A is the text above. Choose as B a minimal pair, a text of your own, another model, an "
    "earlier training step, or A without its interventions; then every map shows A, B and B minus A."
)
NOT_FORCED = Answer("No other number of loops was run on this text yet: the button below runs them all.")
_EMPTY = {KnockOutTrace: NOT_DROPPED, TracePair: NOT_COMPARED, DepthEffects: NOT_FORCED}
_KINDS = {function.__name__: kind for function, kind in ANSWERS.items()}


def current_answer(page: str) -> Answer | None:
    """The answer of a page by its name in the address; None while what it would speak of is not there."""
    kind = _KINDS[page]
    if why_lacking(PAGES.get(page, ()), state.current_trace().meta):
        return None
    if page in ("atlas", "expert_cards"):
        try:
            drawn = card_choice.current_card() if page == "expert_cards" else run_choice.current_atlas()
            return answer_of(page, drawn) if drawn else None
        except RunError:
            return None  # the page itself tells it
    if page == "prompts":
        table, columns = prompt_table()
        return answer_of(page, table, column=chosen_grouping(table, columns))
    if kind is Branches:
        return answer_of(page, generating.branches(), state.current_view())
    if kind is Study:
        finished = None if state.why_no_model() else text_study.finished_study()
        return answer_of(page, finished.study, state.current_view()) if finished and finished.study else None
    if not results.can_draw(kind):
        return None if state.why_no_model() else _EMPTY.get(kind)
    return answer_of(page, results.shown_result(kind), state.current_view(), **_more(page))


def answer_of_choice() -> dict[str, Answer]:
    """What is known of the selected token's number of loops in the selected layer, a sentence or two per heading."""
    trace = state.current_trace()
    return choice_of_loops(
        trace,
        state.current_view(),
        precisions=results.current_precisions() if results.can_draw(TwoPrecisions) else None,
        known=known_correlations(),
    )


def known_correlations() -> GoesWith | None:
    """What difficulty goes with in this model: the numbers that ship with it, or those of its study since the start."""
    weights = state.current_trace().meta.get("weights_sha256")
    if shipped := shipped_correlations(weights):
        return shipped
    read = (each.study for each in sample_studies().values() if each.study)
    return next((goes_with(each) for each in read if weights and each.meta.get("weights_sha256") == weights), None)


def follow(layer: int | None, token: int | None, expert: int | None, page: str | None = None) -> None:
    """Select what a link names, an expert by a search for the tokens that chose it in the layer; or open its page."""
    if page is not None:
        open_next(page)
        return
    state.select(layer=layer, token=token)
    if expert is not None:
        search_expert(expert, layer)


def _more(page: str) -> dict[str, Any]:
    """What a page's answer knows beside its data, once the visitor has asked for it."""
    if page == "near_misses" and results.can_draw(TwoPrecisions):
        return {"precisions": results.current_precisions()}
    if page == "write_ledger" and results.can_draw(Attribution):
        return {"prediction": results.current_attribution()}
    if page == "expert_knock_outs":
        return {"path": knock_outs.chosen_path()}
    return {"checks": results.checked_health()} if page == "models" else {}
