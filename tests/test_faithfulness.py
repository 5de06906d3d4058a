"""What is faithful is found so, and every planted fault is told."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from analysis.explain.ledger import TOLERANCE, imbalance, layer_ledger
from analysis.models.faithfulness import digest_of_texts, findings, is_faithful, provenance, summary
from hooks import HookedVersatileFFN, OtherRun, capture_paths, measure_faithfulness
from hooks.faithfulness import unhooked
from sample_models.modeling_versatile import Tap
from tests.models import small_loaded
from tests.traces import make_trace

TEXT = "The fox went softly through the snow, 7 + 5 = 12."
NAMES = [
    "hooks change nothing",
    "setting its own exits changes nothing",
    "every layer was captured",
    "fast path and readable path agree",
    "alone and in a batch agree",
    "writes sum to the update",
]


@pytest.fixture(scope="module")
def measured(loaded):
    return measure_faithfulness(loaded, TEXT)


@pytest.fixture(scope="module")
def paths(loaded):
    return capture_paths(loaded, TEXT)


def failed(found) -> list[str]:
    return [each.name for each in found if each.verdict == "not faithful"]


def test_the_model_as_it_is_is_faithful(measured, paths):
    found = findings(measured, paths)
    assert [each.name for each in found] == NAMES and is_faithful(found)
    assert summary(found).startswith("Faithful")
    assert measured.unhooked_gap == measured.forced_gap == 0 and measured.captured == [0, 1]
    # The other runs are other computations: were they the same one, they could find nothing.
    assert 0 < measured.readable.gap < 1e-4
    assert found[2].figure == "2 of 2 layers"


@pytest.mark.parametrize("name", ["blocks.1.mlp.hook_out", "blocks.0.mlp.hook_loop_choice"])
def test_a_hook_that_edits_is_told(name):
    loaded = small_loaded()
    point = HookedVersatileFFN(loaded.model).hook_dict[name]
    point.add_hook(lambda tensor, hook: torch.zeros_like(tensor), is_permanent=True)
    found = findings(measure_faithfulness(loaded, TEXT), capture_paths(loaded, TEXT))
    assert NAMES[0] in failed(found) and summary(found).startswith("Not faithful. What failed: hooks change")


def test_a_hook_on_a_module_is_told(paths):
    loaded = small_loaded()
    loaded.model.model.layers[0].self_attn.o_proj.register_forward_hook(lambda module, inputs, output: output * 1.001)
    assert failed(findings(measure_faithfulness(loaded, TEXT), paths)) == [NAMES[0]]


def test_a_layer_without_its_hook_points_is_told(paths):
    loaded = small_loaded()
    measure_faithfulness(loaded, TEXT)
    loaded.model.model.layers[1].mlp.hook_lambda.name = "lost"
    found = findings(measure_faithfulness(loaded, TEXT), paths)
    assert failed(found) == [NAMES[2]] and found[2].figure == "1 of 2 layers; missing: 1"


def test_a_layer_without_paths_is_told(loaded, measured):
    found = findings(measured, capture_paths(loaded, TEXT, layers=[1]))
    assert failed(found) == [NAMES[2]] and found[2].figure == "1 of 2 layers; missing: 0"


def test_another_computation_is_told(measured, paths):
    far = replace(measured, readable=replace(measured.readable, gap=0.01))
    assert failed(findings(far, paths)) == [NAMES[3]]
    assert failed(findings(replace(measured, forced_gap=1e-7), paths)) == [NAMES[1]]


def other_loops(trace) -> OtherRun:
    """A run in which one loop choice of layer 0 fell otherwise."""
    loops = trace.loops.copy()
    loops[0, 3] = loops[0, 3] % trace.max_loops + 1
    return OtherRun(0.5, replace(trace, loops=loops))


@pytest.mark.parametrize(("margin", "verdict"), [(5e-6, "rounding"), (1e-2, "not faithful")])
def test_a_choice_that_falls_otherwise_is_judged_by_its_margin(measured, paths, margin, verdict):
    logits = measured.trace.depth_logits.copy()
    logits[0, 3] = [0, 0, 0, -1]
    logits[0, 3, measured.trace.loops[0, 3] % 4] = 1 - margin
    logits[0, 3, measured.trace.loops[0, 3] - 1] = 1
    trace = replace(measured.trace, depth_logits=logits)
    found = findings(replace(measured, trace=trace, batched=other_loops(trace)), paths)[4]
    assert found.verdict == verdict and f"other loops in 1 of {trace.loops.size} choices" in found.figure


def test_writes_that_do_not_sum_are_told(measured, paths):
    found = findings(measured, replace(paths, resid_post=paths.resid_post * 1.01))
    assert failed(found) == [NAMES[5]]
    found = findings(measured, replace(paths, resid_post=paths.states[:, :, 0]))
    assert failed(found) == [NAMES[5]] and "largest residual inf" in found[5].figure


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_large_stream_is_rounded_coarsely_and_that_is_no_fault(dtype):
    loaded = small_loaded()
    loaded.model.to(dtype)
    loaded.model.model.embed_tokens.weight.data.mul_(1000)
    paths = capture_paths(loaded, TEXT)
    found = findings(measure_faithfulness(loaded, TEXT), paths)
    assert is_faithful(found), summary(found)
    ledger = layer_ledger(paths, 0)
    assert ledger.residual.max() > 5 * TOLERANCE[str(dtype).removeprefix("torch.")], "more than a small stream may have"
    problem = imbalance(paths, ledger.residual, ledger.allowed)
    if dtype == torch.float32:
        assert problem is None
    else:
        assert "makes up" in problem and "Load the model in float32" in problem
    wrong = replace(paths, resid_post=paths.resid_post * np.float32(1.05))
    assert failed(findings(measure_faithfulness(loaded, TEXT), wrong)) == [NAMES[5]]


def test_a_tie_of_large_logits_is_a_tie(measured, paths):
    logits = measured.trace.depth_logits.copy()
    logits[0, 3] = [0, 0, 0, -1]
    logits[0, 3, measured.trace.loops[0, 3] % 4] = 1000 - 1e-3
    logits[0, 3, measured.trace.loops[0, 3] - 1] = 1000
    trace = replace(measured.trace, depth_logits=logits)
    assert findings(replace(measured, trace=trace, batched=other_loops(trace)), paths)[4].verdict == "rounding"


def test_unhooked_model_shares_the_weights_and_holds_no_hook(loaded):
    plain = unhooked(loaded.model)
    assert all(a is b for a, b in zip(plain.parameters(), loaded.model.parameters(), strict=True))
    taps = [module for module in plain.modules() if isinstance(module, Tap)]
    assert len(taps) > 20 and not any(type(module).__name__ == "TracePoint" for module in plain.modules())
    assert any(type(module).__name__ == "TracePoint" for module in loaded.model.modules())


def test_provenance_names_what_is_known():
    known = provenance(make_trace())
    assert known["model"] == "tiny" and known["precision"] == known["versions"] == "unknown"
    assert len(known["text"]) == 64
    assert provenance(replace(make_trace(), meta={}))["text"] == "unknown"


def test_digest_of_texts_tells_their_order_and_where_one_ends():
    digests = {digest_of_texts(texts) for texts in (["a", "b"], ["b", "a"], ["ab"], ["a", "b", ""])}
    assert len(digests) == 4 and digest_of_texts(iter(["a", "b"])) in digests


def page(**address: str) -> AppTest:
    app = AppTest.from_file(str(Path(__file__).parents[1] / "app" / "main.py"), default_timeout=120)
    app.query_params.update(address)
    app.session_state["faithfulness"] = True
    return app.run()


def test_panel_measures_on_demand_and_once_per_text():
    app = page(example="fox")
    assert any("weights" in each.value and "float32" in each.value for each in app.caption)
    next(button for button in app.button if button.label == "Measure").click().run()
    app.run()
    assert not app.exception and any(each.value.startswith("**Faithful:") for each in app.markdown)
    verdicts = app.table[0].value["verdict"]
    assert verdicts["hooks change nothing"] == "✓ exact" and "✗ not faithful" not in verdicts.tolist()
    assert not [button for button in app.button if button.label == "Measure"]


def test_trace_file_tells_where_it_comes_from_and_that_the_model_is_needed(tmp_path, monkeypatch):
    make_trace().save(tmp_path / "a.trace.safetensors")
    monkeypatch.setenv("VERSATILEFFN_TRACE", str(tmp_path / "a.trace.safetensors"))
    app = page()
    said = [each.value for each in app.caption]
    assert not app.exception and any("Measuring how exact the numbers are takes the model" in text for text in said)
    assert any("**Model** tiny" in text for text in said)
    assert not [button for button in app.button if button.label == "Measure"]
