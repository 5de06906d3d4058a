"""Generation: its tokens are those of `generate`, its routing that of a later capture, and every branch is its own."""

import dataclasses
import json
from functools import partial

import numpy as np
import pytest
import torch

from analysis.models.batching import flips
from hooks import (
    DropExpert,
    DropPath,
    ForceExperts,
    ForceGate,
    ForceLoops,
    ForceTopK,
    Generation,
    NotFiniteError,
    RoutingTrace,
    Sampling,
    UseRouting,
    capture,
    intervened,
    read,
    run_in_batches,
)
from hooks.generation import PIECE
from hooks.sampling import ENDED, FULL
from hooks.trace_diff import trace_difference
from sample_models import load_model
from tests.models import small_loaded
from tests.test_chat_template import CHATML
from tests.threads import run_in_thread

PROMPT = "Once upon a fox."
WARM = Sampling(0.9, top_k=40, top_p=0.95, seed=7)
MARGIN = 1e-5


@pytest.fixture(scope="module")
def sample():
    """The smaller shipped model."""
    return load_model("versatile-4l-0.4m")


def grown(loaded, tokens: int = 12, prompt: str = PROMPT, **how) -> Generation:
    generation = Generation(loaded, prompt, **how)
    assert len(list(generation.steps(tokens))) == generation.generated <= tokens
    return generation


def captured(loaded, trace: RoutingTrace) -> RoutingTrace:
    """The same tokens, traced anew in one pass without the cache."""
    plain = dataclasses.replace(trace, meta={k: v for k, v in trace.meta.items() if k != "interventions"})
    return capture(loaded, read(loaded, plain), interventions=trace.interventions)


def equals_a_capture(loaded, trace: RoutingTrace) -> None:
    again = captured(loaded, trace)
    found = flips(trace, again, tolerance=MARGIN)
    assert found.choices > 50 and not found.unexplained
    assert not found.flipped, "the margins of these texts are all larger"
    assert trace_difference(trace, again, tolerance=3e-5, meta=True).lines() == []


@pytest.mark.parametrize("how", [{}, {"sampling": WARM}], ids=["greedy", "drawn"])
def test_routing_is_that_of_a_later_capture(loaded, sample, how):
    for model in (loaded, sample):
        generation = grown(model, 40, **how)
        trace = generation.trace()
        assert trace.token_ids.tolist() == generation.ids and trace.first_generated == generation.prompt_tokens
        equals_a_capture(model, trace)
    assert capture(sample, trace.meta["text"]).token_ids.tolist() == generation.ids, "its text reads back as it is"


def test_greedy_tokens_are_those_of_generate(loaded, sample):
    for model in (loaded, sample):
        ids = torch.tensor([model.tokenizer(PROMPT)["input_ids"]])
        expected = model.model.generate(ids, max_new_tokens=40, do_sample=False, pad_token_id=0)
        assert grown(model, 40).ids == expected[0].tolist()


def test_it_ends_with_the_models_own_end_of_text_and_can_go_on():
    loaded = small_loaded()
    second = grown(loaded, 2).ids[-1]
    loaded.model.generation_config.eos_token_id = [255, second]
    generation = grown(loaded, 12)
    ids = torch.tensor([generation.reading.ids])
    expected = loaded.model.generate(ids, max_new_tokens=12, do_sample=False, pad_token_id=0)
    assert generation.ids == expected[0].tolist() and generation.finished == ENDED and generation.generated <= 2
    assert list(generation.steps(3)) == [] and generation.advance().position == len(generation.ids) - 1


def test_draws_follow_the_distribution_that_transformers_makes(sample):
    generation = grown(sample, 1)
    logits = torch.tensor(captured(sample, generation.trace()).next_logprobs[generation.prompt_tokens - 1])
    draws = [grown_once(generation, Sampling(1.5, top_k=4, top_p=0.9, seed=seed)) for seed in range(120)]
    ids = generation.trace().next_ids[generation.prompt_tokens - 1]
    probs = (logits[:4] / 1.5).softmax(dim=-1)
    keep = int((probs.cumsum(dim=-1) < 0.9).sum()) + 1
    probs = probs[:keep] / probs[:keep].sum()
    assert set(draws) == set(ids[:keep].tolist())
    for token_id, prob in zip(ids, probs.tolist(), strict=False):
        spread = (prob * (1 - prob) / len(draws)) ** 0.5
        assert abs(draws.count(token_id) / len(draws) - prob) < 4 * spread
    greedy = generation.ids[generation.prompt_tokens]
    assert {grown_once(generation, Sampling(2.0, top_k=1, seed=seed)) for seed in range(3)} == {greedy}


def grown_once(generation: Generation, sampling: Sampling) -> int:
    """The first token after the prompt, drawn otherwise."""
    other = generation.branch(generation.prompt_tokens - 1, sampling=sampling)
    return next(other.steps(1)).token_id


def test_a_seed_gives_the_same_text_also_after_a_step_back(loaded):
    first, again = grown(loaded, sampling=WARM), grown(loaded, 4, sampling=WARM)
    again.step_back(2)
    assert again.generated == 2 and again.unread == 1
    list(again.steps(10))
    assert again.ids == first.ids != grown(loaded, sampling=dataclasses.replace(WARM, seed=8)).ids
    assert trace_difference(again.trace(), first.trace(), tolerance=3e-5, meta=True).lines() == []
    other = first.branch(20)
    list(other.steps(7))
    assert other.ids == first.ids, "a branch throws the same dice"


def test_a_branch_shares_what_came_before_and_leaves_the_other_as_it_is(sample):
    trunk = grown(sample, 20)
    ids, before = trunk.ids[:], trunk.trace()
    at = trunk.prompt_tokens + 5
    branch = trunk.branch(at, (ForceLoops(4),))
    list(branch.steps(8))
    twig = branch.branch(at + 3, (DropPath("width", layers=1), ForceTopK(3, tokens=(at + 3, at + 900))))
    late = trunk.branch(2, (ForceLoops(1, layers=0),))
    for each in (branch, twig, late):
        list(each.steps(25 - each.generated))
        trace = each.trace()
        equals_a_capture(sample, trace)
    assert branch.ids[: at + 1] == ids[: at + 1] and late.ids[: trunk.prompt_tokens] == ids[: trunk.prompt_tokens]
    forced = branch.trace()
    assert (forced.loops[:, at:] == 4).all() and np.array_equal(
        forced.depth_logits[:, :at], before.depth_logits[:, :at]
    )
    assert forced.interventions == (ForceLoops(4, tokens=range(at, len(branch.ids))),)
    assert twig.trace().interventions[2].tokens == (at + 3,), "what lies beyond the text changed nothing"
    assert trunk.ids == ids and np.array_equal(trunk.trace().depth_logits, before.depth_logits)
    assert list(trunk.steps(1)) and not trunk.trace().interventions


def test_every_kind_of_intervention_holds_in_cached_steps(loaded):
    other = capture(loaded, PROMPT[::-1] * 2)
    for changed in (
        (ForceLoops(4, gate="held"), ForceGate(0.6, 1, (12, 17))),
        (ForceExperts((5, 1), weights=(0.1, 0.6)), DropExpert(1, tokens=(5, 18), path="both")),
        (UseRouting(other),),
        (UseRouting(other, parts="loops"), DropExpert(2, then="mean")),
        (DropPath("depth", layers=0, other="renormalised"), ForceTopK(1, tokens=range(14, 19))),
    ):
        generation = grown(loaded, 6, interventions=changed)
        trace = generation.trace()
        assert len(trace.interventions) == len(changed)
        equals_a_capture(loaded, trace)
        ids = torch.tensor([generation.reading.ids])
        with intervened(loaded, changed):
            expected = loaded.model.generate(ids, max_new_tokens=6, do_sample=False, pad_token_id=0)
        assert generation.ids == expected[0].tolist()


def test_a_trace_needs_no_second_run_and_a_step_one_token(loaded):
    ran = []
    handle = loaded.model.register_forward_pre_hook(
        lambda module, given, kwargs: ran.append(given[0].shape[1]), with_kwargs=True
    )
    try:
        prompt = PROMPT * 9
        generation = grown(loaded, 5, prompt)
        assert ran == [PIECE, PIECE, 144 - 2 * PIECE, 1, 1, 1, 1, 1]
        generation.trace()
        generation.branch(140, (ForceLoops(1),)).trace()
        assert ran[8:] == [4], "only what a branch changes is run again"
        generation.step_back()
        generation.advance()
        assert ran[9:] == [1]
    finally:
        handle.remove()
    equals_a_capture(loaded, generation.trace())


def test_no_gradient_is_kept_and_what_a_step_gives_is_numpy(loaded):
    step = next(grown(loaded, 1).steps(1))
    assert torch.is_grad_enabled() and all(parameter.grad is None for parameter in loaded.model.parameters())
    assert all(isinstance(values, np.ndarray) for values in step.routing.values())
    trace = grown(loaded, 2).trace()
    assert np.array_equal(step.loops, trace.loops[:, step.position]) and step.token == trace.tokens[step.position]
    assert step.logprob == pytest.approx(trace.logprob[step.position], abs=1e-6)


def test_chat_template_is_part_of_the_prompt():
    loaded = small_loaded()
    loaded.tokenizer.chat_template = CHATML
    generation = grown(loaded, 4, "Hello.", chat=True)
    message = [{"role": "user", "content": "Hello."}]
    asked = loaded.tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    trace = generation.trace()
    assert trace.meta["chat"] is True and trace.meta["text"].startswith(asked)
    assert trace.first_generated == len(loaded.tokenizer(asked)["input_ids"]) and not trace.special.any()
    equals_a_capture(loaded, trace)


def test_file_of_a_generated_text_says_which_tokens_the_model_wrote(loaded, tmp_path):
    generation = grown(loaded, 3)
    generation.sampling = WARM
    list(generation.steps(2))
    trace = generation.trace()
    assert trace.meta["generated"] == {
        "first": 16,
        "sampling": [
            {"first": 16, "temperature": 0.0},
            {"first": 19, "temperature": 0.9, "top_k": 40, "top_p": 0.95, "seed": 7},
        ],
    }
    trace.save(tmp_path / "a.trace.safetensors")
    again = RoutingTrace.load(tmp_path / "a.trace.safetensors")
    assert again.meta == json.loads(json.dumps(trace.meta)) and again.first_generated == 16
    for damaged in (
        3,
        {"first": 99, "sampling": []},
        {"first": 1},
        {"first": 1, "sampling": [{"first": 1, "seed": "x"}]},
    ):
        data = dataclasses.replace(trace, meta=trace.meta | {"generated": damaged}).to_bytes()
        with pytest.raises(ValueError, match="generated must be the first token"):
            RoutingTrace.from_bytes(data)
    assert capture(loaded, PROMPT).first_generated == len(PROMPT), "of a text that was given nothing is generated"


def test_what_cannot_be_done_is_said_in_a_sentence():
    loaded = small_loaded(max_position_embeddings=20)
    generation = grown(loaded, 9)
    assert generation.finished == FULL and generation.generated == 4
    refused = {
        "fills the 20 tokens": generation.advance,
        "room to generate": partial(Generation, loaded, "a" * 20),
        "step back must be 1..4": partial(generation.step_back, 5),
        "token must be 0..19": partial(generation.branch, 20),
        "some from 9 on": partial(generation.branch, 9, (ForceLoops(2, tokens=8),)),
        "loops must be 1..4": partial(generation.branch, 9, (ForceLoops(7),)),
        "the text is empty": partial(Generation, loaded, ""),
    }
    for why, call in refused.items():
        with pytest.raises(ValueError, match=why):
            call()
    with intervened(loaded, (ForceLoops(2),)), pytest.raises(ValueError, match="would not name"):
        Generation(loaded, "a").advance()
    for given in ({"temperature": -1}, {"temperature": float("nan")}, {"top_k": 0}, {"top_p": 0.0}, {"seed": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(given))} must be"):
            Sampling(**given)


def test_a_pass_that_is_stopped_leaves_the_text_as_it_was(loaded):
    generation, whole = grown(loaded, 3), grown(loaded, 6)

    class Stopped(BaseException):
        pass

    def stop(*_):
        raise Stopped

    handle = loaded.model.model.layers[1].register_forward_pre_hook(stop)
    try:
        with pytest.raises(Stopped):
            generation.advance()
    finally:
        handle.remove()
    assert generation.unread == 1
    list(generation.steps(2))
    assert generation.ids == whole.ids and trace_difference(generation.trace(), whole.trace(), tolerance=1e-6).same


def test_numbers_that_are_not_finite_end_it():
    loaded = small_loaded()
    with torch.no_grad():
        loaded.model.lm_head.weight.fill_(float("inf"))
    with pytest.raises(NotFiniteError):
        Generation(loaded, PROMPT).advance()


def test_two_threads_generate_on_one_model_without_mixing(loaded):
    changed = [(ForceLoops(1), DropExpert(2)), (ForceLoops(4, layers=0), ForceTopK(3))]

    def written(which: int) -> list[int]:
        return grown(loaded, 25, interventions=changed[which], sampling=WARM).ids

    alone = [run_in_thread(partial(written, which)).result(60) for which in (0, 1)]
    assert alone[0] != alone[1]
    for _ in range(4):
        both = [run_in_thread(partial(written, which)) for which in (0, 1)]
        assert [each.result(60) for each in both] == alone


def test_a_prompt_has_the_same_routing_alone_and_beside_padding_in_a_batch(loaded, sample):
    for model in (loaded, sample):
        runs = run_in_batches(model, PROMPT * 4)
        assert trace_difference(runs.alone, capture(model, PROMPT * 4)).same
        assert list(runs.batched) == list(runs.gaps) == ["padded on the right", "padded on the left"]
        for how, trace in runs.batched.items():
            found = flips(runs.alone, trace)
            assert not found.unexplained and found.choices > 50 and runs.gaps[how] < 1e-4
    broken = dataclasses.replace(trace, loops=np.where(np.arange(trace.num_tokens) == 9, 5 - trace.loops, trace.loops))
    assert flips(runs.alone, broken).unexplained[0] == (0, 9) and flips(runs.alone, broken, tolerance=99).flipped
    assert not flips(runs.alone, broken, tolerance=99).unexplained
