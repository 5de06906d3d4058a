"""The trace: checked at construction, immutable, and the same after a round trip through its file."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from safetensors.numpy import save_file

from hooks import ForceLoops, RoutingTrace, capture

ARRAYS = [
    field.name for field in dataclasses.fields(RoutingTrace) if field.name not in ("tokens", "next_tokens", "meta")
]


@pytest.fixture(scope="module")
def trace(loaded):
    return capture(loaded, "A fox,\n🙂 and\ta <b>lamp</b>.")


def test_trace_survives_its_file_bit_for_bit(trace, tmp_path):
    trace.save(tmp_path / "a.trace.safetensors")
    read = RoutingTrace.load(tmp_path / "a.trace.safetensors")
    assert (read.tokens, read.next_tokens, read.meta) == (trace.tokens, trace.next_tokens, trace.meta)
    for name in ARRAYS:
        before, after = getattr(trace, name), getattr(read, name)
        assert before.dtype == after.dtype and before.tobytes() == after.tobytes(), name


def test_a_file_whose_writing_was_stopped_is_not_there(trace, tmp_path, monkeypatch):
    write = Path.write_bytes

    def stopped(path, data):
        write(path, data[: len(data) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", stopped)
    with pytest.raises(KeyboardInterrupt):
        trace.save(tmp_path / "a.trace.safetensors")
    assert not list(tmp_path.glob("*.trace.safetensors"))


def test_arrays_that_disagree_on_an_axis_are_refused(trace):
    with pytest.raises(TypeCheckError, match="gate"):
        dataclasses.replace(trace, gate=trace.gate[:, :-1])


def test_token_strings_must_be_as_many_as_token_ids(trace):
    with pytest.raises(ValueError, match="one entry per token"):
        dataclasses.replace(trace, tokens=trace.tokens[:-1])


def test_arrays_cannot_be_written_to(trace):
    with pytest.raises(ValueError, match="read-only"):
        trace.loops[0, 0] = 3


def test_difficulties_run_from_zero_to_one(trace):
    made = dataclasses.replace(
        trace,
        loops=np.where(np.arange(trace.num_tokens) % 2, 4, 1) * np.ones((trace.num_layers, 1), dtype=int),
        depth_logits=np.broadcast_to(np.float32([0, 0, 0, 0]), trace.depth_logits.shape).copy(),
    )
    assert set(made.difficulty_hard.ravel()) == {0.0, 1.0}
    np.testing.assert_allclose(made.expected_loops, 2.5)
    np.testing.assert_allclose(made.difficulty_soft, 0.5)
    np.testing.assert_allclose(made.depth_probs, 0.25)


def test_surprisal_of_the_next_token_is_that_of_the_one_after(trace):
    assert np.isnan(trace.surprisal[0]) and np.isnan(trace.next_surprisal[-1])
    np.testing.assert_array_equal(trace.next_surprisal[:-1], trace.surprisal[1:])


def test_frame_has_a_row_per_layer_and_token_and_no_experts_where_none_ran(trace):
    frame = trace.to_frame()
    assert len(frame) == trace.num_layers * trace.num_tokens
    assert frame.expert_ids.isna().equals(~frame.width_ran)
    row = frame[frame.width_ran].iloc[0]
    assert row.expert_ids == trace.expert_ids[row.layer, row.token].tolist()
    assert row.loops == trace.loops[row.layer, row.token] and row.text == trace.tokens[row.token]


def test_file_that_is_no_trace_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "noise").write_bytes(b"\x00\x01 not a trace")
    with pytest.raises(ValueError, match="not a readable trace file .* trace the text again"):
        RoutingTrace.load(tmp_path / "noise")
    save_file({"a": np.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="has no trace header, this program reads version 1"):
        RoutingTrace.load(tmp_path / "other.safetensors")


def test_truncated_trace_file_is_refused(trace, tmp_path):
    (tmp_path / "cut").write_bytes(trace.to_bytes()[:-100])
    with pytest.raises(ValueError, match="not a readable trace file"):
        RoutingTrace.load(tmp_path / "cut")


def test_trace_of_another_version_is_refused(trace, tmp_path):
    raw = trace.to_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header["__metadata__"]["format_version"] = "99"
    changed = json.dumps(header).encode()
    (tmp_path / "new").write_bytes(len(changed).to_bytes(8, "little") + changed + raw[8 + length :])
    with pytest.raises(ValueError, match="has format version 99, this program reads version 1"):
        RoutingTrace.load(tmp_path / "new")


@pytest.mark.parametrize("lost", ["tokens", "loops"])
def test_trace_file_that_lacks_a_part_is_refused(trace, tmp_path, lost):
    arrays = {name: getattr(trace, name) for name in ARRAYS if name != lost}
    lists = {name: json.dumps(getattr(trace, name)) for name in ("tokens", "next_tokens", "meta") if name != lost}
    save_file(arrays, tmp_path / "part", metadata={**lists, "format_version": "1"})
    with pytest.raises(ValueError, match="is not a valid trace"):
        RoutingTrace.load(tmp_path / "part")


def test_reading_traces_imports_neither_torch_nor_transformers():
    code = (
        "import hooks.trace, sys; print([m for m in ('torch', 'transformers', 'transformer_lens') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_trace_says_what_its_model_decides(trace):
    """All three unless it says otherwise, as no older file does."""
    assert "parts" not in trace.meta and trace.parts == {"width", "depth", "gate"}
    other = dataclasses.replace(trace, meta=trace.meta | {"parts": ["depth", "width"]})
    assert RoutingTrace.from_bytes(other.to_bytes()).parts == {"depth", "width"}


@pytest.mark.parametrize("parts", ["depth", ["depth", "depth"], ["height"], [["depth"]], None, 3])
def test_parts_that_no_model_has_are_refused(trace, parts):
    data = dataclasses.replace(trace, meta=trace.meta | {"parts": parts}).to_bytes()
    with pytest.raises(ValueError, match="parts must be some of depth, gate, width, each once"):
        RoutingTrace.from_bytes(data)


def test_a_trace_shows_itself_in_one_line_and_as_a_strip_in_a_notebook(loaded):
    trace = capture(loaded, "<b>a fox</b> " * 40, interventions=(ForceLoops(4, layers=1),))
    assert repr(trace).startswith("RoutingTrace('<b>a␣fox</b>␣<b>a␣fox") and len(repr(trace)) < 200
    assert repr(trace).endswith("520 tokens, 2 layers, up to 4 loops, 8 experts, model 'small', 1 intervention)")
    shown = trace._repr_html_()
    assert "<b>" not in shown and shown.count("&lt;</span>") + shown.count("&gt;</span>") == 4 * 400 // 13
    assert "and 120 more tokens" in shown and "token 399: " in shown and "token 400: " not in shown
    assert f"loops in the mean over layers (by layer, from 0: {trace.loops[0, 0]}, 4)" in shown
    assert "layers. Model small, weights " in shown and "Gates untrained: routing is noise." in shown
    of_others = dataclasses.replace(trace, meta=trace.meta | {"parts": ["width"], "family": "mixture of experts"})
    assert "loop" not in repr(of_others) and "shaded" not in of_others._repr_html_()
    assert "A mixture of experts with 2 layers, which chooses no loops. Model small" in of_others._repr_html_()
