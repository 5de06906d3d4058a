"""The models in transformers, Trainer, PEFT, torch.export and torch.compile, as each of these libraries asks for it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import peft
import pytest
import torch
from transformers import Trainer, TrainingArguments
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from sample_models import load_model
from sample_models.configuration_versatile import AUTO_MAP, CODE
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.taps import record
from tests.models import small_loaded

ROOT = Path(__file__).parents[1]
IDS = torch.arange(2 * 9).view(2, 9) * 7 % 250

KNOWN = """
import sys
import sample_models
assert not {"torch", "transformers"} & sys.modules.keys(), "importing the package must stay light"
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, pipeline
found = [type(each.from_pretrained(sys.argv[1])) for each in (AutoConfig, AutoModel, AutoModelForCausalLM)]
assert [found[0], found[2]] == [sample_models.VersatileFFNConfig, sample_models.VersatileFFNForCausalLM]
[told] = pipeline("text-generation", model=sys.argv[1])("the king", max_new_tokens=3, do_sample=False)
print(*(each.__name__ for each in found), told["generated_text"])
"""
ELSEWHERE = """
import sys
import torch
from transformers import AutoModelForCausalLM
ids, expected = torch.load(sys.argv[2])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], trust_remote_code=True)
assert type(model).__module__.startswith("transformers_modules.") and "sample_models" not in sys.modules
with torch.no_grad():
    assert torch.equal(model(ids).logits, expected)
assert model.generate(ids, max_new_tokens=2, do_sample=False).shape == (1, ids.shape[1] + 2)
model.save_pretrained(sys.argv[1] + "-again")
sys.path.insert(0, sys.argv[3])
import sample_models
known = AutoModelForCausalLM.from_pretrained(sys.argv[1] + "-again", trust_remote_code=True)
assert isinstance(known, sample_models.VersatileFFNForCausalLM)
"""


def run_python(code, folder, *arguments, **environment):
    keep = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTEST_CURRENT_TEST")}
    offline = {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(folder / "modules")}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=keep | offline | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def model():
    return small_loaded().model


def test_auto_classes_and_pipelines_know_the_models_once_the_package_is_imported(saved_model, tmp_path):
    said = run_python(KNOWN, tmp_path, saved_model, PYTHONPATH=str(ROOT))
    assert said.startswith("VersatileFFNConfig VersatileFFNModel VersatileFFNForCausalLM the king")


def test_a_saved_model_runs_where_the_package_is_not_installed(saved_model, tmp_path):
    folder, loaded = shutil.copytree(saved_model, tmp_path / "tiny"), load_model(saved_model)
    ids = torch.tensor([loaded.tokenizer("the king and").input_ids])
    with torch.no_grad():
        torch.save((ids, loaded.model(ids).logits), tmp_path / "expected.pt")
    run_python(ELSEWHERE, tmp_path, folder, tmp_path / "expected.pt", ROOT)
    assert load_model(f"{folder}-again").weights_sha256 == loaded.weights_sha256


def test_saved_code_is_that_of_the_package_and_our_loader_never_runs_it(model, tmp_path):
    model.save_pretrained(tmp_path / "mine")
    assert {path.stem for path in (tmp_path / "mine").glob("*.py")} == set(CODE)
    for name in CODE:
        assert (tmp_path / "mine" / f"{name}.py").read_text() == (ROOT / "sample_models" / f"{name}.py").read_text()
        (tmp_path / "mine" / f"{name}.py").write_text("raise SystemExit('code of a model folder was run')")
    assert json.loads((tmp_path / "mine" / "config.json").read_text())["auto_map"] == AUTO_MAP
    assert not hasattr(model.config, "auto_map") and not hasattr(load_model(tmp_path / "mine").config, "auto_map")


@torch.no_grad()
def test_router_and_depth_logits_are_outputs(model):
    names = [f"blocks.{layer}.mlp.hook_{name}" for name in ("router_logits", "depth_logits") for layer in range(2)]
    with record(names) as seen:
        output = model(IDS, output_router_logits=True, output_depth_logits=True)
    for found, sizes, name in ((output.router_logits, 8, "router_logits"), (output.depth_logits, 4, "depth_logits")):
        assert [each.shape for each in found] == 2 * [(18, sizes)]
        for layer in range(2):
            assert torch.equal(found[layer], seen[f"blocks.{layer}.mlp.hook_{name}"].flatten(0, 1))
    plain = model(IDS)
    assert plain.router_logits is plain.depth_logits is plain.aux_loss is None
    assert torch.equal(plain.logits, output.logits)
    assert len(model.model(IDS, output_depth_logits=True).depth_logits) == 2
    without = small_loaded(ffn="dense").model(IDS, labels=IDS, output_router_logits=True)
    assert without.router_logits is without.aux_loss is None and without.loss > 0


@torch.no_grad()
def test_balance_loss_is_that_of_transformers_and_part_of_the_loss(model):
    mask = torch.ones_like(IDS)
    mask[1, :4] = 0
    alone = model(IDS, attention_mask=mask, labels=IDS).loss
    model.config.output_router_logits, model.config.router_aux_loss_coef = True, 0.5
    output = model(IDS, attention_mask=mask, labels=IDS)
    assert output.aux_loss == load_balancing_loss_func(output.router_logits, 8, 2, mask) > 2
    torch.testing.assert_close(output.loss, alone + 0.5 * output.aux_loss)
    begun = model(IDS[:, :6], attention_mask=mask[:, :6])
    step = model(IDS[:, 6:], attention_mask=mask, past_key_values=begun.past_key_values)  # a mask of all tokens so far
    assert step.aux_loss == load_balancing_loss_func(step.router_logits, 8, 2, mask[:, 6:])


def test_trainer_balances_the_experts_and_saves_what_load_model_reads(tmp_path):
    dice = torch.Generator().manual_seed(0)
    texts = [{"input_ids": row, "labels": row} for row in torch.randint(0, 250, (8, 16), generator=dice)]
    aux = {}
    for factor in (0.0, 5.0):
        loaded = small_loaded(output_router_logits=True, router_aux_loss_coef=factor)
        settings = dict(max_steps=20, per_device_train_batch_size=8, learning_rate=0.01, lr_scheduler_type="constant")
        quiet = dict(report_to="none", disable_tqdm=True, save_strategy="no", logging_strategy="no", use_cpu=True)
        arguments = TrainingArguments(str(tmp_path / "run"), activation_checkpointing=bool(factor), **settings, **quiet)
        trainer = Trainer(loaded.model, arguments, train_dataset=texts)
        trainer.train()
        with torch.no_grad():
            aux[factor] = loaded.model.eval()(torch.stack([text["input_ids"] for text in texts])).aux_loss
    assert aux[5.0] < 2.05 < 2.2 < aux[0.0], aux  # 2 is even
    trainer.save_model(tmp_path / "trained")
    assert load_model(tmp_path / "trained").config.router_aux_loss_coef == 5.0


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_gradients_equal_plain_ones(model, reentrant):
    gradients = []
    for checkpointing in (False, True):
        model.train().zero_grad()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": reentrant})
            if reentrant:
                model.enable_input_require_grads()
        torch.manual_seed(0)  # of the Gumbel noise, which the second run of a layer must draw again
        model(IDS, labels=IDS, use_cache=False).loss.backward()
        gradients.append({name: parameter.grad.clone() for name, parameter in model.named_parameters()})
    assert all(torch.equal(gradients[1][name], gradient) for name, gradient in gradients[0].items())


@torch.no_grad()
def test_model_compiles_whole_and_is_exported(model):
    expected = model(IDS, use_cache=False).logits
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(IDS, use_cache=False).logits, expected, rtol=0, atol=1e-5)
    program = torch.export.export(model, (IDS,), {"use_cache": False})
    other = (IDS + 1) % 250  # other decisions than in the exported run
    found = program.module()(other, use_cache=False).logits
    torch.testing.assert_close(found, model(other, use_cache=False).logits, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # which PEFT asks for
def test_lora_trains_is_saved_and_merged(model, tmp_path):
    config = peft.LoraConfig(r=2, target_modules=["up_gate_proj", "down_proj", "q_proj"], task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(model, config).train()
    optimizer = torch.optim.SGD([each for each in adapted.parameters() if each.requires_grad], lr=1.0)
    for _ in range(2):  # of two matrices, the first begins to learn once the second is not 0
        adapted(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
    assert all(each.grad is not None for name, each in adapted.named_parameters() if "lora" in name)
    adapted.eval().save_pretrained(tmp_path)
    with torch.no_grad():
        expected = adapted(input_ids=IDS).logits
        again = peft.PeftModel.from_pretrained(small_loaded().model, tmp_path).eval()
        assert torch.equal(again(input_ids=IDS).logits, expected)
        merged = again.merge_and_unload()
        torch.testing.assert_close(merged(IDS).logits, expected, rtol=0, atol=1e-4)
    assert isinstance(merged, VersatileFFNForCausalLM) and not torch.equal(expected, small_loaded().model(IDS).logits)
