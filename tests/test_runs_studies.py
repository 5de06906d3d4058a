"""Studies of several texts give the same answer from a run as from its traces."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from analysis.runs.filters import TokenFilter
from analysis.runs.texts import NO_ENTROPY
from analysis.texts import orders, ranks, validity
from analysis.texts.layers_alike import layers_alike
from analysis.texts.sources import routing_sources
from analysis.texts.study import Study, repeats_told, study
from hooks import capture
from tests.planted import EXPERT, LAYER, LETTERS, planted
from tests.runs import make_run, read_traces
from tests.traces import random_trace


def assert_same(run: Study, traces: Study) -> None:
    """Integers equal, floats to 1e-6."""
    for each in (field.name for field in fields(Study)):
        for one, other in _tables(getattr(run, each), getattr(traces, each)):
            pd.testing.assert_frame_equal(one, other, rtol=1e-6, atol=1e-6, check_dtype=False, obj=each)


def _tables(one, other):
    if isinstance(one, dict):
        return [pair for kind in one if isinstance(one[kind], pd.DataFrame) for pair in _tables(one[kind], other[kind])]
    return [(one, other)] if isinstance(one, pd.DataFrame) else []


@pytest.mark.parametrize("texts", [1, 5, 12])
def test_a_study_of_a_run_equals_that_of_its_traces(tmp_path, texts):
    traces = read_traces(texts)
    with make_run(tmp_path, traces) as run:
        found, expected = study(run, draws=29, seed=3), study(traces, draws=29, seed=3)
    assert_same(found, expected)
    assert (found.texts, found.tokens) == (expected.texts, expected.tokens)
    assert (found.num_layers, found.max_loops, found.meta) == (expected.num_layers, expected.max_loops, expected.meta)
    assert found.told == (NO_ENTROPY,) and expected.told == ()
    assert found.read == tuple(text[:200] for text in expected.read)


def test_a_study_of_a_run_says_what_is_missing_and_names_near_duplicates(tmp_path):
    traces = [*read_traces(5), read_traces(1)[0]]
    with make_run(tmp_path, traces) as run:
        found = study(run, draws=9)
    entropy = found.difficulty_validity["soft"].query("measure == 'entropy'")
    assert (entropy["tokens"] == 0).all() and entropy["rho"].isna().all()
    assert "The first pair is “text 0: " in repeats_told(found)


def test_rows_of_a_part_in_any_order_are_put_in_order(tmp_path):
    """An engine that batches by length may write the texts of a part in another order than that of the source."""
    traces = read_traces(6)
    with make_run(tmp_path, traces, per_part=6) as run:
        expected = run.texts().tokens
        (files,) = run.parts()
        table = parquet.read_table(files.tokens)
        shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
        parquet.write_table(shuffled, files.tokens)
        texts = run.texts()
    for field in fields(texts.tokens):
        if field.name != "entropy":
            np.testing.assert_array_equal(getattr(texts.tokens, field.name), getattr(expected, field.name))
    assert (texts.layer(2).loops == np.concatenate([trace.loops[2, ~trace.special] for trace in traces])).all()


def test_texts_are_chosen_by_source_and_a_sample_is_told(tmp_path):
    traces = read_traces(12)
    with make_run(tmp_path, traces) as run:
        of_source = run.texts(TokenFilter(sources=("code.txt",), loops=(2,)))
        assert_same(study(of_source, draws=9), study(traces[1::2], draws=9))
        sample = run.texts(most_tokens=60)
        assert 20 < len(sample.tokens.ids) <= 60 and sample.read == run.texts(most_tokens=60).read
        assert sample.told[0].startswith(f"The numbers come from a random sample of {len(sample.read)} of 12 texts")
        with pytest.raises(ValueError, match="no text to count"):
            run.texts(TokenFilter(sources=("other.txt",)))


def test_layers_of_a_run_are_alike_as_those_of_its_trace(tmp_path):
    trace = random_trace(layers=3, tokens=40)
    with make_run(tmp_path, [trace]) as run:
        pd.testing.assert_frame_equal(layers_alike(run), layers_alike(trace))


def test_small_blocks_of_orders_texts_and_rows_change_no_answer(monkeypatch):
    """As of texts with millions of tokens: one order, one row and a few texts at a time."""
    traces = read_traces(8)
    expected = study(traces, draws=29)
    monkeypatch.setattr(orders, "AT_ONCE", 1)
    monkeypatch.setattr(ranks, "TOKENS_AT_ONCE", 1)
    monkeypatch.setattr(validity, "NUMBERS_AT_ONCE", 1)
    assert_same(study(traces, draws=29), expected)


def test_what_a_planted_expert_takes_is_found_through_a_run_and_not_where_it_is_shuffled(tmp_path):
    """Letters go to the planted expert of its layer; other tokens, and other layers, to what chance gives them."""
    rng = np.random.default_rng(0)
    traces = capture(planted(), [" ".join(rng.choice([*LETTERS, *"12347"], 30)) for _ in range(12)])
    shuffled = []
    for trace in traces:
        order = rng.permutation(trace.num_tokens)
        moved = {name: getattr(trace, name)[:, order] for name in ("expert_ids", "expert_weights", "expert_logits")}
        shuffled.append(replace(trace, **moved))
    with make_run(tmp_path / "planted", traces) as run, make_run(tmp_path / "shuffled", shuffled) as other:
        row, apart = (
            routing_sources(each, draws=99).set_index(["target", "layer", "source"]).loc[("expert", LAYER, "token")]
            for each in (run, other)
        )
        letters = run.ask(f"SELECT DISTINCT text FROM routed WHERE layer = {LAYER} AND rank = 0 AND expert = {EXPERT}")
    assert row["explained"] > 0.5 and row["p_corrected"] <= 0.02
    assert apart["explained"] < 0.2 and apart["p"] > 0.05
    assert {text.strip("␣") for text in letters["text"]} >= set(LETTERS)
