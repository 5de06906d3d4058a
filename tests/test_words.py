"""Words: where they begin, means and sums over their pieces, and nothing averaged that has no mean."""

import dataclasses

import numpy as np
import pytest

from analysis.figures import difficulty_map_figure, gate_map_figure, loop_map_figure
from analysis.view import View
from analysis.words.search import Query, matching_tokens
from analysis.words.strip import EMPTY, HATCHED, strip
from analysis.words.words import same_place, word_displays, word_means, word_starts, word_table
from hooks.token_text import token_bytes
from tests.traces import make_trace, random_trace


def spelling(tokens, special=None, **fields):
    """A trace whose tokens spell its text."""
    special = special or [False] * len(tokens)
    loops = fields.pop("loops", [[1] * len(tokens)] * 2)
    trace = make_trace(loops=loops, tokens=tokens, special=special, **fields)
    text = b"".join(token_bytes(each) for each, added in zip(tokens, special, strict=True) if not added)
    return dataclasses.replace(trace, meta={**trace.meta, "text": text.decode()})


def test_place_in_the_text_is_found_among_the_tokens_of_another_model():
    long = spelling(["The", "␣mill", "er", "'s", "␣caf", "⟨C3⟩", "⟨A9⟩"])
    short = spelling(["<s>", "The", "␣", "miller's", "␣café"], special=[True, False, False, False, False])
    assert [same_place(long, token, short) for token in range(7)] == [1, 2, 3, 3, 4, 4, 4]
    assert [same_place(short, token, long) for token in range(1, 5)] == [0, 1, 1, 4]
    assert same_place(short, 0, long) is None, "what the tokenizer added stands nowhere in the text"
    ids = dataclasses.replace(long, meta={**long.meta, "text": "3 7 9"})
    assert same_place(ids, 2, short) is None and same_place(short, 2, ids) is None
    assert same_place(ids, 2, ids) == 2


def test_space_that_sentencepiece_puts_before_a_text_is_no_part_of_it():
    """`␣The␣miller` spells `The miller`: words are merged, and places agree with another model's tokens."""
    prefixed = spelling(["␣The", "␣mill", "er", "'s"])
    prefixed = dataclasses.replace(prefixed, meta={**prefixed.meta, "text": "The miller's"})
    assert word_displays(prefixed) == ("␣The", "␣miller's")
    plain = spelling(["The", "␣", "miller's"])
    assert [same_place(prefixed, token, plain) for token in range(4)] == [0, 1, 2, 2]
    assert [same_place(plain, token, prefixed) for token in range(3)] == [0, 1, 1]


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (["The", "␣mill", "er", "'s", "␣house", "."], ["The", "␣miller's", "␣house", "."]),
        (["a", "↵", "b", "c"], ["a", "↵", "bc"]),
        (["␣", "␣", "the"], ["␣", "␣", "the"]),
        (["(", "ab", ")", "cd"], ["(", "ab", ")", "cd"]),
        (["said", "␣'", "hello", "'"], ["said", "␣'", "hello", "'"]),
        (["␣20", "21", ",", "5"], ["␣2021", ",", "5"]),
        (["␣caf", "⟨C3⟩", "⟨A9⟩", "s"], ["␣cafés"]),
        (["⟨F0 9F⟩", "⟨98 80⟩", "ok"], ["😀", "ok"]),
        (["你", "好", "ab", "c"], ["你", "好", "abc"]),
        (["don", "'", "t", "'", "␣x"], ["don't", "'", "␣x"]),
        (["a\u0301", "b"], ["a\u0301b"]),
        (["⟨FF⟩", "a"], ["⟨FF⟩", "a"]),
    ],
)
def test_words_begin_where_a_reader_sees_them_begin(tokens, words):
    trace = make_trace(loops=[[1] * len(tokens)], tokens=tokens)
    raw = b"".join(map(token_bytes, tokens))
    if b"\xff" not in raw:
        trace = spelling(tokens)
    assert word_displays(trace) == tuple(words)


def test_tokens_that_the_tokenizer_added_are_words_of_their_own():
    trace = spelling(["<s>", "a", "b"], special=[True, False, False])
    assert word_starts(trace).tolist() == [0, 1]


def test_tokens_that_do_not_spell_the_text_are_not_merged():
    trace = dataclasses.replace(make_trace(loops=[[1] * 3], tokens=["12", "7", "9"]), meta={"text": "12 7 9"})
    assert word_starts(trace).tolist() == [0, 1, 2]


def test_word_table_averages_difficulty_and_loops_and_adds_surprisal():
    trace = spelling(["␣a", "b", "␣c", "d"], loops=[[1, 3, 4, 4], [1, 1, 4, 2]])
    table = word_table(trace)
    assert table[["token", "pieces"]].to_numpy().tolist() == [[0, 2], [2, 2]]
    assert table["loops"].tolist() == [1.5, 3.5] and table["gate"].tolist() == [0.625, 0.125]
    assert np.isnan(table["surprisal"][0]), "nothing precedes the first token"
    assert table["surprisal"][1] == 2
    np.testing.assert_allclose(word_means(np.array([0.0, 1, 2, 4]), np.array([0, 2])), [0.5, 3])


def test_strip_of_words_says_over_how_many_pieces_it_averages():
    trace = spelling(["␣a", "b", "␣c"], loops=[[1, 2, 4]])
    cells = strip(trace, "Loops", layer=0, token=1, at_layer=0, theme="light", level="word")
    assert cells.labels == [" ab", " c"] and cells.starts == [0, 2] and cells.tokens == 3
    assert cells.badges == ["1.5", "4.0"] and cells.values == ["1.5 (mean over 2 pieces)", "4.0"]
    assert cells.surprisal == ["undefined (sum over 2 pieces)", "1.0 nats"]
    assert dict(cells.readout)["token"] == "1", "what is selected stays a token"


def test_experts_of_pieces_are_never_averaged():
    trace = spelling(["␣a", "b", "␣c", "d", "␣e", "f"], loops=[[1, 1, 1, 4, 4, 4]])
    ids = trace.expert_ids.copy()
    ids[0, 1] = [2, 0]
    cells = strip(
        dataclasses.replace(trace, expert_ids=ids), "Experts", layer=0, token=0, at_layer=0, theme="light", level="word"
    )
    assert cells.badges == ["0,1 2,0", "0,1 –", ""] and cells.fill == [EMPTY, EMPTY, HATCHED]
    assert cells.values[1] == "0,1, then did not route"


@pytest.mark.parametrize("make", [difficulty_map_figure, gate_map_figure, loop_map_figure])
def test_maps_by_words_merge_columns_and_average_their_pieces(make):
    tokens = ["␣a", "b", "␣c", "d", "e"]
    trace = spelling(tokens, loops=[[1, 3, 4, 2, 3], [2, 2, 1, 1, 4]])
    pieces, words = (make(trace, View(layer=1, token=3, level=level)) for level in ("token", "word"))
    z, alone = words.data[0], np.asarray(pieces.data[0].z, float)
    np.testing.assert_allclose(z.z, np.stack([alone[:, :2].mean(1), alone[:, 2:].mean(1)], axis=1), rtol=1e-6)
    assert np.asarray(z.x).tolist() == [-0.5, 1.5, 4.5]
    assert [row[0] for row in np.asarray(z.customdata)[0].tolist()] == [0, 2], "a click selects the first piece"
    assert list(words.layout.xaxis.ticktext) == ["ab", "cde"]
    outline = [shape for shape in words.layout.shapes if shape.type == "rect" and shape.line.width == 2]
    assert (outline[0].x0, outline[0].x1) == (1.5, 4.5)
    above = next(bars for bars in words.data if bars.yaxis == "y2")
    assert len(above.y) == 2 and "mean over 3 pieces" in np.asarray(z.hovertext)[0, 1]


def test_maps_of_a_window_show_the_words_at_its_edges_with_the_mean_of_all_their_pieces():
    trace = spelling(["␣a", "b", "␣c", "d"], loops=[[1, 3, 4, 2]])
    cells = loop_map_figure(trace, View(window=(1, 3), level="word")).data[0]
    assert np.asarray(cells.x).tolist() == [0.5, 1.5, 2.5] and np.asarray(cells.z).tolist() == [[2, 3]]


def test_words_of_a_long_text_are_drawn():
    trace = random_trace(3, 400, 8, seed=1)
    trace = dataclasses.replace(trace, meta={**trace.meta, "text": b"".join(map(token_bytes, trace.tokens)).decode()})
    drawn = gate_map_figure(trace, View(token=300, window=(128, 384), level="word"))
    assert len(drawn.data[0].x) == np.asarray(drawn.data[0].z).shape[1] + 1


def test_search_is_by_tokens_at_any_level():
    trace = spelling(["␣mill", "er", "␣c"])
    assert matching_tokens(trace, Query("iller")).tolist() == [True, True, False]
