"""Rows of many texts at once are those of a trace of each of them."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from analysis.runs.rows import Rows, rows_of_tokens, rows_of_traces, sizes_of
from analysis.runs.schema import Sizes
from hooks import DropExpert, ForceLoops, ForceTopK, capture
from hooks.reading import Reading, read, read_many
from hooks.routing_rows import row_sizes, token_rows
from hooks.token_text import display_tokens
from sample_models import load_model
from tests.models import small_loaded
from tests.other_models import save_other

TEXTS = ["A", "the fox went to the river at noon, and back.", "7 + 5 = 12", "\n\t é🙂", "one more " * 7, "the"]


def rows_of(loaded, texts: Sequence[str] | None = None, **how) -> tuple[Rows, Rows]:
    """The rows of texts, read at once and one trace at a time."""
    interventions, chat = how.get("interventions", ()), how.pop("chat", False)
    readings = read_many(loaded, texts or TEXTS, chat=chat)
    sizes = Sizes(**row_sizes(loaded, interventions))
    found = token_rows(loaded, readings, **how)
    numbers = np.arange(10, 10 + len(readings))
    fast = rows_of_tokens(sizes, found, numbers, lambda ids: display_tokens(loaded.tokenizer, ids))
    traces = capture(loaded, texts or TEXTS, chat=chat, **how)
    assert all(sizes_of(trace) == sizes for trace in traces)
    return fast, rows_of_traces(sizes, list(enumerate(traces, start=10)))


def assert_equal(found: Rows, expected: Rows) -> None:
    assert found.table.schema.equals(expected.table.schema)
    for name in expected.table.column_names:
        one, other = (flat(rows.table[name]) for rows in (found, expected))
        assert (one.is_null().to_pylist()) == (other.is_null().to_pylist()), name
        if pa.types.is_floating(one.type):
            one, other = (each.drop_null().to_numpy() for each in (one, other))
            np.testing.assert_allclose(one, other, atol=1e-5, rtol=0, err_msg=name)
        else:
            assert one.equals(other), name
    np.testing.assert_allclose(found.router_probs, expected.router_probs, atol=1e-4)


def flat(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    return array.flatten() if pa.types.is_fixed_size_list(array.type) else array


def test_rows_of_texts_of_any_length_equal_those_of_their_traces(loaded):
    assert_equal(*rows_of(loaded))


def test_rows_of_texts_in_several_passes_and_windows_equal_those_of_their_traces(monkeypatch):
    monkeypatch.setattr("hooks.capturing.MAX_BATCH_TOKENS", 64)
    loaded = small_loaded(max_position_embeddings=32)
    found, expected = rows_of(loaded, [*TEXTS, "The king rode to the river. " * 6])
    assert_equal(found, expected)
    assert found.table["token"].to_numpy().max() == 167


@pytest.mark.parametrize(
    "interventions",
    [(ForceLoops(4, layers=0, tokens=[0, 2]),), (ForceTopK(3),), (DropExpert(1, layers=1, then="mean"),)],
)
def test_rows_under_interventions_equal_those_of_traces(loaded, interventions):
    found, expected = rows_of(loaded, TEXTS[1:3], interventions=interventions)
    assert_equal(found, expected)


def test_rows_of_chat_messages_equal_those_of_traces():
    loaded = small_loaded()
    loaded.tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}<assistant>"
    found, expected = rows_of(loaded, TEXTS[:3], chat=True)
    assert_equal(found, expected)
    assert "".join(found.table["text"].to_pylist()[:6]) == "<user>"


@pytest.mark.parametrize("family", ["mixtral", "llama"])
def test_rows_of_other_families_equal_those_of_traces(tmp_path, family):
    loaded = load_model(save_other(tmp_path / family, family))
    found, expected = rows_of(loaded)
    assert_equal(found, expected)
    assert found.table["gate"].combine_chunks().flatten().null_count == found.table.num_rows * 3


def test_a_text_with_numbers_that_are_not_finite_has_no_rows_and_the_others_stay():
    loaded = small_loaded()
    readings = read_many(loaded, TEXTS)
    expected = token_rows(loaded, [readings[i] for i in (0, 1, 2, 3, 5)])
    in_one_more_alone = loaded.tokenizer("m")["input_ids"]
    loaded.model.model.embed_tokens.weight.data[in_one_more_alone] = float("nan")
    found = token_rows(loaded, readings)
    assert found.not_finite == (4,) and not (found.text == 4).any()
    assert np.array_equal(found.loops, expected.loops) and np.isfinite(found.router_probs).all()
    np.testing.assert_allclose(found.router_probs, expected.router_probs, atol=1e-4)


def test_texts_read_together_are_read_as_each_alone(loaded):
    found = read_many(loaded, [*TEXTS, "", "a b"])
    assert [reading for reading in found if isinstance(reading, Reading)] == [
        read(loaded, text) for text in [*TEXTS, "a b"]
    ]
    assert isinstance(found[6], ValueError) and "the text is empty" in str(found[6])


def test_after_every_pass_the_caller_is_asked_and_may_end_the_work(loaded, monkeypatch):
    monkeypatch.setattr("hooks.capturing.MAX_BATCH_TOKENS", 60)
    told = []

    def between(tokens: int) -> None:
        told.append(tokens)
        if len(told) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        token_rows(loaded, read_many(loaded, TEXTS), between=between)
    assert told[0] < told[1] < sum(len(text.encode()) for text in TEXTS)
