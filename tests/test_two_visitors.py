"""Two visitors at the models of one server, at the same time: each gets what is true of the own text."""

import threading

import numpy as np
import pytest

import hooks
from app.server import captures, models, queues
from app.server.fair_queue import FairQueue
from app.texts.prompts import PromptError
from hooks import DropExpert, ForceLoops, capture, capture_paths
from sample_models.loading import LoadedModel
from tests.models import small_loaded
from tests.threads import run_in_thread, wait_until

ROUNDS = 20
LONG = "The king rode out to the river and back. "


@pytest.fixture
def loaded(monkeypatch, request, tmp_path):
    """The one model of the server; its name is that of the test, so that nothing is known of its texts yet."""
    small = small_loaded()
    only = LoadedModel(small.model, small.tokenizer, request.node.name)
    monkeypatch.setattr(models, "folders", lambda: {only.name: tmp_path})
    monkeypatch.setattr(models, "loaded_model", {only.name: only}.__getitem__)
    return only


@pytest.fixture(params=[1, 2], ids=["one place", "two places"])
def line(request, monkeypatch) -> FairQueue:
    """The line in front of the models: of a small server, and of one on which two texts run at a time."""
    queue = FairQueue(slots=request.param)
    monkeypatch.setattr(queues, "model_queue", lambda: queue)
    return queue


def passes(loaded) -> list[int]:
    """The tokens of every pass of the model from now on."""
    seen: list[int] = []
    loaded.model.model.embed_tokens.register_forward_hook(lambda _, args, __: seen.append(args[0].numel()))
    return seen


def at_once(*works):
    """What comes of several works that begin together."""
    ready = threading.Barrier(len(works))

    def run(work):
        ready.wait(10)
        return work()

    return [each.result(60) for each in [run_in_thread(lambda work=work: run(work)) for work in works]]


def equal_up_to_rounding(found: np.ndarray, expected: np.ndarray, name: str) -> None:
    """Whole numbers are equal; others to 1e-5: a library's sums may differ with where in memory a matrix lies."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=0 if found.dtype.kind == "i" else 1e-5, err_msg=name)


def test_two_visitors_with_different_texts_get_each_their_own_trace_and_each_text_runs_once(loaded, line):
    texts = [(f"{i}: a fox. " * (1 + i % 3), f"{LONG * (1 + i % 2)}{i}") for i in range(ROUNDS)]
    expected = {text: capture(loaded, text) for pair in texts for text in pair}
    seen = passes(loaded)
    for pair in texts:
        for text, found in zip(
            pair, at_once(*(lambda t=t: captures.trace_of(loaded.name, t) for t in pair)), strict=True
        ):
            assert found.meta["text"] == text and found.tokens == expected[text].tokens
            for name in ("token_ids", "loops", "depth_logits", "expert_ids", "expert_logits", "logprob"):
                equal_up_to_rounding(getattr(found, name), getattr(expected[text], name), name)
    assert sorted(seen) == sorted(each.num_tokens for each in expected.values())
    assert all(captures.trace_of(loaded.name, text) is captures.trace_of(loaded.name, text) for text in expected)
    assert len(seen) == 2 * ROUNDS and not line._tickets


def test_two_visitors_on_pages_that_look_inside_get_each_the_paths_of_their_own_text(loaded, line):
    for i in range(ROUNDS // 4):
        texts = (f"{i}: the fox and the lamp.", f"{i}: {LONG}")
        expected = [capture_paths(loaded, text, tokens=(0, 9)) for text in texts]
        found = at_once(*(lambda t=t: captures.paths_of(loaded.name, t, (0, 9)) for t in texts))
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.routing.tokens == theirs.routing.tokens
            for name in ("states", "expert_out", "resid_pre", "resid_post", "embedding", "resid_final"):
                equal_up_to_rounding(getattr(ours, name), getattr(theirs, name), name)


def test_what_is_cached_of_a_text_under_an_intervention_is_never_shown_as_the_models_own(loaded, line):
    text, changed = "The fox and the lamp.", (ForceLoops(4), DropExpert(1, path="both"))
    for given in (changed, ()) * 2:
        trace = captures.trace_of(loaded.name, text, given)
        paths = captures.paths_of(loaded.name, text, (0, 9), given)
        lens = captures.lens_of(loaded.name, text, (0, 9), 3, 65, None, given)
        seen = captures.attention_of(loaded.name, text, 3, given)
        assert all(each.routing is trace for each in (paths, lens, seen)) and trace.interventions == given
        equal_up_to_rounding(trace.loops, capture(loaded, text, interventions=given).loops, "loops")
    forced, own = captures.paths_of(loaded.name, text, (0, 9), changed), captures.paths_of(loaded.name, text, (0, 9))
    assert (forced.routing.loops == 4).all() and not (own.routing.loops == 4).all()
    assert captures.trace_of(loaded.name, text, changed[:1]) is not forced.routing


def test_two_visitors_who_ask_for_the_same_text_at_once_share_one_trace(loaded, line):
    seen = passes(loaded)
    for i in range(ROUNDS // 4):
        one, other = at_once(*[lambda i=i: captures.trace_of(loaded.name, f"{i}: the same for both")] * 2)
        assert one is other
    assert ROUNDS // 4 <= len(seen) <= ROUNDS // 4 * line.slots, "where two run at a time, both may have begun"


def test_a_visitor_whose_text_or_model_fails_does_not_block_the_next(loaded, line, monkeypatch):
    run, begun, go = hooks.capture, threading.Event(), threading.Event()

    def fail_on_the_bad_one(model, reading, **more):
        if reading.text == "bad luck":
            begun.set()
            assert go.wait(10)
            raise RuntimeError("out of memory")
        return run(model, reading, **more)

    monkeypatch.setattr(hooks, "capture", fail_on_the_bad_one)
    bad = run_in_thread(lambda: captures.trace_of(loaded.name, "bad luck"))
    assert begun.wait(10)
    good = run_in_thread(lambda: captures.trace_of(loaded.name, "good luck"))
    if line.slots == 1:
        wait_until(lambda: len(line._tickets) == 2)
    else:
        good.result(10)
    go.set()
    with pytest.raises(RuntimeError, match="out of memory"):
        bad.result(10)
    assert good.result(10).meta["text"] == "good luck"
    with pytest.raises(PromptError, match="4,097 tokens; the limit is 4,096"):
        captures.trace_of(loaded.name, "x" * 4_097)
    assert captures.trace_of(loaded.name, "after all of them").meta["text"] == "after all of them"
    assert not line._tickets
