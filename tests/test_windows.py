"""A text beyond the trained context is read in windows: nothing is cut, and every token is what its window makes it."""

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from analysis.catalogue import spec
from analysis.explain.attention import attention_by_loops, attention_table
from analysis.export.bundle import bundle
from analysis.export.captions import numbers, reading
from analysis.export.files import Export
from analysis.export.snippet import snippet
from analysis.figures import attention_map_figure
from analysis.models.faithfulness import findings, is_faithful
from analysis.view import View
from hooks import (
    capture,
    capture_attention,
    capture_paths,
    logit_direction,
    loop_slices,
    measure_faithfulness,
    measure_health,
    recursion_lens,
    remove_writes,
    time_ffn,
)
from hooks.trace import RoutingTrace
from hooks.windows import Window, reading_windows
from tests.models import small_loaded

CONTEXT, OVERLAP = 32, 16
TEXT = "The fox went softly through the snow, 7 + 5 = 12. The king rode to the river at noon."
TOKEN = 60
"""Its window is tokens 32 to 63, of which it gives those from 48 on."""
WINDOW = TEXT[32:64]
BY_TOKEN = ("depth_logits", "expert_logits", "expert_weights", "logprob", "next_logprobs", "next_entropy")
FIELDS = (*BY_TOKEN, "loops", "gate", "width_ran", "expert_ids", "next_ids", "token_ids")


@pytest.fixture(scope="module")
def loaded():
    return small_loaded(max_position_embeddings=CONTEXT)


@pytest.fixture(scope="module")
def trace(loaded):
    return capture(loaded, TEXT)


@pytest.fixture(scope="module")
def alone(loaded):
    """The window of TOKEN as a text of its own."""
    return capture(loaded, WINDOW)


def part(trace: RoutingTrace, name: str, tokens: slice) -> np.ndarray:
    values = getattr(trace, name)
    return values[tokens] if values.shape[0] == trace.num_tokens else values[:, tokens]


def assert_same(first, tokens: slice, second, others: slice, names=FIELDS):
    for name in names:
        np.testing.assert_allclose(part(first, name, tokens), part(second, name, others), atol=2e-5, err_msg=name)


def test_windows_equal_what_is_found_by_hand():
    assert reading_windows(8, 8, 4) == [Window(0, 0, 8)]
    assert reading_windows(3, 8, 4) == [Window(0, 0, 3)]
    assert reading_windows(9, 8, 4) == [Window(0, 0, 8), Window(4, 8, 9)]
    assert reading_windows(14, 8, 2) == [Window(0, 0, 8), Window(6, 8, 14)]
    assert reading_windows(17, 8, 0) == [Window(0, 0, 8), Window(8, 8, 16), Window(16, 16, 17)]


@pytest.mark.parametrize("tokens", [1, 31, 32, 33, 48, 49, 200])
@pytest.mark.parametrize("overlap", [0, 1, 16, 31])
def test_every_token_is_given_once_by_the_first_window_that_holds_it(tokens, overlap):
    windows = reading_windows(tokens, CONTEXT, overlap)
    assert [token for window in windows for token in range(window.own, window.end)] == list(range(tokens))
    for before, window in zip(windows, windows[1:], strict=False):
        assert window.own == before.end == window.first + overlap and window.end - window.first <= CONTEXT


@pytest.mark.parametrize("overlap", [-1, CONTEXT])
def test_an_overlap_that_is_no_part_of_the_context_is_refused(loaded, overlap):
    with pytest.raises(ValueError, match=r"overlap must be 0\.\.31 tokens for windows of 32, got"):
        capture(loaded, TEXT, overlap=overlap)


def test_a_text_within_the_context_is_read_in_one_pass_and_states_no_windows(loaded):
    trace = capture(loaded, TEXT[:CONTEXT])
    assert "windows" not in trace.meta and trace.windows == [Window(0, 0, CONTEXT)] and reading(trace) is None


def test_trace_states_context_overlap_and_number(trace):
    assert trace.num_tokens == len(TEXT) == 85  # nothing is cut
    assert trace.meta["windows"] == {"context": CONTEXT, "overlap": OVERLAP, "number": 5}
    assert trace.windows == reading_windows(85, CONTEXT, OVERLAP)
    assert trace.window_of(31).first == 0 and trace.window_of(32).first == 16 and trace.window_of(TOKEN).first == 32
    assert reading(trace) == "read in 5 windows of 32 tokens, each overlapping the former by 16"


def test_tokens_whose_window_holds_all_before_them_equal_those_of_one_pass(trace):
    one_pass = capture(small_loaded(), TEXT)
    assert len(one_pass.windows) == 1
    assert_same(trace, slice(0, CONTEXT), one_pass, slice(0, CONTEXT))
    assert np.abs(trace.depth_logits - one_pass.depth_logits)[:, CONTEXT:].max() > 1e-3  # later ones saw less


def test_every_later_token_equals_a_capture_of_its_own_window(loaded, trace):
    for window in trace.windows[1:]:
        alone = capture(loaded, TEXT[window.first : window.end])
        own = slice(window.own - window.first, None)
        whole = slice(window.own, window.end)
        assert_same(trace, whole, alone, own, [name for name in FIELDS if name != "logprob"])
        # Its first token was foretold at the end of the window before, the others here.
        np.testing.assert_allclose(trace.logprob[whole][1:], alone.logprob[own][1:], atol=1e-5)


def test_the_first_token_of_a_window_is_judged_by_the_token_before_it(trace):
    """By the same distribution as stands in the trace: that of the former window, with its whole context."""
    assert np.isfinite(trace.logprob[1:]).all()
    before = capture(small_loaded(), TEXT[32 : 64 + 1])
    assert trace.logprob[64] == pytest.approx(before.logprob[32], abs=1e-5)
    for token in range(1, trace.num_tokens):
        if trace.token_ids[token] in trace.next_ids[token - 1]:
            place = trace.next_ids[token - 1].tolist().index(trace.token_ids[token])
            assert trace.logprob[token] == pytest.approx(trace.next_logprobs[token - 1, place], abs=1e-5)


def test_overlap_is_the_callers(loaded):
    trace = capture(loaded, TEXT, overlap=0)
    assert trace.meta["windows"] == {"context": CONTEXT, "overlap": 0, "number": 3}
    assert_same(trace, slice(64, 85), capture(loaded, TEXT[64:]), slice(0, 21), ["depth_logits", "loops", "next_ids"])


def test_a_long_text_of_a_list_is_the_same_as_alone(loaded, trace, monkeypatch):
    monkeypatch.setattr("hooks.capturing.MAX_BATCH_TOKENS", 3 * CONTEXT)
    texts = ["a", TEXT, "The fox.", TEXT[:40]]
    together = capture(loaded, texts)
    assert [each.meta["text"] for each in together] == texts
    assert together[1].meta == trace.meta
    assert_same(together[1], slice(None), trace, slice(None))
    assert_same(together[3], slice(None), capture(loaded, texts[3]), slice(None))


def longest_pass(loaded, work) -> int:
    """Most tokens, padding and all rows together, that one pass of the model reads."""
    sizes = []
    handle = loaded.model.model.embed_tokens.register_forward_pre_hook(lambda _, args: sizes.append(args[0].numel()))
    work()
    handle.remove()
    return max(sizes)


@pytest.mark.parametrize(
    "work",
    [
        capture,
        capture_paths,
        lambda loaded, text: capture_attention(loaded, text, token=TOKEN),
        lambda loaded, text: recursion_lens(loaded, capture_paths(loaded, text, tokens=(TOKEN, TOKEN + 1)), TOKEN, 7),
        lambda loaded, text: time_ffn(loaded, text, most_rounds=1),
    ],
)
def test_no_pass_reads_more_than_the_context(loaded, work):
    assert longest_pass(loaded, lambda: work(loaded, TEXT)) == CONTEXT


def test_trace_file_keeps_the_windows_and_is_refused_when_they_cannot_be(trace, tmp_path):
    trace.save(tmp_path / "a.trace.safetensors")
    assert RoutingTrace.load(tmp_path / "a.trace.safetensors").windows == trace.windows
    stated = trace.meta["windows"]
    wrong = [stated | {"number": 4}, stated | {"overlap": 32}, stated | {"overlap": -1}, {"context": 32}, 3, None]
    wrong += [stated | {"context": "32"}, {"context": 85, "overlap": 0, "number": 1}]
    for windows in wrong:
        data = replace(trace, meta=trace.meta | {"windows": windows}).to_bytes()
        with pytest.raises(ValueError, match="windows must be the context, overlap and number"):
            RoutingTrace.from_bytes(data)


def test_captions_and_manifest_say_how_the_text_was_read(trace):
    said = "85 tokens, 2 layers, read in 5 windows of 32 tokens, each overlapping the former by 16. Selected"
    assert numbers(spec("loop_map"), trace, View(token=TOKEN)).startswith(said)
    files = zipfile.ZipFile(
        io.BytesIO(bundle(Export(trace, figures=(spec("loop_map"),)), prompt="a name", picture_formats=()))
    )
    manifest = json.loads(files.read("manifest.json"))
    assert manifest["windows"] == trace.meta["windows"]


def test_code_of_an_attention_figure_names_the_token_of_a_later_window(loaded):
    def code(token):
        return snippet(spec("attention_map"), capture_attention(loaded, TEXT, token=token).at(token), View(token=token))

    assert "drawn = capture_attention(loaded, text).at(20)" in code(20)
    assert f"drawn = capture_attention(loaded, text, token={TOKEN}).at({TOKEN})" in code(TOKEN)


# What is captured beside the trace -----------------------------------------------------------------------------------


def test_paths_of_tokens_of_two_windows_are_those_of_each(loaded, trace):
    paths = capture_paths(loaded, TEXT, tokens=(40, 70))
    assert_same(paths.routing, slice(None), trace, slice(None))
    for window, first, end in (
        (Window(16, 32, 48), 40, 48),
        (Window(32, 48, 64), 48, 64),
        (Window(48, 64, 80), 64, 70),
    ):
        alone = capture_paths(loaded, TEXT[window.first : window.end])
        here, there = slice(first - 40, end - 40), slice(first - window.first, end - window.first)
        for name in ("states", "expert_out", "resid_pre", "resid_post"):
            np.testing.assert_allclose(getattr(paths, name)[:, here], getattr(alone, name)[:, there], atol=1e-4)
        for name in ("embedding", "resid_final", "norm_scale"):
            np.testing.assert_allclose(getattr(paths, name)[here], getattr(alone, name)[there], atol=1e-4)
    assert loop_slices(loaded, paths).share.shape[:2] == (2, 30)


def test_lens_and_removals_run_the_token_on_its_own_window(loaded):
    paths = capture_paths(loaded, TEXT, tokens=(TOKEN, TOKEN + 1))
    alone = capture_paths(loaded, WINDOW, tokens=(TOKEN - 32, TOKEN - 31))
    lens, own = recursion_lens(loaded, paths, TOKEN, 101), recursion_lens(loaded, alone, TOKEN - 32, 101)
    assert lens.rounding < 1e-4
    np.testing.assert_allclose(lens.probability, own.probability, atol=1e-5)
    writes = [(0, "attention", paths.resid_post[0, 0]), (1, "loop", paths.resid_post[1, 0] / 3)]
    fell = remove_writes(loaded, logit_direction(loaded, paths, TOKEN, 101), paths.routing, writes)
    expected = remove_writes(loaded, logit_direction(loaded, alone, TOKEN - 32, 101), alone.routing, writes)
    np.testing.assert_allclose(fell, expected, atol=1e-4)


def test_attention_reads_the_tokens_own_window_and_no_other(loaded, trace):
    attention = capture_attention(loaded, TEXT, token=TOKEN).at(TOKEN)
    alone = capture_attention(loaded, WINDOW).at(TOKEN - 32)
    assert (attention.first_read, attention.reads) == (32, slice(32, TOKEN + 1))
    np.testing.assert_allclose(attention.pattern, alone.pattern, atol=1e-6)
    np.testing.assert_allclose(attention.gap, alone.gap, atol=1e-6)
    assert_same(attention.routing, slice(None), trace, slice(None))
    table, own = attention_table(attention), attention_table(alone)
    assert table["read_text"].tolist() == own["read_text"].tolist()
    assert (table["read_token"] - 32).tolist() == own["read_token"].tolist()
    assert table["read_loops"].tolist() == own["read_loops"].tolist()  # as this window routed them, not the one before
    assert (attention.as_read.loops != trace.loops).any()
    assert_same(
        attention.as_read, slice(32, 64), alone.routing, slice(None), ["loops", "gate", "width_ran", "expert_ids"]
    )
    assert_same(attention.as_read, slice(0, 32), trace, slice(0, 32))
    by_loops = attention_by_loops(attention)
    np.testing.assert_allclose(by_loops["attention_share"], attention_by_loops(alone)["attention_share"], atol=1e-6)


def test_attention_map_begins_at_the_first_token_that_its_token_could_read(loaded):
    attention = capture_attention(loaded, TEXT, token=TOKEN).at(TOKEN)
    figure = attention_map_figure(attention, View(layer=1, token=TOKEN, window=(20, 80)))
    assert figure.data[1].x.tolist() == list(range(32, TOKEN + 1))
    np.testing.assert_allclose(figure.data[1].z, attention.pattern[1], atol=1e-7)
    assert "whose window begins at token 32" in figure.layout.annotations[0].text


def test_attention_of_another_window_is_refused(loaded):
    inputs = capture_attention(loaded, TEXT, token=TOKEN)
    with pytest.raises(
        ValueError, match=r"48\.\.63, got 40, of another window .* capture_attention\(\.\.\., token=40\)"
    ):
        inputs.at(40)
    with pytest.raises(ValueError, match=r"token must be 0\.\.84, got 85"):
        capture_attention(loaded, TEXT, token=85)


def test_a_long_text_is_as_faithful_as_a_short_one(loaded, trace):
    measured = measure_faithfulness(loaded, TEXT)
    assert is_faithful(findings(measured, capture_paths(loaded, TEXT)))
    assert_same(measured.trace, slice(None), trace, slice(None))
    assert 0 < measured.readable.gap < 1e-4


def test_health_of_long_texts_is_measured_window_by_window(loaded, trace):
    text = measure_health(loaded, [TEXT]).texts[0]
    assert_same(text.trace, slice(None), trace, slice(None))
    order, loops = text.orders[0], text.reordered_loops[0]
    assert sorted(order.tolist()) == list(range(85)) and all(
        np.isfinite(run.logprob[:, 1:]).all() for run in text.controls.values()
    )
    reordered = capture(loaded, "".join(TEXT[at] for at in order))
    np.testing.assert_array_equal(loops, reordered.loops)
