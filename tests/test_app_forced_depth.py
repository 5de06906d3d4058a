"""The page Forced depth: sweeps are started, watched, stopped, kept, and go on."""

import threading
from concurrent.futures import CancelledError

import pytest
from streamlit.testing.v1 import AppTest

import hooks
from app.server import background_job, forced_depth
from app.server.fair_queue import FairQueue
from app.session import text_study
from app.session.forced_depth import BUTTONS
from app.texts.prompt_files import PromptList
from app.texts.prompts import Prompt
from tests.app_in_process import MAIN, charts, press, turn_to, unfolded
from tests.threads import wait_until

TEXT = "The fox ran."


@pytest.fixture(autouse=True)
def nothing_kept():
    forced_depth.kept_sweeps.clear()


@pytest.fixture
def gated(monkeypatch):
    """The sweep waits before every token until it is let on; `ran` are the tokens that were run."""
    semaphore, ran, real = threading.Semaphore(0), [], hooks.sweep_tokens

    def sweep(loaded, trace, *, tokens, check):
        for part in real(loaded, trace, tokens=tokens, check=check):
            while not semaphore.acquire(timeout=0.05):
                check()
            ran.append(part.token)
            yield part

    monkeypatch.setattr(hooks, "sweep_tokens", sweep)
    sweep.let_on, sweep.ran = semaphore.release, ran
    return sweep


def opened() -> AppTest:
    app = unfolded(AppTest.from_file(str(MAIN), default_timeout=120)).run()
    app.text_area[0].set_value(TEXT).run()
    press(app, "Trace")
    turn_to(app, "forced_depth")
    assert not app.exception
    return app


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def waited(app: AppTest, kind: str) -> AppTest:
    """The page once a sweep has ended."""
    job = app.session_state.sweep_jobs.get(kind)
    if job:
        job.future.result(60)
    app.run()
    assert not app.exception
    return app


def test_every_sweep_is_run_on_demand_and_found_again_by_everybody():
    app = opened()
    assert not charts(app) and not any("miss" in each.value for each in app.markdown)
    assert any(each.value == "Press the button Force every depth to draw this." for each in app.caption)
    frontier = next(button for button in app.button if button.label == BUTTONS["gates"])
    assert frontier.disabled and any("run to its end first" in each.value for each in app.caption)
    press(app, BUTTONS["depth"])
    waited(app, "depth")
    assert len(charts(app)) == 3 and BUTTONS["depth"] not in labels(app)
    for kind in ("gates", "gate"):
        press(app, BUTTONS[kind])
        waited(app, kind)
    assert len(charts(app)) == 5
    again = opened()
    assert len(charts(again)) == 5, "the server keeps it for whoever brings this text"
    again.session_state.token = 0
    again.run()
    assert len(charts(again)) == 4 and BUTTONS["gate"] in labels(again), "lambda was moved for another token"


def test_texts_of_a_list_place_the_gate_and_what_was_run_is_kept():
    app = opened()
    assert any("In 31 sample texts, cut to 40 tokens" in each.value for each in app.caption)
    app.segmented_control(key=text_study.CHOICE_KEY).select(text_study.OWN).run()
    assert any("You have no list yet" in each.value for each in app.caption)
    texts = ["A fox ran.", "Two dogs sat.", "7"]
    app.session_state.prompt_list = PromptList("mine.csv", [Prompt(t, t) for t in texts], [], [])
    app.run()
    press(app, BUTTONS["texts"])
    waited(app, "texts")
    (told,) = [each.value for each in app.caption if "the learned gate takes" in each.value]
    assert told.startswith("In 2 texts of “mine\\.csv”, cut to 40 ") and "fewer than 5 texts allow no interval" in told
    assert BUTTONS["texts"] not in labels(app) and any("one token has no next" in each.value for each in app.caption)
    assert ("depth", "versatile-6l-4m", "A fox ran.") in forced_depth.kept_sweeps()._kept


def test_what_was_run_is_kept_when_the_visitor_stops_and_a_sweep_goes_on_from_there(gated):
    app = opened()
    press(app, BUTTONS["depth"])
    job = app.session_state.sweep_jobs["depth"]
    assert "Stop" in labels(app) and BUTTONS["depth"] not in labels(app)
    for _ in range(2):
        gated.let_on()
    wait_until(lambda: job.message.startswith("2 of "))
    assert 0 < job.share < 1
    press(app, "Stop")
    app.run()
    assert "Stop" not in labels(app) and len(charts(app)) == 3
    with pytest.raises(CancelledError):
        job.future.result(10)
    (told,) = [each.value for each in app.caption if "tokens were run and are kept" in each.value]
    assert told.startswith("2 of ")
    for _ in range(99):
        gated.let_on()
    press(app, BUTTONS["depth"])
    waited(app, "depth")
    assert gated.ran == sorted(set(gated.ran)), "no token was run twice"
    assert not any("are kept" in each.value for each in app.caption)


def test_two_works_of_one_page_have_each_a_stop():
    def page():
        from app.parts.stop_button import stop_button

        for key in ("stop-gates", "stop-gate"):
            stop_button(key)

    app = AppTest.from_function(page).run()
    assert not app.exception and labels(app) == ["Stop", "Stop"]


def test_two_visitors_share_the_tokens_of_one_text(gated):
    first, second = opened(), opened()
    for app in (first, second):
        press(app, BUTTONS["depth"])
    for _ in range(99):
        gated.let_on()
    for app in (first, second):
        waited(app, "depth")
        assert len(charts(app)) == 3
    assert len(gated.ran) - len(set(gated.ran)) <= 1, "they meet in the middle"


def test_a_job_waits_its_turn_and_says_how_many_are_ahead():
    queue, done = FairQueue(), threading.Event()
    job = background_job.BackgroundJob("key", queue)

    def work(job):
        with job.turns():
            done.set()
        return "made"

    with queue.turn():
        job.start(work)
        wait_until(lambda: job.ahead == 1)
        assert job.told == "Waiting for 1 text of other visitors…"
        assert not done.is_set()
    assert job.future.result(10) == "made" and job.ahead == 0


@pytest.mark.parametrize("leaves", [True, False], ids=["leaves", "stops"])
def test_a_job_in_the_queue_ends_when_its_visitor_stops_it_or_leaves(leaves):
    queue, there = FairQueue(), [True]
    job = background_job.BackgroundJob("key", queue, lambda: there[0])

    def work(job):
        with job.turns():
            return "made"

    with queue.turn():
        job.start(work)
        wait_until(lambda: job.ahead == 1)
        there[0] = not leaves
        job.stopped = not leaves
        with pytest.raises(CancelledError):
            job.future.result(10)
    with queue.turn(lambda ahead: pytest.fail("the job is still in the queue")):
        pass


def test_between_its_steps_a_job_lets_others_go_first():
    queue, order, going = FairQueue(), [], threading.Event()
    job = background_job.BackgroundJob("key", queue)

    def work(job):
        with job.turns() as next_turn:
            for step in range(3):
                order.append(step)
                going.set()
                wait_until(lambda: len(queue._tickets) == 2 or order[-1] != 0)
                next_turn()

    job.start(work)
    assert going.wait(10)
    with queue.turn():
        order.append("other")
    job.future.result(10)
    assert order == [0, "other", 1, 2]


def test_the_oldest_results_go_when_all_are_too_large():
    class Result:
        nbytes = 40

    kept = forced_depth.KeptSweeps(most_bytes=100)
    for key in "abc":
        kept.change(key, lambda _: Result())
        kept.get("a")
    assert kept.get("a") and kept.get("c") and not kept.get("b")
