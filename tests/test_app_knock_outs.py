"""The page Expert knock-outs, run in-process: measured on a button, stopped and continued, kept, over several texts."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from app.server import knock_outs as server
from app.session import knock_outs, text_study
from app.texts.prompt_files import PromptList
from app.texts.prompts import Prompt
from hooks import KnockOutRun, capture
from tests.app_in_process import captions, charts, new_app, press, trace_text, turn_to, unfolded

MODEL, PAGE = "versatile-4l-0.4m", "expert_knock_outs"
NOT_YET = "Press the button Drop experts to draw this."


@pytest.fixture(autouse=True)
def own_runs(monkeypatch):
    """What other tests measured is not known here, and the other way round."""
    runs = server._Runs()
    monkeypatch.setattr(server, "_runs", lambda: runs)
    return runs


def opened(text: str = "The fox ran home.") -> AppTest:
    app = new_app()
    app.query_params["model"] = MODEL
    unfolded(app).run()
    trace_text(app, text)
    return turn_to(app, PAGE)


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def measure(app: AppTest, button: str) -> AppTest:
    """Press the button and wait until nothing is measured any more; a browser's timer would run the page on."""
    press(app, button)
    while "Stop" in labels(app):
        app.run()
        assert not app.exception
    return app


def notes(app: AppTest) -> str:
    """The words in the figures as the browser draws them: those that Streamlit was given may be older."""
    drawn = [json.loads(each.newer_json or each.given_json) for each in app.session_state.drawings.values()]
    return "\n".join(note["text"] for figure in drawn for note in figure["layout"]["annotations"])


def test_nothing_is_measured_before_the_button_and_everything_after_it():
    app = opened()
    assert captions(app).count(NOT_YET) == 6 and not charts(app)
    measure(app, "Drop experts")
    assert not app.exception and "Drop experts" not in labels(app) and len(charts(app)) == 6
    found = server.known_knock_outs((MODEL, "The fox ran home.", "repick"))
    assert len(found.finished) == 5
    assert " measured" not in notes(app)


def test_a_stop_keeps_what_was_measured_and_it_is_continued_by_whoever_comes_next(monkeypatch):
    steps = []

    def few(key, stages):
        steps.append(stages)
        if len(steps) == 3:
            knock_outs.stop()  # as the button Stop does
        else:
            whole(key, stages)

    whole = server.measure_knock_outs
    monkeypatch.setattr(server, "TURN_S", 0)
    monkeypatch.setattr(server, "measure_knock_outs", few)
    app = opened()
    measure(app, "Drop experts")
    assert len(steps) == 3 and "Continue" in labels(app)
    assert any("% measured. What was measured stays." in told for told in captions(app))
    assert " measured" in notes(app) and len(charts(app)) == 6
    monkeypatch.setattr(server, "measure_knock_outs", whole)
    monkeypatch.setattr(server, "TURN_S", 5)
    other = opened()
    assert "Continue" in labels(other) and len(charts(other)) == 6
    measure(other, "Continue")
    assert server.share_measured((MODEL, "The fox ran home.", "repick"), ("width", "pairs")) == 1


def test_another_way_to_fill_the_hole_is_another_measurement():
    app = opened()
    measure(app, "Drop experts")
    app.segmented_control(key=knock_outs.THEN_KEY).select("kept").run()
    assert not app.exception and captions(app).count(NOT_YET) == 6
    app.segmented_control(key=knock_outs.THEN_KEY).select("repick").run()
    assert len(charts(app)) == 6


def test_texts_of_a_list_are_measured_in_the_chosen_path_and_compared():
    app = opened()
    texts = ["The fox ran.", "She said no.", "7 + 5 = 12", "A boat lay there.", "Then it was night.", "🙂" * 5_000]
    app.session_state.prompt_list = PromptList("mine.csv", [Prompt(f"p{i}", t) for i, t in enumerate(texts)], [], [])
    app.segmented_control(key=text_study.CHOICE_KEY).select(text_study.OWN).run()
    assert any(told.startswith("0 of 6 texts are measured") for told in captions(app))
    measure(app, "Measure these texts")
    told = captions(app)
    assert any(each.startswith("6 of 6 texts are measured") for each in told)
    assert any(each.replace("\\", "").startswith("Left out: The text has ") for each in told)
    assert len(charts(app)) == 2
    assert "5 texts" in notes(app)
    for text in texts[:5]:
        assert server.share_measured((MODEL, text, "repick"), ("width",)) == 1
        assert server.share_measured((MODEL, text, "repick"), ("depth",)) == 0


def test_runs_in_memory_are_bounded_and_the_last_used_stay(monkeypatch, own_runs, loaded):
    trace = capture(loaded, "abc")
    monkeypatch.setattr(server, "MAX_KNOCK_OUTS_BYTES", 2 * KnockOutRun(trace).nbytes)
    for text in ("a", "b", "a", "c"):
        own_runs.find(("m", text, "repick")) or own_runs.keep(("m", text, "repick"), KnockOutRun(trace))
    assert [key[1] for key in own_runs.by_key] == ["a", "c"]
