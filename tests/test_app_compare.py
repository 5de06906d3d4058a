"""The page Compare without a browser: what can be B, links to it, what is refused in a sentence, and every figure."""

import json

import pytest

from analysis.compare.texts import MINIMAL_PAIRS
from app.session import comparing
from app.session.comparing import Beside
from app.texts.text_link import text_to_link
from tests.app_in_process import captions, charts, new_app, plain_texts, press, trace_text, turn_to, unfolded

HOSTILE = "<script>alert(1)</script> **b** $x$ the fox"
FIGURES = 8


def opened(*, folds=False, restored=False, **link):
    """The page; `restored`: its tab has nothing to give back, for an address that would wait for it."""
    app = new_app()
    if restored:
        app.session_state["restored_from_tab"] = True
    app.query_params.update({"model": "versatile-4l-0.4m", **link})
    (unfolded(app) if folds else app).run()
    return turn_to(app, "compare")


def set_now(app):
    known = comparing.KEY in app.session_state  # the state of an AppTest has no `get`
    return app.session_state[comparing.KEY] if known else None


def answer_of(app):
    drawn = next(each.proto for each in app.get("bidi_component") if each.proto.component_name == "answer_line")
    ((_, parts),) = json.loads(drawn.json)["rows"]
    return "".join(part[0] for part in parts)


def in_address(app):
    value = app.query_params.get("compare")
    return value[0] if isinstance(value, list) else value


def way(app, name):
    app.segmented_control(key=comparing.WAY_KEY).select(name).run()
    assert not app.exception
    return app


@pytest.fixture(scope="module")
def pair():
    """The page with a minimal pair and everything unfolded, for tests that leave it so."""
    return press(opened(folds=True), MINIMAL_PAIRS["plural"].name)


def test_the_empty_page_teaches_what_b_can_be_and_draws_nothing():
    app = opened()
    assert not app.exception and not charts(app) and in_address(app) is None
    assert "minimal pair" in answer_of(app) and comparing.NOT_SET in captions(app)
    labels = [button.label for button in app.button]
    assert [pair.name for pair in MINIMAL_PAIRS.values() if pair.name not in labels] == []


def test_a_minimal_pair_sets_both_texts_and_every_figure_is_drawn(pair):
    assert set_now(pair) == Beside(comparing.PAIR, "plural") and in_address(pair) == "pair.plural"
    assert pair.session_state.prompt.text == MINIMAL_PAIRS["plural"].a
    assert pair.query_params["example"] in ("pair-plural", ["pair-plural"])
    assert len(charts(pair)) == FIGURES + 2, "among them B minus A of the figure that is drawn of A and of B"
    assert "B is another text, which differs from token 1 on" in answer_of(pair)
    assert "Of 12 pairs of paraphrases" in answer_of(pair)
    assert any("are the same in B" in text for text in plain_texts(pair))


def test_the_switch_shows_a_b_and_the_difference_in_every_map(pair):
    changed = []
    for show in ("a", "b", "difference"):
        pair.segmented_control(key="compare_loops-choice").select(show).run()
        assert not pair.exception
        changed.append([json.dumps(each["data"]) for each in charts(pair)[:4]])
    assert all(len({drawn[i] for drawn in changed}) == 3 for i in range(4))


def test_any_figure_is_drawn_of_a_and_of_b_and_as_b_minus_a(pair):
    pair.selectbox(key=comparing.FIGURE_KEY).set_value("difficulty_surprisal").run()
    pair.segmented_control(key=comparing.option_key("difficulty_surprisal")).select("next").run()
    assert not pair.exception and len(charts(pair)) == FIGURES + 2
    assert "next" in "".join(charts(pair)[-1]["layout"]["yaxis"]["ticktext"])


def test_a_link_opens_with_the_pair_and_reload_keeps_it():
    app = opened(example="pair-names", compare="pair.names")
    assert set_now(app) == Beside(comparing.PAIR, "names") and len(charts(app)) == 1
    assert app.text_area(key=comparing.TYPED_KEY).value == MINIMAL_PAIRS["names"].b
    press(app, "Remove B")
    assert set_now(app) is None and in_address(app) is None and not charts(app)


def test_a_typed_text_is_in_the_address_by_its_number_alone_and_shown_literally():
    app = opened()
    app.text_area(key=comparing.TYPED_KEY).set_value(HOSTILE).run()
    press(app, "Compare")
    assert set_now(app) == Beside(comparing.TEXT, HOSTILE) and in_address(app) == "own.1"
    (drawn,) = charts(app)
    assert "<script>" not in json.dumps(drawn) and "&lt;script&gt;" in json.dumps(drawn)
    app.text_area(key=comparing.TYPED_KEY).set_value("  ").run()
    press(app, "Compare")
    assert any(text.startswith("The text is empty") for text in plain_texts(app))
    assert set_now(app) == Beside(comparing.TEXT, HOSTILE), "what was there stays"


def test_a_link_that_holds_the_second_text_keeps_it_and_one_from_elsewhere_is_told():
    value = f"text.{text_to_link('A dog ran.')}"
    app = opened(compare=value)
    assert set_now(app) == Beside(comparing.TEXT, "A dog ran.") and in_address(app) == value
    for lost in ("own.7", "pair.<b>", "model./etc", "step.x", "text.!!", "nonsense"):
        app = opened(compare=lost, restored=True)
        assert not app.exception and set_now(app) is None
        assert [text for text in plain_texts(app) if "\n" not in text and len(text) < 200], lost


def test_a_training_step_is_compared_and_told_where_the_model_has_none():
    app = way(opened(folds=True), comparing.STEP)
    app.selectbox(key=comparing.STEP_KEY).set_value(61).run()
    assert set_now(app) == Beside(comparing.STEP, "61") and in_address(app) == "step.61"
    assert "earlier in its training" in answer_of(app) and len(charts(app)) == FIGURES + 2
    app = opened(model="versatile-6l-4m", compare="step.61")
    assert any("kept no weights of step 61" in text for text in captions(app))


def test_another_model_with_other_layers_is_shown_beside_and_never_subtracted():
    app = way(opened(folds=True), comparing.MODEL)
    app.selectbox(key=comparing.MODEL_KEY).set_value("versatile-6l-4m").run()
    assert in_address(app) == "model.versatile-6l-4m" and not app.exception
    assert "A has 4 layers and B 6" in answer_of(app)
    said = [each["layout"]["annotations"][0]["text"] for each in charts(app)[:4]]
    assert all("A has 4 layers and B 6" in text for text in said)
    assert any("routing can be exchanged only" in text for text in captions(app))
    assert any("same in B" in text and "cut in other places" in text for text in plain_texts(app)), "two tokenizers"
    app.segmented_control(key="compare_loops-choice").select("b").run()
    assert max(charts(app)[0]["data"][0]["y"]["bdata"]) and not app.exception


def test_without_interventions_leads_to_them_and_then_takes_them_away():
    app = way(opened(), comparing.OWN)
    assert any(button.label == "Set one on What if" for button in app.button)
    app = way(opened(what_if='[{"kind":"ForceLoops","loops":4,"layers":[1]}]'), comparing.OWN)
    press(app, "Compare with the model’s own choices")
    assert in_address(app) == comparing.OWN and "under other interventions" in answer_of(app)
    press(app, "Switch off")
    assert any("no intervention is active" in text for text in captions(app))


def test_b_stays_while_a_changes_and_texts_of_other_lengths_exchange_no_routing():
    app = opened(folds=True, compare="pair.number")
    trace_text(app, "The dog.")
    assert set_now(app) == Beside(comparing.PAIR, "number") and not app.exception
    assert any("routing can be exchanged only between equal numbers" in text for text in captions(app))
