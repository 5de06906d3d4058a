"""The training recipe: schedules and losses by hand, and a small run that learns, stops and goes on."""

import csv
import json
import math
import shutil
from dataclasses import fields, replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from sample_models import load_model
from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.run_options import option_words, read_settings, save_settings
from sample_models.train import main, new_model, parse, train
from sample_models.train_losses import AuxiliaryWeights, auxiliary_losses, load_balance_loss
from sample_models.train_options import TrainOptions
from sample_models.train_schedules import checkpoint_steps, learning_rate, tau_schedule
from sample_models.train_state import Log
from tests.training_texts import write_text


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("corpus") / "text.txt")


def arguments(text, out, *options):
    """Command-line options of a tiny model's training."""
    sizes = (
        "--hidden-size 16 --intermediate-size 32 --layers 2 --heads 2 --context 32 --vocab-size 300 --valid-windows 4"
    )
    fixed = "--no-compile --no-bf16 --device cpu --log-every 4 --valid-every 8 --steps 12 --learning-rate 1e-2"
    return ["--data", str(text), "--valid", str(text), "--out", str(out), *sizes.split(), *fixed.split(), *options]


def run(text, out, *options):
    """Train a tiny model of the given options and return its log as rows of numbers."""
    train(parse(arguments(text, out, *options)))
    with (out / "log.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def dense_run(text, tmp_path_factory):
    out = tmp_path_factory.mktemp("dense")
    run(text, out, "--ffn", "dense", "--steps", "2")
    return out


def test_temperature_falls_to_its_floor_at_70_percent_and_stays():
    assert tau_schedule(0.0) == 5.0
    assert tau_schedule(0.35) == pytest.approx(math.sqrt(5.0 * 0.1))
    assert [tau_schedule(progress) for progress in (0.7, 0.85, 1.0)] == pytest.approx([0.1, 0.1, 0.1])
    assert tau_schedule(0.69) > 0.1


def test_learning_rate_warms_up_to_its_peak_and_ends_at_a_tenth():
    assert learning_rate(1.0, 0.0) < 0.03
    assert learning_rate(1.0, 0.05) == pytest.approx(1.0)
    assert learning_rate(1.0, 1.0) == pytest.approx(0.1)


def test_load_balance_is_one_when_experts_are_used_evenly():
    logits = torch.eye(4).repeat(3, 1) * 2 + torch.eye(4).roll(1, dims=1).repeat(3, 1)  # each expert first, then second
    assert load_balance_loss(logits, top_k=2).item() == pytest.approx(1.0)


def test_load_balance_is_experts_over_k_when_all_tokens_choose_the_same():
    logits = torch.tensor([30.0, 30.0, 0, 0, 0, 0, 0, 0]).repeat(5, 1)
    assert load_balance_loss(logits, top_k=2).item() == pytest.approx(8 / 2)


def test_load_balance_passes_no_gradient_through_the_choice():
    logits = torch.zeros(1, 4).index_fill(1, torch.tensor([0]), 1.0).requires_grad_()
    load_balance_loss(logits, top_k=1).backward()
    probs = logits.detach().softmax(dim=-1)[0]
    by_hand = 4 * probs[0] * (torch.eye(4)[0] - probs)  # gradient of 4 * 1 * P_0
    torch.testing.assert_close(logits.grad[0], by_hand)


def test_auxiliary_losses_of_heads_without_preference_have_known_values():
    sizes = dict(vocab_size=8, hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
    ffns = [layer.mlp for layer in VersatileFFNForCausalLM(VersatileFFNConfig(**sizes)).model.layers]
    for ffn in ffns:
        torch.nn.init.zeros_(ffn.router.weight), torch.nn.init.zeros_(ffn.depth_head.weight)
    terms = auxiliary_losses(ffns, [torch.randn(2, 3, 8)] * 2)
    assert terms["load_balance"].item() == pytest.approx(1.0)
    assert terms["router_z"].item() == pytest.approx(math.log(8) ** 2)
    assert terms["depth_entropy"].item() == pytest.approx(math.log(4))


def test_auxiliary_losses_pull_towards_even_experts_and_spread_out_loops():
    weights = AuxiliaryWeights(load_balance=2.0, router_z=3.0, depth_entropy=5.0)
    assert [weights.factor(name) for name in ("load_balance", "router_z", "depth_entropy")] == [2.0, 3.0, -5.0]


def test_dense_then_versatile_training_lowers_the_loss_and_marks_the_gates(text, tmp_path):
    dense = run(text, tmp_path / "dense", "--ffn", "dense", "--steps", "24")
    versatile = run(text, tmp_path / "versatile", "--init", str(tmp_path / "dense"), "--steps", "24")
    assert dense[-1]["held_out"] < dense[0]["loss"] - 1
    assert versatile[-1]["held_out"] < versatile[0]["loss"]
    assert [row["step"] for row in versatile] == [4, 8, 12, 16, 20, 24]
    assert versatile[-1]["tau"] == pytest.approx(0.1)
    assert not load_model(tmp_path / "dense").gates_trained
    assert load_model(tmp_path / "versatile").gates_trained


@pytest.mark.parametrize(
    "ffn, terms",
    [
        ("dense", set()),
        ("k_loop", set()),
        ("moe", {"load_balance", "router_z"}),
        ("width", {"load_balance", "router_z"}),
        ("depth", {"depth_entropy", "tau"}),
        ("average", {"load_balance", "router_z", "depth_entropy", "tau"}),
    ],
)
def test_family_starts_from_a_dense_run_and_logs_the_losses_of_the_heads_it_has(text, dense_run, tmp_path, ffn, terms):
    log = run(text, tmp_path / "run", "--ffn", ffn, "--init", str(dense_run), "--max-loops", "3", "--steps", "4")
    assert log[0].keys() - {"step", "tokens", "loss", "held_out", "lr", "tokens_per_s"} == terms
    assert all(math.isfinite(log[0][name]) for name in terms | {"loss", "held_out"})
    model = VersatileFFNForCausalLM.from_pretrained(tmp_path / "run")
    assert (model.config.ffn, model.config.max_loops, model.config.gates_trained) == (ffn, 3, bool(terms))


def test_run_stopped_and_gone_on_with_ends_at_the_same_weights(text, tmp_path):
    log = run(text, tmp_path / "whole")
    run(text, tmp_path / "parts", "--stop-after", "5")
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    parts = run(text, tmp_path / "parts")
    whole, resumed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == resumed.keys()
    for name, tensor in whole.items():
        assert torch.equal(resumed[name], tensor), name
    steady = ("step", "tokens", "loss", "load_balance", "tau", "lr")
    assert [[row[name] for name in steady] for row in parts] == [[row[name] for name in steady] for row in log]


def test_log_rows_past_the_last_checkpoint_are_dropped_before_they_are_made_again(tmp_path):
    log = Log(tmp_path / "log.csv")
    for step in (10, 20, 30):
        log.write({"step": step, "loss": 1.5})
    log.cut_after(20)
    log.write({"step": 30, "loss": 1.25})
    assert log.path.read_text().split() == ["step,loss", "10,1.5", "20,1.5", "30,1.25"]


def test_finished_run_given_again_keeps_its_weights(text, tmp_path):
    run(text, tmp_path / "run", "--steps", "2")
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    run(text, tmp_path / "run", "--steps", "2")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    "option, value",
    [
        ("steps", "3"),
        ("ffn", "dense"),
        ("layers", "3"),
        ("max-loops", "2"),
        ("learning-rate", "0.5"),
        ("router-z", "0.5"),
        ("keep-checkpoints", "2"),
    ],
)
def test_run_does_not_go_on_with_another_option_that_shapes_it(text, tmp_path, option, value):
    run(text, tmp_path / "run", "--steps", "2")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(ValueError, match=rf"is a run with --{option} .* cannot go on with --{option} {value}: give"):
        run(text, tmp_path / "run", "--steps", "2", f"--{option}", value)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_run_does_not_go_on_with_other_files_but_finds_moved_ones(text, tmp_path):
    run(text, tmp_path / "run", "--steps", "2")
    with pytest.raises(ValueError, match=r"cannot go on with --data \['other.txt'\]: give the same option, or another"):
        run(text, tmp_path / "run", "--steps", "2", "--data", str(shutil.copy(text, tmp_path / "other.txt")))
    (tmp_path / "moved").mkdir()
    moved = shutil.copy(text, tmp_path / "moved")
    run(text, tmp_path / "run", "--steps", "2", "--data", str(moved), "--batch", "4")


def test_run_without_settings_of_an_older_version_goes_on_and_gets_them(text, tmp_path):
    run(text, tmp_path / "run", "--steps", "8", "--stop-after", "4")
    (tmp_path / "run" / "settings.json").unlink()
    assert [row["step"] for row in run(text, tmp_path / "run", "--steps", "8")] == [4, 8]
    assert (tmp_path / "run" / "model.safetensors").exists()
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["steps"] == 8


def test_settings_are_read_as_they_were_given_and_an_older_file_has_the_defaults(text, tmp_path):
    given = parse(arguments(text, tmp_path / "run", "--init", "runs/dense", "--stop-after", "1", "--router-z", "0.5"))
    path = tmp_path / "settings.json"
    save_settings(given, path)
    assert read_settings(TrainOptions, path) == given
    stored = json.loads(path.read_text())
    del stored["router_z"], stored["keep_checkpoints"]
    path.write_text(json.dumps(stored | {"auxiliary": None}))
    assert read_settings(TrainOptions, path) == replace(given, router_z=TrainOptions.router_z)


def test_options_come_back_from_the_words_of_their_command_line(text, tmp_path):
    given = parse(arguments(text, tmp_path / "run", "--ffn", "k_loop", "--keep-checkpoints", "3"))
    assert parse([word for each in fields(given) for word in option_words(given, each)]) == given


def test_a_run_that_cannot_go_on_is_told_in_one_line(text, dense_run):
    with pytest.raises(SystemExit, match="is a run with --ffn dense and cannot go on with --ffn versatile: give"):
        main(arguments(text, dense_run, "--steps", "2"))


def headers(folder):
    """Name -> metadata of the weights kept along a run, in the order of their steps."""
    found = {}
    for path in sorted((folder / "checkpoints").iterdir()):
        with safe_open(path, "pt") as file:
            found[path.name] = file.metadata()
    return found


def test_kept_steps_go_from_the_first_to_the_last_ever_further_apart():
    assert checkpoint_steps(4, 900) == [0, 100, 400, 900]
    assert checkpoint_steps(0, 900) == []
    assert checkpoint_steps(8, 3) == [0, 1, 2, 3]


def test_kept_checkpoints_hold_the_weights_step_tokens_and_tau_from_before_the_first_update_to_the_end(text, tmp_path):
    run(text, tmp_path / "plain", "--steps", "9")
    run(text, tmp_path / "run", "--steps", "9", "--keep-checkpoints", "4")
    kept = headers(tmp_path / "run")
    assert list(kept) == [f"step-{step:06d}.safetensors" for step in (0, 1, 4, 9)]
    assert [header["step"] for header in kept.values()] == ["0", "1", "4", "9"]
    assert [header["tokens"] for header in kept.values()] == ["0", "128", "512", "1152"]
    taus = [float(header["tau"]) for header in kept.values()]
    assert taus == pytest.approx([5.0, tau_schedule(1 / 9), tau_schedule(4 / 9), 0.1], rel=1e-5)
    last, plain = (
        load_file(tmp_path / path) for path in ("run/checkpoints/step-000009.safetensors", "plain/model.safetensors")
    )
    assert last.keys() == plain.keys()
    assert all(torch.equal(last[name], plain[name].bfloat16()) for name in plain)
    fresh = new_model(parse(arguments(text, tmp_path / "run")), last["lm_head.weight"].shape[0]).state_dict()
    first = load_file(tmp_path / "run" / "checkpoints" / "step-000000.safetensors")
    assert all(torch.equal(first[name], fresh[name].bfloat16()) for name in first)


def test_run_stopped_and_gone_on_with_keeps_the_same_checkpoints(text, tmp_path):
    run(text, tmp_path / "whole", "--keep-checkpoints", "4")
    # The first stop is right at a kept step.
    run(text, tmp_path / "parts", "--keep-checkpoints", "4", "--stop-after", "1", "--log-every", "1")
    assert list(headers(tmp_path / "parts")) == ["step-000000.safetensors", "step-000001.safetensors"]
    run(text, tmp_path / "parts", "--keep-checkpoints", "4", "--stop-after", "6")
    run(text, tmp_path / "parts", "--keep-checkpoints", "4")
    whole, parts = headers(tmp_path / "whole"), headers(tmp_path / "parts")
    assert whole == parts
    for name in whole:
        ours, theirs = (load_file(tmp_path / run / "checkpoints" / name) for run in ("parts", "whole"))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs), name


def test_one_kept_checkpoint_is_refused_as_it_shows_no_course(text, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(text, tmp_path / "run", "--keep-checkpoints", "1")
    assert "--keep-checkpoints must be 0 or at least 2, got 1" in capsys.readouterr().err


def test_init_of_other_sizes_is_refused(text, tmp_path):
    run(text, tmp_path / "dense", "--ffn", "dense", "--steps", "1")
    with pytest.raises(ValueError, match="has other shapes"):
        run(text, tmp_path / "deeper", "--init", str(tmp_path / "dense"), "--layers", "3")
