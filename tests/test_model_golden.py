"""Our model against the released code, tensor by tensor, in eval, decoding and training."""

import pytest
import torch

from tests.golden_weights import CONFIG, TAPS, golden, golden_model, our_names

LAYERS = range(CONFIG["num_hidden_layers"])
EXACT = ("loop_choice", "topk_indices", "moe_weight")
TOLERANCE = 5e-5


@pytest.fixture(scope="module")
def model():
    return golden_model()


def record(model, ids, names=TAPS):
    """Output of the model, and what the taps carried, under the golden names `blocks.{layer}.{name}`."""
    seen, handles = {}, []

    def keep(key):
        return lambda module, inputs, output: seen.__setitem__(key, output.detach())

    for layer, block in enumerate(model.model.layers):
        for name in names:
            handles.append(block.get_submodule(TAPS[name]).register_forward_hook(keep(f"blocks.{layer}.{name}")))
    handles.append(model.model.embed_tokens.register_forward_hook(keep("embeddings")))
    handles.append(model.model.norm.register_forward_hook(keep("ln_f_out")))
    try:
        output = model(ids, labels=ids, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return output, seen


@pytest.fixture(scope="module")
def eval_run(model):
    expected = golden("tiny/eval")
    with torch.no_grad():
        output, seen = record(model, expected["input_ids"])
    return expected, seen | {"logits": output.logits}


@pytest.mark.parametrize("name", TAPS)
@pytest.mark.parametrize("layer", LAYERS)
def test_every_intermediate_of_eval_equals_the_released_code(eval_run, layer, name):
    expected, seen = eval_run
    key = f"blocks.{layer}.{name}"
    tolerance = 0 if name in EXACT else TOLERANCE
    torch.testing.assert_close(seen[key], expected[key], rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["embeddings", "ln_f_out", "logits"])
def test_both_ends_of_eval_equal_the_released_code(eval_run, name):
    expected, seen = eval_run
    torch.testing.assert_close(seen[name], expected[name], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("layer", LAYERS)
def test_width_path_is_zero_exactly_where_the_released_code_did_not_run_it(eval_run, layer):
    expected, seen = eval_run
    ran = expected[f"blocks.{layer}.active_mask"].bool()
    assert torch.equal(seen[f"blocks.{layer}.x_moe"].ne(0).any(dim=-1), ran)


@torch.no_grad()
def test_fast_path_nobody_looks_at_gives_the_released_logits(model):
    expected = golden("tiny/eval")
    logits = model(expected["input_ids"]).logits
    torch.testing.assert_close(logits, expected["logits"], rtol=0, atol=TOLERANCE)


@torch.no_grad()
def test_prefill_and_cache_steps_equal_the_released_code(model):
    ids, expected = golden("tiny/eval")["input_ids"], golden("tiny/decode")
    output = model(ids[:, :-8], use_cache=True)
    torch.testing.assert_close(output.logits, expected["cache.prefill_logits"], rtol=0, atol=TOLERANCE)
    for step, token in enumerate(ids[:, -8:].split(1, dim=1)):
        output = model(token, past_key_values=output.past_key_values, use_cache=True)
        torch.testing.assert_close(output.logits[:, 0], expected["cache.step_logits"][:, step], rtol=0, atol=TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_batch_equals_the_released_code_where_tokens_are_real(model, side):
    ids, expected = golden("tiny/eval")["input_ids"], golden("tiny/decode")
    mask = expected[f"mask.{side}"]
    positions = torch.arange(ids.shape[1])[None].expand_as(ids)  # the released code does not shift them by the padding
    logits = model(ids, attention_mask=mask, position_ids=positions).logits
    real = mask.bool()
    torch.testing.assert_close(logits[real], expected[f"mask.{side}_logits"][real], rtol=0, atol=TOLERANCE)


@torch.no_grad()
def test_greedy_generation_equals_the_released_code(model):
    expected = golden("tiny/decode")
    prompt, continuation = expected["generate.prompt"], expected["generate.token_ids"]
    ids = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=12, do_sample=False, eos_token_id=None
    )
    assert torch.equal(ids[:, prompt.shape[1] :], continuation)
    logprobs = model(ids).logits.log_softmax(dim=-1)[:, prompt.shape[1] - 1 : -1]
    score = logprobs.take_along_dim(continuation[..., None], dim=-1).squeeze(-1).sum(dim=-1)
    torch.testing.assert_close(score, expected["generate.scores"], rtol=0, atol=1e-4)


@pytest.fixture(scope="module", params=[(5.0, ""), (0.7, "_tau0.7")], ids=["tau 5", "tau 0.7"])
def train_run(request):
    tau, suffix = request.param
    expected = golden(f"train/train{suffix}")
    model = golden_model().train()
    model.set_tau(tau)
    torch.manual_seed(1234)  # right before the forward pass: the manifest's recipe for the same Gumbel noise
    names = [name for name in TAPS if f"blocks.0.{name}" in expected or name == "loop_choice"]
    output, seen = record(model, expected["input_ids"], names)
    output.loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    seen |= {"logits": output.logits.detach(), "loss": output.loss.detach()[None]}
    return expected, seen, gradients, our_names(golden(f"train/grads{suffix}"))


def test_loss_of_training_equals_the_released_code(train_run):
    expected, seen, *_ = train_run
    torch.testing.assert_close(seen["loss"], expected["loss"], rtol=0, atol=1e-5)


def test_every_intermediate_of_training_equals_the_released_code(train_run):
    expected, seen, *_ = train_run
    compared = sorted(seen.keys() & expected.keys())
    assert len(compared) == 9 * len(LAYERS) + 3  # nothing dropped out by a misspelt name
    for key in compared:
        tolerance = 0 if key.endswith(("topk_indices", "moe_weight")) else TOLERANCE
        torch.testing.assert_close(
            seen[key], expected[key], rtol=0, atol=tolerance, msg=lambda m, key=key: f"{key}: {m}"
        )


@pytest.mark.parametrize("layer", LAYERS)
def test_training_samples_the_released_one_hot_loops(train_run, layer):
    expected, seen, *_ = train_run
    one_hot = torch.nn.functional.one_hot(seen[f"blocks.{layer}.loop_choice"], 4).float()
    torch.testing.assert_close(one_hot, expected[f"blocks.{layer}.depth_probs"], rtol=0, atol=1e-6)


def test_every_gradient_equals_the_released_code(train_run):
    *_, gradients, expected = train_run
    assert gradients.keys() == expected.keys()
    gaps = {name: ((gradients[name] - expected[name]).norm() / expected[name].norm()).item() for name in expected}
    assert max(gaps.values()) < 1e-4, max(gaps.items(), key=lambda item: item[1])
