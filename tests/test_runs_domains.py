"""Domain against domain, specialisation, and saturation: against single traces, and against what was planted."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mutual_info_score

from analysis.runs.choices import DID_NOT_ROUTE
from analysis.runs.domains import domain_columns, domain_difference
from analysis.runs.filters import ALL_TOKENS
from analysis.runs.saturation import saturation
from analysis.runs.specialisation import sampled, specialisation
from tests.planted_runs import EXPERT, LAYER, drawn_traces
from tests.runs import make_run, random_traces


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def planted(folder):
    with make_run(folder / "planted", drawn_traces(60, seed=1, planted=True)) as found:
        yield found


@pytest.fixture(scope="module")
def deep(folder):
    """A run in which nothing follows anything, in so many layers that chance can be counted."""
    with make_run(folder / "deep", drawn_traces(40, seed=3, layers=40)) as found:
        yield found


@pytest.fixture(scope="module")
def random(folder):
    with make_run(folder / "random", random_traces(20)) as found:
        yield found


def test_domains_are_the_sources_and_columns_of_few_values(random):
    assert domain_columns(random) == {"source": ["code.txt", "stories.txt"], "kind": ["even", "odd"]}


def test_differences_of_domains_are_those_of_single_traces(random):
    found, traces = domain_difference(random, "kind", "odd", "even"), random_traces(20)
    for each in found.itertuples():
        shares = []
        for of in (traces[1::2], traces[::2]):
            if each.kind == "loops":
                made = [trace.loops[each.layer] == each.value for trace in of]
                had = [np.ones(trace.num_tokens, bool) for trace in of]
            else:
                ran = [trace.expert_ran[each.layer] for trace in of]
                made = [
                    (r & (trace.expert_ids[each.layer] == each.value)).any(axis=1)
                    for r, trace in zip(ran, of, strict=True)
                ]
                had = [r.any(axis=1) for r in ran]
            shares.append(np.concatenate(made).sum() / np.concatenate(had).sum())
        assert (each.first, each.second) == pytest.approx(tuple(shares))
        assert each.difference == pytest.approx(shares[0] - shares[1])
        assert each.low <= each.difference <= each.high
    assert len(found) == 4 * (8 + 4)


@pytest.mark.parametrize("column", ["CHOICES", 'domain" OR "tokens', "unit"])
def test_a_column_of_any_name_tells_domains_apart(folder, random, column):
    with make_run(folder / column.replace('"', ""), random_traces(20), column=column) as run:
        found = domain_difference(run, column, "odd", "even")
    pd.testing.assert_frame_equal(found, domain_difference(random, "kind", "odd", "even"))


def test_a_column_that_the_run_has_not_is_refused(random):
    with pytest.raises(ValueError, match="no column 'nothing'; it has source, kind"):
        domain_difference(random, "nothing", "a", "b")


def test_domains_that_differ_in_nothing_are_found_to_differ_as_often_as_chance_may(deep):
    found = domain_difference(deep, "kind", "odd", "even")
    assert len(found) == 40 * 12
    assert 0.02 < (found["p"] < 0.05).mean() < 0.08
    assert (found["p_corrected"] > 0.05).all()


def test_a_domain_that_chooses_otherwise_is_found(folder):
    traces = drawn_traces(120, seed=5, by_prompt=0.2)
    traces[1::2] = drawn_traces(60, seed=6, planted=True, by_prompt=0.2)  # digits of odd ones alone
    with make_run(folder / "two_kinds", traces) as run:
        found = domain_difference(run, "kind", "odd", "even").set_index(["kind", "layer", "value"])
    top = found["p_corrected"].idxmin()
    assert top == ("expert", LAYER, EXPERT)
    assert found.loc[top, "p_corrected"] < 0.01 and found.loc[top, "difference"] > 0.05


def test_normalised_mutual_information_is_that_of_the_sampled_tokens(random):
    tokens = sampled(random, ALL_TOKENS, column="kind")
    found = specialisation(random, column="kind", draws=9).set_index(["choice", "label", "layer"])
    assert len(tokens) == sum(map(len, (trace.tokens for trace in random_traces(20))))
    for (choice, label, layer), row in found.iterrows():
        values = tokens[f"{choice}_{layer}"]
        there = values != DID_NOT_ROUTE
        told, whole = (mutual_info_score(values[there], each[there]) for each in (tokens[label], values))
        assert row["nmi"] == pytest.approx(told / whole, abs=1e-9)
        assert row["tokens"] == there.sum() and row["labels"] == tokens[label][there].nunique()


def test_what_a_layer_follows_is_told_from_chance(planted):
    found = specialisation(planted, column="kind", draws=399).set_index(["choice", "label", "layer"]).sort_index()
    for label in ("token_id", "class"):
        row = found.loc["expert", label, LAYER]
        assert row["p_corrected"] < 0.05 and row["nmi"] > 2 * row["chance"]
    assert (found.loc["expert", "domain"]["p"] > 0.01).all()
    assert (found.drop(index=[("expert", "token_id", LAYER), ("expert", "class", LAYER)])["p_corrected"] > 0.05).all()


def test_layers_that_follow_nothing_are_called_beyond_chance_as_often_as_they_may(deep):
    found = specialisation(deep, column="kind", draws=99)
    by_label = found.groupby("label")["p"].agg(lambda p: (p < 0.05).mean())
    assert (by_label < 0.1).all()
    assert (found["p"] < 0.05).mean() < 0.06
    level = found.groupby("label")[["nmi", "chance"]].mean()
    assert np.allclose(level["nmi"], level["chance"], rtol=0.15), "chance gives what is found where there is nothing"


def test_the_sample_is_of_whole_prompts(deep):
    tokens = sampled(deep, ALL_TOKENS, sample=100)
    assert 86 < len(tokens) <= 100
    assert (tokens.groupby("prompt").size() == 14).all()
    assert len(sampled(deep, ALL_TOKENS, sample=5)) == 14, "one prompt at least"


def test_runs_of_checkpoints_agree_with_the_last_in_what_single_traces_do(folder, random):
    traces, last = random_traces(20), random_traces(20)
    changed = [
        type(trace)(**{**vars(trace), "loops": np.where(np.arange(trace.num_tokens) % 3 == 0, 1, trace.loops)})
        for trace in traces
    ]
    with make_run(folder / "early", changed, per_part=7) as early:
        found = saturation([early, random], ["step 1", "step 2"])
    assert set(found["run"]) == {"step 1"}
    for each in found[found["choice"] == "loops"].itertuples():
        alike = np.concatenate(
            [one.loops[each.layer] == two.loops[each.layer] for one, two in zip(changed, last, strict=True)]
        )
        assert each.agree == pytest.approx(alike.mean()) and each.tokens == len(alike)
        assert each.low < each.agree < each.high and 0 < each.chance < 1
    assert found.loc[found["choice"] == "expert", "agree"].tolist() == [1.0] * 4


def test_runs_of_other_texts_are_not_compared(folder, random):
    same, sizes = "are not of the same texts", "different sizes"
    with make_run(folder / "other", random_traces(20)[::-1]) as other, pytest.raises(ValueError, match=same):
        saturation([other, random])
    with make_run(folder / "wide", random_traces(3, experts=6)) as wide, pytest.raises(ValueError, match=sizes):
        saturation([wide, random])
    with pytest.raises(ValueError, match="two runs or more"):
        saturation([random])
