"""Interventions: against a slow reference, beside what the model chose, and gone once they have ended."""

import copy
import dataclasses
import threading
from functools import partial

import numpy as np
import pytest
import torch

from hooks import (
    DropExpert,
    DropPath,
    ForceExperts,
    ForceGate,
    ForceLoops,
    ForceTopK,
    RoutingTrace,
    UseRouting,
    capture,
    capture_paths,
    edited,
    intervened,
    loop_slices,
    measure_faithfulness,
    record,
    recursion_lens,
)
from hooks.rerun import rerun_token
from hooks.trace_diff import trace_difference
from sample_models.loading import LoadedModel
from tests.intervention_oracle import oracle_model
from tests.models import byte_tokenizer, small_loaded
from tests.threads import run_in_thread

TEXT = "Once upon a fox."
IDS = torch.tensor([byte_tokenizer()(TEXT)["input_ids"]])
KINDS = (ForceLoops, ForceGate, ForceExperts, ForceTopK, UseRouting, DropExpert, DropPath)


@pytest.fixture(scope="module")
def exact():
    """The small model in float64; its FFNs' norms too, which Llama's are not."""
    loaded = small_loaded()
    model = copy.deepcopy(loaded.model).double()
    for block in model.model.layers:
        norm = torch.nn.RMSNorm(32, eps=1e-6).double()
        norm.weight = block.mlp.norm.weight
        block.mlp.norm = norm
    return LoadedModel(model, loaded.tokenizer, "exact")


@pytest.fixture(scope="module")
def base(loaded):
    return capture(loaded, TEXT)


@pytest.fixture(scope="module")
def other(loaded):
    """The routing of another text of equal length."""
    return capture(loaded, TEXT[::-1])


def logits(loaded, ids=IDS, **more):
    with torch.inference_mode():
        return loaded.model(ids, use_cache=False, **more).logits


def cases(other) -> list[tuple]:
    two, some = (0, 1), (2, 3, 5, 7, 8, 11)
    return [
        (ForceLoops(3),),
        (ForceLoops(1, layers=1, tokens=some, gate="held"), ForceLoops(4, 0, 2)),
        (ForceGate(0.9), ForceLoops(4, tokens=some, gate="held"), ForceLoops(2, 1, 6)),
        (ForceGate(0, tokens=some), ForceGate(1, layers=1, tokens=4)),
        (ForceExperts((5, 1)),),
        (ForceExperts((0, 6, 2), two, some, weights="kept"), ForceExperts(3, 0, 1)),
        (ForceExperts((7, 4), weights=(0.1, 0.6)), ForceGate(0.5)),
        (ForceTopK(1), ForceTopK(5, tokens=some)),
        (ForceTopK(4, weights="kept"), ForceTopK(1, 1, some, weights="kept")),
        (UseRouting(other),),
        (UseRouting(other, 1, some, parts=("loops", "experts")), UseRouting(other, 0, parts="gate")),
        *[(DropExpert(2, then=then), DropExpert(5, then=then)) for then in ("repick", "renormalised", "kept", "mean")],
        (*[DropExpert(each) for each in range(7)], DropExpert(7, tokens=some)),
        (DropExpert(3, path="depth"), DropExpert(6, 1, some, path="both", then="mean")),
        (ForceTopK(3, weights="kept"), DropExpert(1, then="renormalised"), DropExpert(4, path="both")),
        (DropPath("width"),),
        (DropPath("width", 0, some, other="renormalised"), DropPath("depth", 1, some)),
        (DropPath("depth", other="renormalised", tokens=some), DropPath("depth", tokens=(0, 1))),
        (DropPath("depth", 1), DropPath("width", 1, some, other="renormalised")),
        (ForceGate(0.7), ForceExperts((1, 2, 4, 6), weights="kept"), DropPath("depth"), DropExpert(2, then="kept")),
    ]


def test_every_kind_equals_the_slow_reference_in_float64(exact, other):
    told, some = cases(other), IDS[:, :12]
    assert {type(each) for case in told for each in case} == set(KINDS)
    own = logits(exact, some)
    for case in told:
        with intervened(exact, case):
            changed = logits(exact, some)
        with torch.inference_mode():
            expected = oracle_model(exact.model, case)(some, use_cache=False).logits
        assert (changed - expected).abs().max() < 1e-10, [each.words() for each in case]
        assert (changed - own).abs().max() > 1e-4
    assert torch.equal(logits(exact, some), own)


def chosen(base) -> dict[str, list]:
    """Interventions of every kind that say what the model chose anyway."""
    found = {kind.__name__: [] for kind in KINDS}
    for layer, token in np.ndindex(base.loops.shape):
        loops, gate = int(base.loops[layer, token]), float(base.gate[layer, token])
        ids, weights = base.expert_ids[layer, token].tolist(), base.expert_weights[layer, token].tolist()
        found["ForceLoops"] += [ForceLoops(loops, layer, token), ForceLoops(loops, layer, token, gate="held")]
        found["ForceGate"].append(ForceGate(gate, layer, token))
        found["ForceExperts"] += [ForceExperts(ids[::-1], layer, token, weights=w) for w in ("renormalised", "kept")]
        found["ForceExperts"].append(ForceExperts(ids, layer, token, weights=weights))
        spared = next(expert for expert in range(8) if expert not in ids)
        found["DropExpert"] += [
            DropExpert(spared, layer, token, then=then) for then in ("repick", "renormalised", "kept", "mean")
        ]
        if not base.width_ran[layer, token]:
            found["DropPath"] += [DropPath("width", layer, token), DropPath("width", layer, token, "renormalised")]
    found["ForceTopK"] = [ForceTopK(2), ForceTopK(2, weights="kept")]
    found["UseRouting"] = [
        UseRouting(base),
        UseRouting(base, parts="loops"),
        UseRouting(base, parts=("gate", "experts")),
    ]
    return found


@pytest.mark.parametrize("kind", [kind.__name__ for kind in KINDS])
def test_forcing_what_the_model_chose_changes_no_bit(loaded, base, kind):
    same = chosen(base)[kind]
    assert same
    plain = logits(loaded)
    with intervened(loaded, same):
        assert torch.equal(logits(loaded), plain)
    traced = capture(loaded, TEXT, interventions=same)
    assert traced.interventions == tuple(same)
    for field in dataclasses.fields(RoutingTrace):
        value, own = getattr(traced, field.name), getattr(base, field.name)
        if isinstance(value, np.ndarray) and field.name not in ("expert_ids", "expert_weights"):
            assert np.array_equal(value, own, equal_nan=value.dtype.kind == "f"), field.name
    k = base.expert_ids.shape[2]  # a token may have more places for experts, none of which writes anything
    assert np.array_equal(traced.expert_ids[..., :k], base.expert_ids)
    assert np.array_equal(traced.expert_weights[..., :k], base.expert_weights)
    assert not traced.expert_weights[..., k:].any() and traced.expert_ran.sum() == base.expert_ran.sum()


def test_a_path_that_loses_nothing_is_dropped_without_a_trace(loaded):
    with intervened(loaded, (ForceGate(1),)):
        width_alone = logits(loaded)
    with intervened(loaded, (ForceGate(1), DropPath("depth"))):
        assert torch.equal(logits(loaded), width_alone)
    with intervened(loaded, (DropPath("depth", other="renormalised"),)):
        assert torch.equal(logits(loaded), width_alone)


def test_lambda_follows_the_loops_or_is_held(loaded, base):
    follows = capture(loaded, TEXT, interventions=(ForceLoops(4, 0),))
    assert (follows.loops[0] == 4).all() and not follows.gate[0].any() and not follows.width_ran[0].any()
    held = capture(loaded, TEXT, interventions=(ForceLoops(4, 0, gate="held"),))
    assert (held.loops[0] == 4).all() and np.array_equal(held.gate[0], base.gate[0])
    forced = capture(loaded, TEXT, interventions=(ForceGate(0.3, 0), ForceLoops(1, 0, 5, gate="held")))
    assert np.allclose(forced.gate[0], 0.3) and forced.loops[0, 5] == 1


def test_a_dropped_path_is_h_and_the_other_is_kept_or_renormalised(exact):
    ffn = exact.model.model.layers[0].mlp
    names = [f"blocks.0.mlp.{name}" for name in ("hook_in", "hook_loop_choice", "hook_out")]

    def layer(*interventions):
        with intervened(exact, interventions), record(names) as seen, torch.inference_mode():
            exact.model(IDS, use_cache=False)
        return [seen[name] for name in names]

    def states_at(h, choice):
        """sum of D_l up to the chosen loop."""
        states = [h]
        for _ in range(4):
            states.append(ffn.loop(states[-1]))
        return torch.stack(states[1:], dim=-2).take_along_dim(choice[..., None, None], dim=-2).squeeze(-2) - h

    with torch.inference_mode():
        h, choice, dropped = layer(DropPath("width", 0))
        depth, gate = states_at(h, choice), ((3 - choice) / 4)[..., None].double()
        assert (dropped - (h + (1 - gate) * depth)).abs().max() < 1e-10
        assert (dropped - (1 - gate) * (h + depth)).abs().max() > 1e-2  # that would be Y_width = 0
        assert (layer(DropPath("width", 0, other="renormalised"))[2] - (h + depth)).abs().max() < 1e-10
        assert torch.equal(layer(DropPath("width", 0), DropPath("depth", 0))[2], h)


def test_tokens_are_those_of_the_whole_text_in_windows_and_batches():
    loaded = small_loaded(max_position_embeddings=16)
    text = "A fox slept under the old oak until noon."
    own, forced = capture(loaded, text), (ForceLoops(4, 0, 3), ForceLoops(1, 0, 30))
    assert len(own.windows) > 2
    changed = capture(loaded, text, interventions=forced)
    assert changed.loops[0, [3, 30]].tolist() == [4, 1]
    rest = np.delete(np.arange(own.num_tokens), [3, 30])
    assert np.array_equal(changed.loops[0, rest], own.loops[0, rest])
    seen = [window for window in own.windows if window.first <= 30 < window.end]
    touched = np.abs(changed.depth_logits[1] - own.depth_logits[1]).max(axis=1) > 0
    allowed = np.zeros(own.num_tokens, bool)
    for window in (*seen, own.windows[0]):
        allowed[max(window.own, 3 if window.first == 0 else 30) : window.end] = True
    assert touched[[3, 30]].all() and not touched[~allowed].any()
    same = capture(loaded, text, interventions=(UseRouting(own),))
    assert np.array_equal(same.depth_logits, own.depth_logits) and np.array_equal(same.next_logprobs, own.next_logprobs)
    together = capture(loaded, [text, text[:20], text[5:]], interventions=(ForceLoops(4, 0, (3, 12)),))
    for each, alone in zip(together, (text, text[:20], text[5:]), strict=True):
        single = capture(loaded, alone, interventions=(ForceLoops(4, 0, (3, 12)),))
        assert trace_difference(each, single, tolerance=1e-5).same
        assert each.loops[0, [3, 12]].tolist() == [4, 4]


def test_cached_steps_and_padding_count_the_tokens_of_the_text(loaded):
    forced = (ForceLoops(4, tokens=(3, 9)), ForceGate(0.6, 1, 12), DropExpert(1, tokens=(5, 13), path="both"))
    with intervened(loaded, forced):
        whole, past, steps = logits(loaded), None, []
        with torch.inference_mode():
            for part in IDS.split([6, *[1] * (IDS.shape[1] - 6)], dim=1):
                output = loaded.model(part, past_key_values=past, use_cache=True)
                past = output.past_key_values
                steps.append(output.logits)
        torch.testing.assert_close(torch.cat(steps, dim=1), whole, rtol=0, atol=1e-5)
        padded = torch.cat([torch.zeros(1, 5, dtype=torch.long), IDS], dim=1)
        mask = (torch.arange(padded.shape[1]) >= 5).long()[None]
        positions = (mask.cumsum(-1) - 1).clamp_min(0)
        left = logits(loaded, padded, attention_mask=mask, position_ids=positions)[:, 5:]
        torch.testing.assert_close(left, whole, rtol=0, atol=1e-5)
        written = loaded.model.generate(IDS, max_new_tokens=3, do_sample=False, pad_token_id=0)
        assert written.shape == (1, IDS.shape[1] + 3)
    assert (whole - logits(loaded)).abs().max() > 1e-3


def test_nothing_is_left_after_an_intervention_an_error_or_a_cancel(loaded):
    before = logits(loaded)

    class Cancelled(BaseException):
        pass

    def cancel(tensor, hook):
        raise Cancelled

    for error, edits in ((None, {}), (RuntimeError, {}), (Cancelled, {"blocks.1.mlp.hook_loop_choice": cancel})):
        try:
            with intervened(loaded, (ForceLoops(4), DropPath("width"))), edited(edits):
                logits(loaded)
                if error:
                    raise error
        except (RuntimeError, Cancelled):
            pass
        assert torch.equal(logits(loaded), before)
    with pytest.raises(ValueError, match="text of 16 tokens"):
        capture(loaded, TEXT, interventions=(ForceLoops(4), ForceLoops(2, tokens=16)))
    assert torch.equal(logits(loaded), before)


def test_two_threads_with_different_interventions_never_mix(loaded):
    given = [(ForceLoops(1, tokens=range(9)), DropExpert(2)), (ForceLoops(4), DropPath("depth"), ForceTopK(3))]

    def alone(which: int) -> torch.Tensor:
        with intervened(loaded, given[which]):
            return logits(loaded)

    # In a thread too: libraries may have given the main thread another number of threads, which rounds otherwise.
    expected = [run_in_thread(partial(alone, which)).result(60) for which in (0, 1)]
    wrong, start = [], threading.Barrier(2)

    def rounds(which: int) -> None:
        start.wait()
        for _ in range(50):
            with intervened(loaded, given[which]):
                if not torch.equal(logits(loaded), expected[which]):
                    wrong.append(which)

    threads = [threading.Thread(target=rounds, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("changed", [(ForceLoops(4, gate="held"), DropExpert(1, path="both")), (DropPath("depth", 0),)])
def test_what_is_run_again_for_a_trace_repeats_its_interventions(loaded, changed):
    traced = capture(loaded, TEXT, interventions=changed)
    paths = capture_paths(loaded, traced)
    with intervened(loaded, changed), record(["blocks.1.hook_resid_post"]) as seen:
        logits(loaded)
    assert np.abs(paths.resid_final - seen["blocks.1.hook_resid_post"][0].numpy()).max() < 1e-5
    assert recursion_lens(loaded, paths, 9, 65).rounding < 1e-4
    with pytest.raises(ValueError, match="made with interventions"):
        measure_faithfulness(loaded, traced)
    if any(isinstance(each, DropExpert) for each in changed):
        with pytest.raises(ValueError, match="dropped from the loops"):
            loop_slices(loaded, paths)


def test_a_trace_cannot_be_made_inside_a_block_that_it_would_not_name(loaded):
    with intervened(loaded, (ForceLoops(4),)), pytest.raises(ValueError, match="give them to capture"):
        capture(loaded, TEXT)


def test_a_token_is_rerun_under_the_interventions_of_its_trace(loaded):
    token = 5
    trace = capture(loaded, TEXT, interventions=(ForceLoops(4, tokens=(token,)), DropExpert(1, tokens=(2,))))
    logits = rerun_token(loaded, trace, token, [{}, {"blocks.1.mlp.hook_loop_choice": lambda choice, hook: choice}])
    again = logits.log_softmax(dim=-1)[:, torch.tensor(trace.next_ids[token])]
    np.testing.assert_allclose(again, np.broadcast_to(trace.next_logprobs[token], again.shape), atol=1e-5)
