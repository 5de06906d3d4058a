"""`capture` with whatever model object somebody has, in whatever mode, and with weights that were changed."""

import peft
import pytest
import torch

from analysis.export.captions import source
from hooks import as_loaded, capture, capture_paths, to_bridge
from hooks.eval_mode import in_eval_mode
from sample_models import load_model
from tests.models import small_loaded
from tests.threads import run_in_thread

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # which PEFT asks for
TEXT = "The fox went softly, 7 + 5 = 12."


@pytest.fixture
def small():
    return small_loaded()


def lora(model, **settings):
    config = peft.LoraConfig(
        r=2, target_modules=["up_gate_proj", "down_proj", "router"], init_lora_weights=False, **settings
    )
    return peft.get_peft_model(model, config)


def same(one, other):
    return all(
        (getattr(one, name) == getattr(other, name)).all() for name in ("loops", "depth_logits", "expert_logits")
    )


def test_model_object_with_its_tokenizer_gives_the_trace_of_the_loaded_model(small):
    expected, trace = capture(small, TEXT), capture(small.model, TEXT, tokenizer=small.tokenizer)
    assert same(trace, expected) and trace.meta == expected.meta | {"model": "VersatileFFNForCausalLM"}
    [listed] = capture(small.model, [TEXT], tokenizer=small.tokenizer)
    assert listed.tokens == trace.tokens


def test_model_object_is_named_after_its_hub_id_or_folder(saved_model, small):
    loaded = load_model(saved_model)
    model = type(loaded.model).from_pretrained(saved_model)
    assert capture(model, "the king", tokenizer=loaded.tokenizer).meta["model"] == saved_model.name
    small.config._name_or_path = "org/name"
    assert as_loaded(small.model, small.tokenizer).name == "org/name"


def test_what_cannot_be_captured_is_refused_in_a_sentence(small):
    with pytest.raises(ValueError, match=r"^a model alone cannot read a text: give its tokenizer too"):
        capture(small.model, TEXT)
    with pytest.raises(ValueError, match=r"^expected a VersatileFFNForCausalLM or .*, got torch.nn.*Linear: load "):
        capture(torch.nn.Linear(1, 1), TEXT, tokenizer=small.tokenizer)
    prompt = peft.get_peft_model(small.model, peft.PromptTuningConfig("CAUSAL_LM", num_virtual_tokens=2))
    with pytest.raises(ValueError, match=r"^the PEFT adapter of this model is a prompt"):
        capture(prompt, TEXT, tokenizer=small.tokenizer)


def test_compiled_model_is_captured_as_the_model_inside(small):
    compiled = torch.compile(small.model, backend="eager")
    assert same(capture(compiled, TEXT, tokenizer=small.tokenizer), capture(small, TEXT))


def test_adapters_are_in_the_numbers_the_name_and_the_digest(small):
    plain = capture(small, TEXT)
    model = lora(small.model).eval()
    adapted = capture(model, TEXT, tokenizer=small.tokenizer)
    with torch.no_grad():
        logits = model(torch.tensor([small.tokenizer(TEXT).input_ids])).logits[0]
    assert (logits.topk(5).indices.numpy() == adapted.next_ids).all() and not same(adapted, plain)
    assert adapted.meta["model"].endswith("with adapter default")
    with model.disable_adapter():
        switched_off = capture(model, TEXT, tokenizer=small.tokenizer)
    assert same(switched_off, plain) and "adapter" not in switched_off.meta["model"]
    assert len({trace.meta["weights_sha256"] for trace in (plain, adapted, switched_off)}) == 3
    with pytest.raises(ValueError, match=r"^the model has PEFT adapters \(default\), which cannot be copied: merge"):
        to_bridge(as_loaded(model, small.tokenizer))
    capture_paths(as_loaded(model, small.tokenizer), adapted)  # which checks that the parts sum to the output


def test_training_mode_is_left_for_the_time_of_the_capture_alone(small):
    expected = capture(small, TEXT)
    small.model.train()
    small.model.lm_head.eval()
    before = [module.training for module in small.model.modules()]
    assert same(capture(small, TEXT), expected)
    assert [module.training for module in small.model.modules()] == before
    with pytest.raises(ValueError, match="^the text is empty"):
        capture(small, "")
    with pytest.raises(ValueError, match="^small is in training mode, where it draws its loops at random"):
        capture_paths(small, expected)


def test_captures_of_several_threads_share_the_eval_mode(small):
    capture(small, TEXT)
    small.model.train()
    with pytest.raises(RuntimeError, match="planned"), in_eval_mode(small.model):
        run_in_thread(lambda: capture(small, TEXT)).result(60)
        assert not any(module.training for module in small.model.modules())
        raise RuntimeError("planned")
    assert all(module.training for module in small.model.modules())


@torch.no_grad()
def test_trace_names_the_weights_that_it_was_made_with(saved_model):
    loaded = load_model(saved_model)
    before = capture(loaded, "the king")
    assert "weights_changed" not in before.meta
    loaded.model.lm_head.weight.mul_(2)
    edited = capture(loaded, "the king")
    loaded.model.lm_head.weight = torch.nn.Parameter(loaded.model.lm_head.weight * 2)
    replaced = capture(loaded, "the king")
    digests = [trace.meta["weights_sha256"] for trace in (before, edited, replaced)]
    assert len(set(digests)) == 3 and edited.meta["weights_changed"] is replaced.meta["weights_changed"] is True
    assert digests[2] == as_loaded(loaded.model, loaded.tokenizer).weights_sha256  # the tensors as they are
    assert as_loaded(loaded, loaded.tokenizer).weights_changed
    assert source(edited).endswith(
        f"weights {digests[1][:12]} (changed since they were loaded). Gates untrained: routing is noise."
    )
    with pytest.raises(ValueError, match="and cannot be replayed in"):
        capture_paths(loaded, before)
