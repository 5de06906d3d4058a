"""Attention weights are what the model read with, and their shares count what they say."""

import numpy as np
import pytest
import torch

from analysis.explain.attention import attention_by_loops, attention_table, mismatch
from analysis.figures import attention_by_loops_figure, attention_map_figure
from analysis.view import View, window_around
from hooks import attention_bytes, capture, capture_attention, edited, record
from tests.capture_results import make_attention
from tests.models import small_loaded
from tests.traces import make_trace, random_trace

TEXT = "The fox went softly through the snow, 7 + 5 = 12."


@pytest.fixture(scope="module", params=[2, 1], ids=["a key head each", "shared key head"])
def model(request):
    return small_loaded(num_key_value_heads=request.param)


@pytest.fixture(scope="module")
def inputs(model):
    return capture_attention(model, TEXT)


def test_weights_are_causal_and_sum_to_one(inputs):
    for token in (0, 1, 20, len(TEXT) - 1):
        pattern = inputs.at(token).pattern
        assert pattern.shape == (2, 2, token + 1)  # what comes after the token is not even there
        np.testing.assert_allclose(pattern.sum(axis=-1), 1, atol=1e-6)
        assert (pattern >= 0).all()


def test_weights_equal_those_of_the_eager_attention(model, inputs):
    other = small_loaded(num_key_value_heads=model.config.num_key_value_heads).model
    other.set_attn_implementation("eager")
    with torch.no_grad():
        ids = torch.tensor([inputs.routing.token_ids.tolist()])
        eager = other(ids, output_attentions=True, use_cache=False).attentions
    for token in (0, 7, len(TEXT) - 1):
        expected = torch.stack([layer[0, :, token, : token + 1] for layer in eager]).numpy()
        np.testing.assert_allclose(inputs.at(token).pattern, expected, atol=1e-6)


def test_weights_times_values_are_what_attention_wrote(model, inputs):
    names = [f"blocks.{layer}.hook_resid_{at}" for layer in range(2) for at in ("pre", "mid")]
    with torch.no_grad(), record(names) as seen:
        model.model(torch.tensor([inputs.routing.token_ids.tolist()]), use_cache=False)
    for layer, block in enumerate(model.model.model.layers):
        before, after = (seen[f"blocks.{layer}.hook_resid_{at}"][0] for at in ("pre", "mid"))
        values = block.self_attn.v_proj(block.input_layernorm(before)).unflatten(-1, (-1, 16)).detach()
        values = values.repeat_interleave(2 // model.config.num_key_value_heads, dim=1)
        for token in (0, 9, 30):
            pattern = torch.tensor(inputs.at(token).pattern[layer])
            read = torch.einsum("hr,rhc->hc", pattern, values[: token + 1]).flatten()
            write = block.self_attn.o_proj(read).detach()
            torch.testing.assert_close(write, after[token] - before[token], atol=1e-5, rtol=0)
    assert inputs.gap.max() <= 1e-6


def test_capture_routes_as_the_plain_trace(model, inputs):
    trace = capture(model, TEXT)
    np.testing.assert_array_equal(inputs.routing.loops, trace.loops)
    np.testing.assert_array_equal(inputs.routing.depth_logits, trace.depth_logits)


def test_many_rows_at_a_time_give_the_same_gap(model, inputs, monkeypatch):
    monkeypatch.setattr("hooks.attention.ROWS", 7)
    np.testing.assert_allclose(capture_attention(model, TEXT).gap, inputs.gap, atol=1e-6)


def test_a_write_that_the_weights_do_not_rebuild_is_not_drawn(loaded):
    with edited({"blocks.1.hook_resid_mid": lambda stream, hook: stream * 1.01}):
        attention = capture_attention(loaded, TEXT).at(9)
    assert mismatch(attention, 0) is None
    assert "rebuild the stream only within" in mismatch(attention, 1)
    fig = attention_map_figure(attention, View(layer=1, token=9))
    assert not fig.data and fig.layout.annotations[0].text.startswith("Not drawn")


def test_size_is_foretold_and_token_outside_is_refused(inputs, model):
    arrays = inputs.queries.nbytes + inputs.keys.nbytes + inputs.gap.nbytes
    assert arrays <= attention_bytes(2, len(TEXT), 32)
    assert (arrays == attention_bytes(2, len(TEXT), 32)) is (model.config.num_key_value_heads == 2)
    with pytest.raises(ValueError, match=rf"token must be 0\.\.{len(TEXT) - 1}, got {len(TEXT)}"):
        inputs.at(len(TEXT))


def by_hand():
    """Token 3 of four, of which the tokenizer added the first; one layer of two heads."""
    trace = make_trace(loops=[[1, 4, 1, 2]], special=[True, False, False, False])
    pattern = np.array([[[0.5, 0.1, 0.2, 0.2], [0.1, 0.3, 0.2, 0.4]]], np.float32)
    return make_attention(trace, 3, pattern=pattern)


def test_shares_by_loops_equal_what_is_found_by_hand():
    table = attention_by_loops(by_hand())
    assert table["loops"].tolist() == [1, 2, 3, 4]
    # Counted: tokens 1 (4 loops, mean weight .2) and 2 (1 loop, mean weight .2); not BOS, not the token itself.
    np.testing.assert_allclose(table["attention_share"], [0.5, 0, 0, 0.5], atol=1e-7)
    assert table["token_share"].tolist() == [0.5, 0, 0, 0.5]
    assert table["did_not_route"].tolist() == [False, False, False, True]
    np.testing.assert_allclose(table["counted_weight"], 0.4, atol=1e-7)


def test_first_token_has_nothing_to_share():
    attention = make_attention(random_trace(layers=2, tokens=5), 0)
    assert attention_by_loops(attention)["attention_share"].isna().all()
    assert "No token" in attention_by_loops_figure(attention, View(token=0)).layout.annotations[0].text


def test_map_draws_the_weights_of_the_layer_and_strokes_who_did_not_route():
    attention = make_attention(make_trace(loops=[[1, 1, 1], [4, 2, 1]]), 1)
    fig = attention_map_figure(attention, View(layer=1, token=1))
    mean, heads, loops, gate, stroke = fig.data[:5]
    np.testing.assert_allclose(np.array(heads.z), attention.pattern[1])  # token 2 comes later
    np.testing.assert_allclose(np.array(mean.z)[0], attention.pattern[1].mean(axis=0), rtol=1e-6)
    assert np.array(loops.z).tolist() == [[4, 2]]
    assert np.isnan(np.array(gate.z)[0]).tolist() == [True, False]
    assert np.nanmean(stroke.x) == 0


@pytest.mark.parametrize("token", [0, 3, 8, 60, 299])
def test_map_has_no_room_for_tokens_that_come_later(token):
    attention = make_attention(random_trace(layers=2, tokens=300), token)
    fig = attention_map_figure(attention, View(layer=1, token=token, window=window_around(token, 300, 128)))
    assert (
        fig.layout.height == attention_map_figure(make_attention(attention.routing, 20), View(token=20)).layout.height
    )
    first, end = fig.layout.xaxis.range
    drawn = np.array(fig.data[1].x)
    assert drawn[-1] == token and len(drawn) == min(token + 1, 128)
    assert len(drawn) == end - first or len(drawn) < end - first == 6
    shown = sum(np.array(fig.data[0].z)[0])
    assert (shown > 0.995) or "not drawn" in fig.layout.annotations[0].text
    percents = [
        text
        for each in fig.data
        if each.type == "scatter" and each.mode == "text" and each.yaxis != "y2"
        for text in each.text
    ]
    assert bool(percents) is (len(drawn) <= 28)


def test_table_names_what_was_read():
    table = attention_table(by_hand())
    assert len(table) == 2 * 4 and table.groupby("head")["weight"].sum().tolist() == pytest.approx([1, 1])
    assert table["read_special"].tolist() == [True, False, False, False] * 2
    assert table["read_width_ran"].tolist() == [True, False, True, True] * 2
