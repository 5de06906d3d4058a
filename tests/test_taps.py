"""Recordings and edits of a plain model: named taps, contexts that nest and end, threads that stay apart."""

import ast
import threading
from pathlib import Path

import pytest
import torch

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.feed_forward import FFN, DepthPath, RoutedFFN, VersatileFFN
from sample_models.lambda_gate import width_share
from sample_models.taps import Tap, edited, record
from tests.models import small_loaded

NAME = "blocks.1.mlp.hook_loop_choice"
KINDS = {"depth": DepthPath, "width": RoutedFFN, "gate": VersatileFFN}
IDS = torch.tensor([[84, 104, 101, 32, 102, 111, 120]])


@pytest.fixture(scope="module")
def model():
    """A model that TransformerLens has never seen."""
    return small_loaded().model


def choices(model) -> torch.Tensor:
    with torch.no_grad(), record([NAME]) as seen:
        model(IDS)
    return seen[NAME]


def force(loops: int):
    return lambda choice, hook: torch.full_like(choice, loops - 1)


def test_every_tap_of_a_model_has_the_name_of_its_place(model):
    names = [module.name for module in model.modules() if isinstance(module, Tap)]
    assert len(names) == len(set(names)) == 2 * 25
    for layer in range(2):
        assert model.model.layers[layer].mlp.hook_loop_choice.name == f"blocks.{layer}.mlp.hook_loop_choice"
        assert model.model.layers[layer].hook_resid_mid.name == f"blocks.{layer}.hook_resid_mid"
        assert model.model.layers[layer].hook_resid_mid.layer() == layer


def test_an_edit_is_told_where_it_stands(model):
    told = []

    def ask(choice, hook):
        told.append((hook.name, hook.layer()))
        return choice

    with torch.no_grad(), edited({NAME: ask}):
        model(IDS)
    assert told == [(NAME, 1)]


def test_looking_changes_no_bit_of_a_plain_model(model):
    with torch.no_grad():
        before = model(IDS).logits
        with record([NAME, "blocks.0.mlp.hook_lambda", "blocks.0.hook_mlp_out"]) as seen:
            during = model(IDS).logits
        after = model(IDS).logits
    assert len(seen) == 3 and torch.equal(before, during) and torch.equal(before, after)


def test_recordings_see_the_edit_and_the_outer_one_goes_on(model):
    with record([NAME]) as outer, edited({NAME: force(3)}):
        inner = choices(model)
    assert (inner == 2).all() and torch.equal(outer[NAME], inner)


def test_an_inner_edit_takes_what_the_outer_one_gave(model):
    with edited({NAME: force(2)}), edited({NAME: lambda choice, hook: choice + 1}):
        assert (choices(model) == 2).all()
    with edited({NAME: force(2)}):
        with edited({"blocks.0.mlp.hook_loop_choice": force(1)}):
            assert (choices(model) == 1).all(), "an inner edit elsewhere leaves the outer one alone"
        assert (choices(model) == 1).all()


def test_edits_end_after_an_error_and_stay_in_their_thread(model):
    plain, elsewhere = choices(model), []
    with pytest.raises(RuntimeError, match="planned"), edited({NAME: lambda choice, hook: 3 - plain}):
        assert torch.equal(choices(model), 3 - plain)
        thread = threading.Thread(target=lambda: elsewhere.append(choices(model)))
        thread.start()
        thread.join()
        raise RuntimeError("planned")
    assert torch.equal(elsewhere[0], plain) and torch.equal(choices(model), plain)


def test_torchs_hooks_come_before_edits():
    model = small_loaded().model
    tap = model.model.layers[1].mlp.hook_loop_choice
    handle = tap.register_forward_hook(lambda module, inputs, choice: torch.zeros_like(choice))
    with edited({NAME: lambda choice, hook: choice + 2}):
        assert (choices(model) == 2).all()
    handle.remove()
    assert (choices(model) != 0).any()


def test_layers_compile_whole_and_give_the_same(model):
    hidden = torch.randn(1, 7, 32)
    ffn = model.model.layers[0].mlp
    compiled = torch.compile(ffn, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(hidden), ffn(hidden), rtol=0, atol=0)


@pytest.mark.parametrize(("loops", "share"), [(1, 0.75), (2, 0.5), (4, 0), (2.5, 0.375)])
def test_law_of_the_gate_by_hand(loops, share):
    assert width_share(loops, 4) == share
    assert width_share(torch.tensor([float(loops)]), 4).tolist() == [share]


def law_written_in(path: Path) -> bool:
    """Whether a file divides (max_loops - something) by the same max_loops."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            above, below = ast.unparse(node.left), ast.unparse(node.right)
            if above.startswith(f"{below} - ") and below.endswith("max_loops"):
                return True
    return False


def test_the_law_of_the_gate_is_written_once():
    root = Path(__file__).parents[1]
    paths = [path for room in ("sample_models", "hooks", "analysis", "app") for path in (root / room).rglob("*.py")]
    found = [path.relative_to(root).as_posix() for path in paths if law_written_in(path)]
    assert found == ["sample_models/lambda_gate.py"]


@pytest.mark.parametrize("ffn", FFN)
def test_parts_of_a_model_are_what_its_layers_decide(ffn):
    mlp = small_loaded(ffn=ffn).model.model.layers[0].mlp
    parts = {part for part, kind in KINDS.items() if isinstance(mlp, kind)}
    assert VersatileFFNConfig(ffn=ffn).parts == parts
