"""Router and depth head of a distilled model, fitted in closed form: they deal out the wanted shares by what counts."""

import pytest
import torch

from sample_models.distil.gates import (
    costs_of_other_loops,
    depth_weights,
    fit_gates,
    nearest_loops_weights,
    refit_depth,
    router_weights,
)
from sample_models.distil.losses import Lesson, Objective
from sample_models.distil.teacher import read_pair
from sample_models.train_losses import AuxiliaryWeights
from tests.dense_models import write_dense
from tests.test_distil import ids_of


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """A random Llama with a byte-level tokenizer, as transformers saves it."""
    return write_dense(tmp_path_factory.mktemp("dense"))


def test_depth_head_deals_out_the_wanted_shares_and_follows_its_signal():
    random = torch.Generator().manual_seed(0)
    hidden = torch.randn(4000, 16, generator=random)
    hidden[:, 0] = 3.0  # the direction that serves as a bias
    signal = hidden[:, 1] - 0.5 * hidden[:, 2]
    logits = hidden @ depth_weights(hidden, signal, [0.1, 0.4, 0.3, 0.2]).T
    loops = logits.argmax(dim=-1) + 1
    shares = torch.bincount(loops, minlength=5)[1:] / len(loops)
    torch.testing.assert_close(shares, torch.tensor([0.1, 0.4, 0.3, 0.2]), atol=0.02, rtol=0)
    means = torch.stack([signal[loops == n].mean() for n in range(1, 5)])
    assert (means.diff() > 0.5).all()


def test_router_prefers_the_slice_that_writes_most(dense):
    """The experts that it puts first write more of the update than dealt ones, and none is left without tokens."""
    student, teacher = read_pair(dense)
    ffn = teacher.model.layers[1].mlp
    hidden = torch.randn(2000, 32, generator=torch.Generator().manual_seed(0))
    hidden[:, 0] = 2.0
    with torch.no_grad():
        logits = hidden @ router_weights(hidden, ffn, 8).T
        units = ffn.activations(hidden)
        written = (units * (ffn.down_proj(units) @ ffn.down_proj.weight)).unflatten(-1, (8, -1)).sum(dim=-1)
    first = logits.argmax(dim=-1)
    assert torch.bincount(first, minlength=8).min() > 2000 * 0.04
    standard = (written - written.mean(dim=0)) / written.std(dim=0)
    assert standard.gather(1, first[:, None]).mean() > 0.3  # 0 for dealt experts


def test_depth_head_prefers_the_loops_with_the_smallest_error_in_the_wanted_shares():
    random = torch.Generator().manual_seed(0)
    hidden = torch.randn(4000, 16, generator=random)
    hidden[:, 0] = 3.0  # the direction that serves as a bias
    errors = (hidden[:, 1:5] + 0.2 * torch.randn(4000, 4, generator=random)).exp()
    wanted = [0.1, 0.6, 0.2, 0.1]
    loops = (hidden @ nearest_loops_weights(hidden, errors, wanted).T).argmax(dim=-1)
    shares = torch.bincount(loops, minlength=4) / len(loops)
    torch.testing.assert_close(shares, torch.tensor(wanted), atol=0.02, rtol=0)
    dealt = errors[torch.arange(4000), loops[torch.randperm(4000, generator=random)]]
    assert errors[torch.arange(4000), loops].log().mean() < dealt.log().mean() - 0.4


def test_fitted_gates_of_a_pair_choose_every_number_of_loops(dense):
    student, teacher = read_pair(dense)
    windows = ids_of(teacher, rows=20, tokens=32)
    fit_gates(student, teacher, windows, [0.25, 0.25, 0.25, 0.25])
    choices = []
    for layer in student.model.layers:
        layer.mlp.hook_loop_choice.register_forward_hook(lambda module, inputs, choice: choices.append(choice))
    with torch.no_grad():
        student.eval()(windows)
    for choice in choices:
        assert (torch.bincount(choice.flatten(), minlength=4) > 0).all()


def test_the_layer_whose_other_loops_cost_most_is_made_steady(dense):
    student, teacher = read_pair(dense)
    windows = ids_of(teacher, rows=16, tokens=32)
    fit_gates(student, teacher, windows, [0.25, 0.25, 0.25, 0.25])
    objective = Objective(1.0, 1.0, 0.3, 0.0, AuxiliaryWeights(0.01, 0.0, 0.0))
    lesson = Lesson(student, teacher, (student.lm_head.weight, teacher.lm_head.weight), objective, compiled=False)
    shares, steady_shares = [0.3, 0.4, 0.2, 0.1], [0.02, 0.94, 0.02, 0.02]
    heads = [ffn.depth_head.weight for ffn in lesson.ffns]
    first = [weight.detach().clone() for weight in heads]
    assert refit_depth(lesson, windows, shares) == []

    def divergence(usual_in=None) -> torch.Tensor:
        def usual(module, inputs, choice):
            return torch.full_like(choice, 1)

        hooks = [] if usual_in is None else [lesson.ffns[usual_in].hook_loop_choice.register_forward_hook(usual)]
        with torch.no_grad():
            ours, theirs = (model.eval()(windows[:12]).logits.log_softmax(-1) for model in (student, teacher))
        for hook in hooks:
            hook.remove()
        return (theirs.exp() * (theirs - ours)).sum(-1).mean()

    costs = torch.stack([divergence() - divergence(layer) for layer in range(len(lesson.ffns))])
    found = costs_of_other_loops(lesson, windows[:12], usual=1)
    torch.testing.assert_close(found, costs, atol=1e-5, rtol=0)
    dearest = int(costs.argmax())
    refitted = [weight.detach().clone() for weight in heads]
    with torch.no_grad():
        for weight, begun in zip(heads, first, strict=True):
            weight.copy_(begun)
    assert refit_depth(lesson, windows, shares, steady_layers=1, steady_shares=steady_shares) == [dearest]
    same = [torch.equal(weight, alone) for weight, alone in zip(heads, refitted, strict=True)]
    assert same == [layer != dearest for layer in range(len(heads))]
    choices = []
    lesson.ffns[dearest].hook_loop_choice.register_forward_hook(lambda module, inputs, choice: choices.append(choice))
    with torch.no_grad():
        student.eval()(windows)
        heads[dearest].copy_(refitted[dearest])
        student(windows)
    steady, usual = ((choice == 1).double().mean() for choice in choices)
    assert steady > usual + 0.1
