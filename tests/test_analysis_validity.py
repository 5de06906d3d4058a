import numpy as np
import pytest
from scipy.stats import binom, spearmanr

from analysis.catalogue import spec
from analysis.export.captions import caption
from analysis.figures import class_difficulty_figure, validity_by_layer_figure, validity_intervals_figure
from analysis.texts.chance import corrected
from analysis.texts.ranks import within_texts
from analysis.texts.study import study
from analysis.texts.tokens import token_classes
from analysis.texts.validity import MEASURES, difficulty_by_class, difficulty_validity, measures
from analysis.view import DEFAULT_VIEW
from tests.figure_texts import figure_texts
from tests.traces import make_trace, random_trace


def test_rho_of_one_text_is_scipys_and_of_several_their_mean_by_tokens():
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(2, n)) for n in (12, 30)]
    other = [rng.normal(size=n) for n in (12, 30)]
    found = within_texts(rows, other, draws=9)
    alone = np.array([[spearmanr(row, each).statistic for row in of] for of, each in zip(rows, other, strict=True)])
    assert within_texts(rows[:1], other[:1], draws=9)["rho"].tolist() == pytest.approx(alone[0])
    assert found["rho"].tolist() == pytest.approx((12 * alone[0] + 30 * alone[1]) / 42)
    assert found["tokens"].tolist() == [42, 42]


def test_missing_values_and_constant_texts_stay_out():
    rows = [np.array([[1.0, 2, 3, 4, 5]]), np.array([[1.0, 1, 1, 1, 1]])]
    other = [np.array([np.nan, 2, 3, 4, 5]), np.arange(5.0)]
    found = within_texts(rows, other, draws=9).iloc[0]
    assert (found["texts"], found["tokens"], found["rho"]) == (1, 4, pytest.approx(1))


def test_rho_given_another_measure_is_partial_spearman_by_the_formula_of_three_rhos():
    rng = np.random.default_rng(0)
    given = rng.integers(0, 5, 40).astype(float)
    row, other = given + rng.normal(size=40), given + rng.normal(size=40)
    (a, b, c) = (spearmanr(*pair).statistic for pair in ((row, other), (row, given), (other, given)))
    found = within_texts([row[None]], [other], given=[given], draws=9)["rho"].iloc[0]
    assert found == pytest.approx((a - b * c) / np.sqrt((1 - b**2) * (1 - c**2)))
    same = within_texts([row[None]], [other], given=[np.ones(40)], draws=9)["rho"].iloc[0]
    assert same == pytest.approx(a), "what never changes takes nothing off"
    assert within_texts([row[None]], [2 * given], given=[given], draws=9)["rho"].isna().all(), "nothing is left"


def test_what_both_owe_to_frequency_is_a_finding_raw_and_none_given_frequency():
    raw, partial = [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        given = [rng.integers(0, 9, 30).astype(float) for _ in range(6)]
        rows, other = ([each[None] + 3 * rng.normal(size=(1, 30)) for each in given] for _ in range(2))
        other = [each[0] for each in other]
        raw.append(within_texts(rows, other, draws=9)["p"].iloc[0])
        partial.append(within_texts(rows, other, given=given, draws=9)["p"].iloc[0])
    assert sum(p <= 0.05 for p in raw) > 60
    assert sum(p <= 0.05 for p in partial) <= binom.ppf(0.99, 100, 0.05)


def test_texts_that_differ_as_a_whole_show_nothing_within():
    """Difficulty and measure are both higher in some texts, and unrelated inside each."""
    rng = np.random.default_rng(1)
    rows = [rng.normal(size=(1, 40)) + 10 * text for text in range(8)]
    other = [rng.normal(size=40) + 10 * text for text in range(8)]
    found = within_texts(rows, other, draws=99).iloc[0]
    assert abs(found["rho"]) < 0.15 and found["p"] > 0.05


def test_planted_relation_is_found_with_its_sign():
    rng = np.random.default_rng(2)
    other = [rng.normal(size=30) for _ in range(8)]
    rows = [-each[None] + 0.5 * rng.normal(size=(1, 30)) for each in other]
    found = within_texts(rows, other, draws=99).iloc[0]
    assert found["rho"] < -0.7 and found["p"] == 0.01 and found["high"] < -0.5


LENGTHS = (20, 35, 50, 64, 80, 110, 30, 45)


def falling(rng: np.random.Generator, level: float, tokens: int) -> np.ndarray:
    """Values that fall along the text by twice their spread, from a level of the text."""
    return rng.normal(size=tokens) - np.linspace(0, 2, 110)[:tokens] + level


def test_a_trend_that_difficulty_and_measure_share_is_no_finding_in_texts_of_any_length():
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rows, other = [], []
        for tokens, level in zip(LENGTHS, 3 * rng.normal(size=len(LENGTHS)), strict=True):
            rows.append(falling(rng, level, tokens)[None])
            other.append(falling(rng, level, tokens))
        found.append(within_texts(rows, other, draws=19, seed=seed).iloc[0])
    assert np.mean([row["rho"] for row in found]) > 0.1
    assert sum(row["p"] <= 0.05 for row in found) <= binom.ppf(0.99, 200, 0.05)


def test_a_relation_beside_a_shared_trend_is_found():
    rng = np.random.default_rng(0)
    other = [falling(rng, 0, tokens) for tokens in LENGTHS]
    rows = [each[None] + rng.normal(size=(1, len(each))) for each in other]
    found = within_texts(rows, other, draws=99).iloc[0]
    assert found["p"] == 0.01 and found["alone"] == 30 and found["rho"] > 0.5


def test_position_as_a_measure_is_asked_by_reading_backwards():
    rows = [falling(np.random.default_rng(n), 0, n)[None] for n in LENGTHS]
    place = [np.arange(n) for n in LENGTHS]
    assert within_texts(rows, place, draws=99).iloc[0]["p"] == 1, "an exchange of positions changes nothing"
    found = within_texts(rows, place, keep_position=False, draws=99).iloc[0]
    assert found["p"] < 0.05 and found["rho"] < 0


def test_few_texts_give_no_interval_and_no_p():
    table = difficulty_validity([random_trace(layers=2, tokens=12)], draws=9)
    assert table[["low", "high", "p", "p_corrected"]].isna().all(axis=None)
    assert table[table["measure"] == "surprisal_read"]["rho"].notna().all()


def test_measures_leave_out_special_tokens_and_count_types_over_all_texts():
    first = make_trace(loops=[[1, 1, 1]], token_ids=np.array([9, 5, 6]), special=[True, False, False])
    second = make_trace(loops=[[1, 1]], token_ids=np.array([5, 9]))
    found = measures([first, second])
    assert found["frequency"].tolist() == [2, 1, 2, 1]
    assert found["position"].tolist() == [1, 2, 0, 1]


def test_validity_has_one_row_per_measure_and_layer_and_one_for_their_mean():
    traces = [random_trace(layers=3, tokens=20, seed=seed) for seed in range(6)]
    table = difficulty_validity(traces, draws=99)
    assert len(table) == len(MEASURES) * 4
    mean = table[table["layer"].isna()].set_index("measure")
    assert mean.loc["surprisal_read", "rho"] > 0.3 and mean.loc["surprisal_read", "p"] < 0.04
    known = table.dropna(subset="p")
    assert len(known) == 5 * 4 and (known["p_corrected"] >= known["p"]).all()
    assert mean["p_corrected"].tolist() == pytest.approx(corrected(mean["p"].to_numpy()), nan_ok=True)
    layers = table[(table["measure"] == "entropy") & table["layer"].notna()]
    assert layers["p_corrected"].tolist() == pytest.approx(corrected(layers["p"].to_numpy()), nan_ok=True)


@pytest.mark.parametrize("texts", [5, 6, 7, 8])
def test_the_strongest_relation_has_the_smallest_p_that_so_few_texts_can_have(texts):
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(1, 20)) for _ in range(texts)]
    found = within_texts(rows, [each[0] for each in rows]).iloc[0]
    assert found["p"] == found["p_least"] == 2.0**-texts
    falls = within_texts([np.arange(20.0)[None]] * texts, [-np.arange(20.0)] * texts, keep_position=False).iloc[0]
    assert falls["p"] == falls["p_least"] == 2 * 2.0**-texts, "all texts backwards are as far from 0"


@pytest.mark.parametrize("texts", [5, 6])
def test_figure_says_where_no_p_below_five_per_cent_can_come_out(texts):
    traces = [make_trace(loops=[np.repeat([1, 2, 3], 6)], token_ids=np.arange(18) + 18 * n) for n in range(texts)]
    found = study(traces, draws=9)
    of = list(MEASURES).index("position")
    drawn = validity_by_layer_figure(found)
    name, numbers = drawn.layout.yaxis.ticktext[of], drawn.data[1].text[2 * of : 2 * of + 2]
    assert name.endswith("; p ≥ 0.06: never beyond chance") == (texts == 5)
    assert all(number.startswith("<b>") == (texts == 6) for number in numbers)


def test_a_map_of_many_layers_marks_by_dots_what_one_of_few_layers_prints_bold():
    rng = np.random.default_rng(0)
    for layers, sign in ((2, "bold: p below"), (21, "●: p below")):
        found = study([make_trace(loops=rng.integers(1, 5, (layers, 12))) for _ in range(2)], draws=9)
        table = found.difficulty_validity["soft"]
        table["p_corrected"] = np.where(np.arange(len(table)) % 5 == 2, 0.01, 0.5)
        legend, _, *written = figure_texts(validity_by_layer_figure(found))
        marked = [text for text in written if text.startswith("<b>") or text == "●"]
        assert sign in legend and len(marked) == (table["p_corrected"] < 0.05).sum(), layers


def test_tokens_are_classed_by_what_they_hold():
    tokens = ["␣un", "happy", "␣2", "3rd", ",", "␣(", "↵", "␣", "⟨F0 9F⟩", "x", "y", "↵b", "Z"]
    assert token_classes(tokens) == [
        "word", "inside a word", "digits", "word", "punctuation", "punctuation", "white space", "white space", "other",
        "word", "inside a word", "word", "inside a word",
    ]  # fmt: skip


def test_difficulty_by_class_equals_what_is_found_by_hand():
    trace = make_trace(loops=[[4, 1, 4]], tokens=["␣a", "b", "."], special=[False, False, False])
    special = make_trace(loops=[[4, 1]], tokens=["c", "."], special=[True, False])
    table = difficulty_by_class([trace, special], "hard").set_index("class")
    assert table["difficulty"].to_dict() == {"word": 1, "inside a word": 0, "punctuation": 0.5}
    assert table["texts"].to_dict() == {"word": 1, "inside a word": 1, "punctuation": 2}


def test_figures_draw_the_tables():
    found = study([random_trace(layers=3, tokens=20, seed=seed) for seed in range(6)], draws=99)
    table = found.difficulty_validity["soft"]
    cells = validity_by_layer_figure(found).data[0]
    assert cells.z.ravel().tolist() == pytest.approx(table["rho"].tolist(), nan_ok=True)
    filled, hollow = validity_intervals_figure(found).data
    mean, layer_0 = table[table["layer"].isna()], table[table["layer"].eq(0).fillna(False)]
    assert filled.x.tolist() == pytest.approx(mean["rho"].tolist(), nan_ok=True)
    assert hollow.x.tolist() == pytest.approx(layer_0["rho"].tolist(), nan_ok=True)
    for fig in (validity_by_layer_figure(found), validity_intervals_figure(found)):
        said = dict(label.split("<br>") for label in fig.layout.yaxis.ticktext)
        assert said["surprisal of the next token"] == "n = 114"  # the last token of each of six texts has none
        assert said["position in the text"] == "n = 120"
    assert "Each number is over 114 to 120 tokens." in caption(spec("validity_by_layer"), found, DEFAULT_VIEW)
    assert class_difficulty_figure(found, kind="hard").data[0].x.tolist() == pytest.approx(
        found.difficulty_by_class["hard"]["difficulty"].tolist()
    )
