"""Choices at figures in the app: the layer of a search for experts, and the expert whose tokens are listed."""

import pytest

from analysis.experts import served_tokens
from app.server import captures
from sample_models.registry import DEFAULT_MODEL
from tests.app_in_process import turn_to


@pytest.fixture
def opened(app):
    """The Experts page with token 10 in layer 4 selected."""
    app.run()
    app.session_state.layer, app.session_state.token = 4, 10
    turn_to(app, "experts")
    assert not app.exception
    return app


def trace_of(app):
    return captures.trace_of(DEFAULT_MODEL, app.session_state.prompt.text)


def test_a_search_for_an_expert_begins_in_the_selected_layer(opened):
    opened.session_state.find = True
    opened.run()
    for quantity in ("first expert", "any chosen expert"):
        opened.selectbox(key="find_quantity").select(quantity).run()
        assert opened.selectbox(key=f"find_{quantity}_where").value == 4
    opened.selectbox(key="find_quantity").select("loops").run()
    assert opened.selectbox(key="find_loops_where").value == "any"


def test_the_tokens_of_an_expert_are_those_that_chose_it_with_their_weights(opened):
    trace = trace_of(opened)

    def listed():
        table = next(each.value for each in opened.dataframe if "weight" in each.value)
        return list(zip(table["token"], table["text"], table["weight"], strict=True))

    def served(layer, expert):
        all_choices = served_tokens(trace)
        rows = all_choices[(all_choices["layer"] == layer) & (all_choices["expert"] == expert)]
        return list(zip(rows["token"], rows["text"], rows["weight"], strict=True))

    first = int(trace.expert_ids[4, 10, 0])
    assert listed() == served(4, first) and 10 in [token for token, *_ in listed()]
    other = (first + 1) % trace.num_experts
    opened.session_state.expert = other
    opened.run()
    assert listed() == served(4, other), "the reader's choice"
    assert f"Expert {other} of layer 4 serves **{len(served(4, other))}** of the " in "".join(
        text.value for text in opened.markdown
    )
    opened.session_state.token = 20
    opened.run()
    assert listed() == served(4, int(trace.expert_ids[4, 20, 0])), "a new selection brings its expert"


def test_a_table_of_choices_holds_every_choice_that_ran_once(opened):
    trace = trace_of(opened)
    table = served_tokens(trace)
    assert len(table) == trace.width_ran.sum() * trace.expert_ids.shape[2]
    for row in table.itertuples():
        assert trace.width_ran[row.layer, row.token] and trace.expert_ids[row.layer, row.token, row.rank] == row.expert
        assert trace.expert_weights[row.layer, row.token, row.rank] == row.weight
