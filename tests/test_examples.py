"""The examples: short texts of several kinds, and shipped traces that equal a fresh capture by the shipped model."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.texts.examples import DEFAULT_EXAMPLE, EXAMPLES, LOOK_FOR, TRACES, shipped_trace
from app.texts.prompts import check_text
from hooks import capture
from sample_models import CHECKPOINTS, DEFAULT_MODEL, load_model

ROOT = Path(__file__).parents[1]
SHIPPED = CHECKPOINTS / DEFAULT_MODEL
MAKE = "make them again: python -m docs.make_examples"


@pytest.fixture(scope="module")
def captured():
    """Fresh traces of all examples."""
    traces = capture(load_model(), [prompt.text for prompt in EXAMPLES.values()])
    return dict(zip(EXAMPLES, traces, strict=True))


def test_examples_can_all_be_traced_know_their_own_id_and_say_what_to_look_for():
    assert DEFAULT_EXAMPLE in EXAMPLES and len(EXAMPLES) >= 10
    for key, prompt in EXAMPLES.items():
        assert check_text(prompt.text) and prompt.example == key
        assert 40 < len(LOOK_FOR[key]) <= 120


def test_shipped_traces_are_those_of_the_examples_and_small():
    files = {path.name.partition(".")[0] for path in TRACES.glob("*.trace.safetensors")}
    assert files == set(EXAMPLES), MAKE
    assert sum(path.stat().st_size for path in TRACES.iterdir()) < 3 * 2**20


def top_margin(values: np.ndarray, k: int = 1) -> np.ndarray:
    """By how much the k-th largest exceeds the next one, along the last axis."""
    ordered = np.sort(values, axis=-1)
    return ordered[..., -k] - ordered[..., -k - 1]


@pytest.mark.parametrize("key", EXAMPLES)
def test_shipped_trace_equals_a_fresh_capture(captured, key):
    shipped, fresh = shipped_trace(SHIPPED, EXAMPLES[key].text), captured[key]
    assert shipped is not None, MAKE
    assert shipped.meta["weights_sha256"] == fresh.meta["weights_sha256"], MAKE
    versions = {"versions"}  # of the libraries that made it
    assert {k: v for k, v in shipped.meta.items() if k not in versions} == {
        k: v for k, v in fresh.meta.items() if k not in versions
    }, MAKE
    assert (shipped.tokens, shipped.token_ids.tolist()) == (fresh.tokens, fresh.token_ids.tolist())
    for name in ("depth_logits", "expert_logits", "logprob", "next_logprobs", "next_entropy"):
        np.testing.assert_allclose(getattr(shipped, name), getattr(fresh, name), atol=1e-5, err_msg=MAKE)
    clear = top_margin(fresh.depth_logits) > 1e-5
    np.testing.assert_array_equal(shipped.loops[clear], fresh.loops[clear])
    sure = top_margin(fresh.expert_logits, fresh.expert_ids.shape[-1]) > 1e-5
    np.testing.assert_array_equal(np.sort(shipped.expert_ids[sure]), np.sort(fresh.expert_ids[sure]))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_traces_of_another_model_are_not_used(tmp_path, name):
    folder = tmp_path / DEFAULT_MODEL
    shutil.copytree(SHIPPED, folder)
    assert shipped_trace(folder, EXAMPLES["fox"].text) is not None
    with (folder / name).open("ab") as file:
        file.write(b" ")
    assert shipped_trace(folder, EXAMPLES["fox"].text) is None
    (folder / name).unlink()
    assert shipped_trace(folder, EXAMPLES["fox"].text) is None


def test_text_that_is_no_example_has_no_shipped_trace():
    assert shipped_trace(SHIPPED, EXAMPLES["fox"].text + " ") is None


def test_first_page_is_drawn_without_torch():
    code = f"""
import json, sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({str(ROOT / "app" / "main.py")!r}, default_timeout=120).run()
assert not app.exception, app.exception
heavy = [name for name in ("torch", "transformers", "transformer_lens") if name in sys.modules]
print(json.dumps([heavy, len(app.get("plotly_chart")), [caption.value for caption in app.sidebar.caption]]))
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy, charts, facts = json.loads(run.stdout.splitlines()[-1])
    assert heavy == [] and charts >= 2
    assert any("6 layers, 8 experts, up to 4 loops" in each and "The gates are trained." in each for each in facts)
