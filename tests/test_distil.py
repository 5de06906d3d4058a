"""Distillation: the pair begins as the dense model, the quick path equals the model, and a run learns and goes on."""

import csv
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, LlamaForCausalLM

from sample_models import load_model
from sample_models.distil.__main__ import main
from sample_models.distil.dense_control import main as train_control
from sample_models.distil.dense_control import read_control
from sample_models.distil.evaluation import take_over_control
from sample_models.distil.finished import RUNS, read_past, read_run
from sample_models.distil.low_rank import make_trainable, merged_tensors, trained_tensors
from sample_models.distil.own_loops import output_of_each_loop_count, own_loops, own_loops_output
from sample_models.distil.publish import main as publish
from sample_models.distil.run import UPDATE, distilled, draw_windows
from sample_models.distil.teacher import dense_folder, read_pair
from sample_models.intermediate_checkpoints import intermediate_checkpoints
from tests.dense_models import write_dense, write_gguf
from tests.models import byte_tokenizer, small_loaded

SENTENCES = ["The cat sat on the mat.", "A dog ran to the red barn.", "One and two make three.", "The moon rose late."]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "stories.txt"
    documents = ["\n".join(SENTENCES[(i + j) % 4] for j in range(6)) for i in range(40)]
    path.write_text("\n<|endoftext|>\n".join(documents) + "\n")
    return path


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """A random Llama with a byte-level tokenizer, as transformers saves it."""
    return write_dense(tmp_path_factory.mktemp("dense"))


def arguments(dense, text, out, *options):
    """Options of a run that takes a second."""
    fixed = "--no-compile --no-bf16 --device cpu --context 32 --batch 2 --rank 4 --layer-steps 6 --steps 6"
    logs = "--log-every 3 --valid-every 6 --valid-windows 2 --loop-shares 0.25 0.25 0.25 0.25"
    return [
        "--dense",
        str(dense),
        "--data",
        str(text),
        "--valid",
        str(text),
        "--out",
        str(out),
        *f"{fixed} {logs}".split(),
        *options,
    ]


def log_of(out):
    with (out / "log.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def ids_of(model, rows=2, tokens=24):
    return torch.randint(0, model.config.vocab_size, (rows, tokens), generator=torch.Generator().manual_seed(1))


def test_teacher_is_the_dense_model_and_student_has_its_weights(dense):
    student, teacher = read_pair(dense)
    reference = LlamaForCausalLM.from_pretrained(dense, dtype=torch.float32)
    ids = ids_of(teacher)
    torch.testing.assert_close(teacher(ids).logits, reference(ids).logits, atol=1e-5, rtol=0)
    for ours, theirs in zip(student.model.layers, teacher.model.layers, strict=True):
        assert torch.equal(ours.mlp.up_gate_proj.weight, theirs.mlp.up_gate_proj.weight)
        assert torch.equal(ours.self_attn.q_proj.weight, theirs.self_attn.q_proj.weight)


def test_own_loops_give_the_models_output_and_its_gradients():
    """Against the model's own path in eval mode, which computes all states: output to 1e-5, gradients to 1e-4."""
    ffn = small_loaded().model.model.layers[0].mlp
    hidden = torch.randn(2, 40, 32, generator=torch.Generator().manual_seed(0))
    assert len(ffn.choose_loops(hidden)[0].unique()) == 4
    gradients = []
    for output in (ffn.output, lambda h: own_loops_output(ffn, h)):
        start = hidden.clone().requires_grad_()
        ffn.zero_grad()
        y = output(start)
        (y * torch.linspace(-1, 1, 32)).sum().backward()
        gradients.append(
            [y.detach(), start.grad, *(p.grad.clone() for n, p in ffn.named_parameters() if "depth" not in n)]
        )
    for ours, reference in zip(gradients[1], gradients[0], strict=True):
        torch.testing.assert_close(ours, reference, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(gradients[1][0], gradients[0][0], atol=1e-5, rtol=0)
    chosen = ffn.choose_loops(hidden)[0][..., None, None].expand(-1, -1, 1, 32)
    of_each = output_of_each_loop_count(ffn, hidden).gather(-2, chosen).squeeze(-2)
    torch.testing.assert_close(of_each, gradients[0][0], atol=1e-5, rtol=0)


def test_own_loops_end_with_their_block_also_after_an_error():
    model = small_loaded().model.train()
    with pytest.raises(RuntimeError, match="planted"), own_loops(model):
        assert not model.training
        raise RuntimeError("planted")
    assert model.training
    assert all("output" not in vars(layer.mlp) for layer in model.model.layers)


@pytest.mark.parametrize("attention_rank", [0, 3])
def test_only_the_update_the_norms_and_the_gates_are_trained(dense, attention_rank):
    student, _ = read_pair(dense)
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    ids = ids_of(student)
    logits = student.eval()(ids).logits
    make_trainable(student, 4, attention_rank)
    assert torch.equal(student(ids).logits, logits)  # an update begins at zero
    trained = trained_tensors(student)
    of_attention = {name.split(".")[-2] for name in trained if ".self_attn." in name}
    assert of_attention == ({"q_proj", "k_proj", "v_proj", "o_proj"} if attention_rank else set())
    kinds = {name.split(".")[-2] if "lora" not in name else "lora" for name in trained if ".self_attn." not in name}
    assert kinds == {"lora", "norm", "input_layernorm", "router", "depth_head", "up_gate_proj", "down_proj"}
    for name, tensor in trained.items():
        if name.endswith(("lora_B", "gain")):
            tensor.normal_()
    merged = merged_tensors(before, trained)
    updated = {name: merged[name] for name in before}
    logits = student(ids).logits
    student, _ = read_pair(dense)
    student.load_state_dict(updated)
    torch.testing.assert_close(student.eval()(ids).logits, logits, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def finished(dense, text, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    main(arguments(dense, text, out, "--layer-steps", "40", "--steps", "80", "--learning-rate", "1e-2"))
    return out


def test_run_learns_in_both_stages(finished):
    rows = log_of(finished)
    stage_1, stage_2 = [row for row in rows if row["step"] <= 40], [row for row in rows if row["step"] > 40]
    assert stage_1[-1]["error"] < 0.8 * stage_1[0]["error"]
    assert stage_2[-1]["kl"] < 0.8 * stage_2[0]["kl"]
    assert np.isnan(stage_1[0]["kl"]) and stage_2[-1]["held_out_stories"] > 0


def test_finished_run_is_a_model_folder_that_its_update_makes_again(finished, dense):
    loaded = load_model(finished)
    assert loaded.gates_trained and loaded.config.ffn == "versatile"
    again, own = distilled(dense, load_file(finished / UPDATE)).tensors, loaded.model.state_dict()
    assert again.keys() == own.keys() - {"lm_head.weight"}
    assert all(torch.equal(tensor.float(), own[name]) for name, tensor in again.items())


def test_published_run_holds_its_update_its_questions_and_a_card_of_its_own_numbers(finished, dense, text, tmp_path):
    second, out = tmp_path / "second", tmp_path / "made"
    held = ("--gate-every", "0", "--depth-entropy", "0")
    steady = ("--steady-layers", "1", "--steady-shares", "0.2", "0.6", "0.1", "0.1")
    main(arguments(dense, text, second, "--init", str(finished / UPDATE), "--refit-depth", *steady, *held))
    questions = tmp_path / "quiz.jsonl"
    row = {"question": "Which is an animal?", "choices": ["stone", "dog"], "answer": 1, "split": "test"}
    questions.write_text("\n".join([json.dumps(row)] * 3))
    command = f"{second} --earlier {finished} --package p==1 --sha256 0 --member m.gguf --licence MIT --out {out}"
    control = tmp_path / "control"
    train_control(f"--runs {finished} {second} --out {control}".split())
    publish(f"{command} --documents 3 --length 24 --questions {questions} --asked 2 --dense-trained {control}".split())
    (update,) = out.glob("update*.safetensors")
    trained, evaluation = load_file(update), json.loads((out / "evaluation.json").read_text())
    assert all(torch.equal(tensor, trained[name]) for name, tensor in load_file(second / UPDATE).items())
    first, refitted = load_file(finished / UPDATE), [name for name in trained if "depth_head" in name]
    assert refitted and not any(torch.equal(trained[name], first[name]) for name in refitted)
    quiz = evaluation["questions"]["quiz"]
    assert quiz["questions"] == 2 and quiz["models"]["own"]["accuracy"] in (0, 1) and len(quiz["mean_loops"]) == 2
    card = (out / "README.md").read_text()
    by_kind, tokens = evaluation["by_kind"]["stories"], evaluation["dense_trained"]["tokens"]
    assert by_kind["dense_trained"]["loss"] < by_kind["dense"]["loss"]  # it has read these sentences
    assert tokens == (120 + 12) * 64 and f"on {tokens:,} of the same tokens" in card
    assert f"| {by_kind['dense_trained']['bits_per_byte']:.3f} |" in card
    points = evaluation["frontier"]
    assert [row["mean_loops"] for row in points] == sorted(row["mean_loops"] for row in points)
    assert points[0]["mean_loops"] < 1.5 < 2.5 < points[-1]["mean_loops"]
    assert all(f"| {row['mean_loops']:.3f} | {row['difference']:.3f} |" in card for row in points)
    assert "no gradient reached the depth heads" in card and "one step in 4 drew loops" in card
    assert f"| quiz | 2 | this model | {quiz['models']['own']['accuracy']:.3f} (0.000)" in card
    assert "--refit-depth --steady-layers 1 --steady-shares 0.2 0.6 0.1 0.1" in card
    assert "In the one layer where other loops" in card
    assert "entropy term" not in card and f"{evaluation['mean_loops']:.2f}" in card
    assert str(tmp_path) not in (out / RUNS).read_text()
    for past, run in zip(read_past(out), [read_run(finished), read_run(second)], strict=True):
        assert past.steps == run.steps and past.options.loop_shares == run.options.loop_shares
        assert [path.name for path in run.options.data] == [str(path) for path in past.options.data]
        assert np.allclose(past.curves, run.curves, equal_nan=True)
    later = json.loads(json.dumps(evaluation))
    for models in (later["by_kind"]["stories"], later["questions"]["quiz"]["models"]):
        del models["dense_trained"]
    take_over_control(later, evaluation)
    assert later == evaluation and list(later["by_kind"]["stories"])[:2] == ["dense", "dense_trained"]
    later["by_kind"]["stories"]["dense"]["loss"] += 0.1
    with pytest.raises(ValueError, match="was not measured on these"):
        take_over_control(later, evaluation)


def test_dense_control_reads_the_windows_of_its_runs_and_goes_on_after_a_stop(finished, tmp_path, dense):
    train_control(f"--runs {finished} --out {tmp_path / 'whole'}".split())
    for _ in range(2):
        train_control(f"--runs {finished} --out {tmp_path / 'parts'} --stop-after 70".split())
    whole, parts = (load_file(tmp_path / name / UPDATE) for name in ("whole", "parts"))
    assert whole.keys() == parts.keys() and all(torch.equal(whole[name], parts[name]) for name in whole)
    assert not any("router" in name or "depth_head" in name for name in whole)
    with pytest.raises(ValueError, match="not finished"):
        read_control(tmp_path, dense)


def test_stopped_run_goes_on_as_if_it_had_not_stopped(dense, text, tmp_path):
    kept = ("--keep-checkpoints", "3")
    main(arguments(dense, text, tmp_path / "whole", *kept))
    for _ in range(3):
        main(arguments(dense, text, tmp_path / "parts", *kept, "--stop-after", "5"))
    whole, parts = (load_file(tmp_path / name / UPDATE) for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    steps = [row["step"] for row in log_of(tmp_path / "parts")]
    assert steps == sorted(set(steps)) and steps[-1] == 12
    checkpoints = intermediate_checkpoints(tmp_path / "parts")
    assert [each.step for each in checkpoints] == [0, 3, 12]
    last, model = load_file(checkpoints[-1].path), load_file(tmp_path / "parts" / "model.safetensors")
    assert last.keys() == model.keys() and all(torch.equal(last[name], model[name]) for name in last)


def test_run_of_other_options_is_refused(dense, text, tmp_path):
    main(arguments(dense, text, tmp_path / "run", "--stop-after", "1"))
    with pytest.raises(SystemExit, match="--rank 4 and cannot go on with --rank 8"):
        main(arguments(dense, text, tmp_path / "run", "--rank", "8"))


def test_run_can_begin_with_the_update_of_another(finished, dense, text, tmp_path):
    options = ["--init", str(finished / UPDATE), "--layer-steps", "0", "--steps", "1", "--learning-rate", "0"]
    main(arguments(dense, text, tmp_path / "next", *options))
    before, after = load_file(finished / UPDATE), load_file(tmp_path / "next" / UPDATE)
    matrices = [name for name in before if "lora" in name or "gain" in name]
    assert matrices and all(torch.equal(before[name], after[name]) for name in matrices)
    with pytest.raises(SystemExit, match="give the same dense model, and the same --rank or a higher one"):
        main(arguments(dense, text, tmp_path / "lower", *options, "--rank", "2"))


def test_run_can_train_some_tensors_alone_and_goes_on_so(finished, dense, text, tmp_path):
    options = ["--init", str(finished / UPDATE), "--layer-steps", "0", "--steps", "3", "--train-only"]
    for _ in range(2):
        main(arguments(dense, text, tmp_path / "some", *options, "layers.1.mlp.router", "--stop-after", "2"))
    before, after = load_file(finished / UPDATE), load_file(tmp_path / "some" / UPDATE)
    assert before.keys() == after.keys() and len(log_of(tmp_path / "some")) == 2
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed == ["model.layers.1.mlp.router.weight"]
    with pytest.raises(SystemExit, match="--train-only: no trained tensor has 'lm_head' in its name"):
        main(arguments(dense, text, tmp_path / "none", *options, "lm_head"))


def test_run_that_trains_more_than_the_one_before_begins_as_the_same_model(finished, dense, text, tmp_path):
    options = ["--init", str(finished / UPDATE), "--layer-steps", "0", "--steps", "1", "--learning-rate", "0"]
    main(arguments(dense, text, tmp_path / "higher", *options, "--rank", "8", "--attention-rank", "2"))
    update = load_file(tmp_path / "higher" / UPDATE)
    assert update["model.layers.0.mlp.down_proj.lora_A"].shape[0] == 8
    assert update["model.layers.0.self_attn.q_proj.lora_A"].shape[0] == 2
    before, after = (distilled(dense, load_file(run / UPDATE)).tensors for run in (finished, tmp_path / "higher"))
    heads = ("router.weight", "depth_head.weight")  # their rate is their own
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items() if not name.endswith(heads))


def test_dense_folder_that_is_none_is_refused_in_one_sentence(text, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(SystemExit, match="must hold a model of model_type 'llama'"):
        main(arguments(tmp_path, text, tmp_path / "run"))


def test_gguf_file_is_read_as_the_dense_model_that_it_holds(dense, tmp_path):
    write_gguf(tmp_path / "dense.gguf", dense)
    folder = dense_folder(tmp_path / "dense.gguf", tmp_path / "read")
    again, teacher = read_pair(folder)[1], read_pair(dense)[1]
    ids = ids_of(teacher)
    torch.testing.assert_close(again(ids).logits, teacher(ids).logits, atol=1e-5, rtol=0)
    text = "The fox, 1984.\n"
    assert AutoTokenizer.from_pretrained(folder)(text).input_ids == byte_tokenizer()(text).input_ids
    assert dense_folder(dense, tmp_path / "unused") == dense


def test_damaged_gguf_file_is_refused_in_one_sentence(text, tmp_path):
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\0" * 60)
    with pytest.raises(SystemExit, match="cannot be read as a dense Llama .*: give another GGUF file"):
        main(arguments(tmp_path / "broken.gguf", text, tmp_path / "run"))


def test_texts_are_drawn_by_their_weights():
    texts = [np.full(50, 1), np.full(50, 2)]
    drawn = np.concatenate([draw_windows(texts, [3.0, 1.0], 4, 8, 0, step)[:, 0] for step in range(200)])
    assert np.mean(drawn == 1) == pytest.approx(0.75, abs=0.05)


def test_weights_must_be_as_many_as_files(dense, text, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(arguments(dense, text, tmp_path / "run", "--data-weights", "4", "2.5"))
    assert "--data-weights must be as many as --data, 1, got 2" in capsys.readouterr().err
