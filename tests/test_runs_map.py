"""The map of a run's tokens: a sample that is drawn again, vectors by hand, planted groups that lie apart."""

import re
from concurrent.futures import CancelledError
from functools import cache
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
import pytest
from sklearn.neighbors import NearestNeighbors

from analysis.export.pictures import as_vectors
from analysis.export.snippet import Needs, needs, snippet
from analysis.figures.runs.token_map import TOKEN_MAP, category_of, colours_of, token_map_figure
from analysis.runs import map as maps
from analysis.runs import sampling
from analysis.runs.choices import DID_NOT_ROUTE
from analysis.runs.chosen import ChosenTokens
from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.map import TokenMap, map_table, pca_map, umap_map
from analysis.runs.run import Run
from analysis.runs.sampling import TokenSample, sample_tokens
from analysis.runs.vectors import Vectors, columns_of, usual_blocks
from analysis.view import View
from hooks.trace import RoutingTrace
from tests.runs import make_run, random_traces
from tests.traces import HOSTILE, make_trace, random_trace

DOCUMENT = Path(__file__).parents[1] / "docs" / "map.md"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return make_run(tmp_path_factory.mktemp("runs") / "mine", random_traces(12))


@pytest.fixture(scope="module")
def grouped(tmp_path_factory) -> Run:
    """Tokens of two groups: those with an even position take one loop and expert 0, the others three and expert 5."""
    rng = np.random.default_rng(0)
    return make_run(tmp_path_factory.mktemp("runs") / "grouped", [_grouped(rng) for _ in range(20)])


def _grouped(rng: np.random.Generator) -> RoutingTrace:
    trace = random_trace(layers=4, tokens=20, seed=int(rng.integers(1000)))
    odd = np.arange(20) % 2 == 1
    loops = np.where(odd, 3, 1) + (rng.random((4, 20)) < 0.1)
    experts = np.stack([np.where(odd, 5, 0), rng.integers(1, 5, 20)], -1)[None].repeat(4, 0)
    weights = np.stack([share := 0.7 + 0.2 * rng.random((4, 20)), 1 - share], -1).astype(np.float32)
    fields = {name: getattr(trace, name) for name in ("expert_logits", "logprob", "next_ids", "next_tokens")}
    return make_trace(
        loops=loops, num_experts=8, tokens=trace.tokens, expert_ids=experts, expert_weights=weights, **fields
    )


def _places(sample: TokenSample) -> list[tuple[int, int]]:
    return list(zip(sample.prompt.tolist(), sample.token.tolist(), strict=True))


def test_a_seed_draws_the_same_tokens_again_and_another_seed_others(run):
    first, again, other = (sample_tokens(run, most=30, seed=seed) for seed in (3, 3, 4))
    assert _places(first) == _places(again) != _places(other)
    assert len(set(_places(first))) == 30 and first.count == run.ask("SELECT count(*) FROM tokens").iloc[0, 0]
    assert first.prompt[:4].tolist() != sorted(first.prompt[:4].tolist()), "in random order"


def test_the_sample_of_a_seed_is_the_same_on_every_machine(run):
    def number(prompt: int, token: int) -> int:
        mixed = (prompt * 2654435761 + token * 40503 + 5 * 97 + 1013904223) % 2**32
        for _ in range(3):
            mixed = ((mixed ^ mixed >> 16) * 73244475) % 2**32
        return mixed

    every = run.ask("SELECT prompt, token FROM tokens").to_numpy().tolist()
    assert (
        _places(sample_tokens(run, most=30, seed=5)) == sorted(map(tuple, every), key=lambda place: number(*place))[:30]
    )


def test_a_sample_has_what_the_run_has(run):
    sample = sample_tokens(run, TokenFilter(positions=(2, 9)), most=1000)
    table = run.ask("SELECT * FROM tokens WHERE token BETWEEN 2 AND 9 ORDER BY prompt, token")
    assert len(sample) == sample.count == len(table)
    order = np.lexsort((sample.token, sample.prompt))
    for name in ("prompt", "token", "token_id"):
        assert getattr(sample, name)[order].tolist() == table[name].tolist()
    assert [sample.text[int(row)].as_py() for row in order] == table.text.tolist()
    for name in ("loops", "gate", "difficulty"):
        np.testing.assert_array_equal(getattr(sample, name)[order], np.stack(table[name]))
    experts = np.array(
        [[DID_NOT_ROUTE if each is None or each is np.ma.masked else each for each in row] for row in _lists(run)]
    )
    np.testing.assert_array_equal(sample.experts[order].reshape(len(table), -1), experts)
    assert np.isnan(sample.weights[sample.experts == DID_NOT_ROUTE]).all() and (sample.experts == DID_NOT_ROUTE).any()


def _lists(run: Run) -> list[list]:
    return run.ask_table("SELECT experts FROM tokens WHERE token BETWEEN 2 AND 9 ORDER BY prompt, token")[0].to_pylist()


def test_a_sample_knows_its_tokens_by_the_columns_of_their_prompts(run, monkeypatch):
    sample = sample_tokens(run)
    source, kind = sample.groups["source"], sample.groups["kind"]
    assert set(source.names) == {"stories.txt", "code.txt"} and set(kind.names) == {"odd", "even"}
    named = [source.names[number] for number in source.number]
    assert named == [("stories.txt", "code.txt")[prompt % 2] for prompt in sample.prompt]
    assert named.count(source.names[0]) >= named.count(source.names[1])
    monkeypatch.setattr(sampling, "MOST_GROUPS", 1)
    few = sample_tokens(run).groups["kind"]
    assert few.names == (kind.names[0], "all others")
    assert (few.number == 1).tolist() == (kind.number == 1).tolist()


def test_tokens_of_prompts_without_a_value_are_a_group_of_their_own():
    values = pa.array(["b", None, "a", "a", None])
    groups = sampling._grouped(values, np.array([0, 1, 2, 3, 2, 4]))
    assert groups.names == ("a", "b", "none") and groups.number.tolist() == [1, 2, 0, 0, 0, 2]


def test_every_token_is_drawn_as_often_as_any_other(run):
    drawn = [place for seed in range(100) for place in _places(sample_tokens(run, most=20, seed=seed))]
    counts = np.unique(np.array([prompt * 100 + token for prompt, token in drawn]), return_counts=True)[1]
    total = sample_tokens(run, most=10**6).count
    expected = len(drawn) / total
    assert len(counts) == total
    assert np.square(counts - expected).sum() / expected / total == pytest.approx(1, abs=0.35)  # chi-squared by degree


def test_vectors_are_those_by_hand(tmp_path):
    trace = make_trace(loops=((1, 4), (3, 2)))
    with make_run(tmp_path / "run", [trace]) as run:
        sample = sample_tokens(run)
    order = np.argsort(sample.token)
    vectors = Vectors(sample, ("loops", "experts"), fitted=2)
    rows = vectors.rows(slice(None))[order]
    # loops of token 0: 1 and 3, of token 1: 4 and 2, as shares of three; variances .25 and 1/36
    np.testing.assert_allclose(rows[:, :2], np.array([[0, 2 / 3], [1, 1 / 3]]) / np.sqrt(0.25 + 1 / 36), rtol=1e-6)
    # experts 0 and 1 with .75 and .25, but for token 1 in layer 0, whose width path did not run
    experts = np.array([[0.75, 0.25, 0, 0] * 2, [0] * 4 + [0.75, 0.25, 0, 0]])
    np.testing.assert_allclose(rows[:, 2:], experts / np.sqrt(experts.var(axis=0).sum()), rtol=1e-6)
    assert vectors.columns == rows.shape[1] == 10


def test_every_block_counts_the_same_and_one_that_does_not_vary_counts_nothing(run, tmp_path):
    sample = sample_tokens(run, most=500)
    vectors = Vectors(sample, ("loops", "experts", "difficulty", "gate"), len(sample))
    spread = np.split(vectors.rows(slice(None)), [4, 36, 40], axis=1)
    assert [part.var(axis=0).sum() for part in spread] == pytest.approx([1, 1, 1, 1], rel=1e-4)
    with make_run(tmp_path / "run", [make_trace(loops=np.full((2, 50), 2))]) as same:
        flat = pca_map(sample_tokens(same), ["loops", "experts"])
    assert set(flat.variances.values()) == {0.0} and np.isfinite(flat.points).all()


def test_blocks_that_a_model_has_not_are_refused(run):
    assert usual_blocks(run.sizes) == ["loops", "experts", "difficulty"]
    with pytest.raises(ValueError, match="the model of this run has no colour: it has loops, experts"):
        columns_of(run.sizes, ["colour"])
    with pytest.raises(ValueError, match="at least one"):
        columns_of(run.sizes, [])
    with pytest.raises(ValueError, match="needs at least 40 tokens, and the filter lets 12 through"):
        pca_map(sample_tokens(run, TokenFilter(positions=(0, 0))))


def _separated(drawn: TokenMap) -> float:
    """Share of the five nearest neighbours in the plane, over all tokens, that are of the token's own group."""
    odd = drawn.sample.token % 2 == 1
    nearest = NearestNeighbors(n_neighbors=6).fit(drawn.points).kneighbors(return_distance=False)[:, :5]
    return float((odd[nearest] == odd[:, None]).mean())


def test_planted_groups_are_apart_by_pca_and_shuffled_ones_are_not(grouped):
    drawn = pca_map(sample_tokens(grouped))
    assert _separated(drawn) > 0.99 and drawn.explained[0] > 0.5
    sample = drawn.sample
    shuffled = TokenSample(**(vars(sample) | {"token": np.random.default_rng(0).permutation(sample.token)}))
    assert 0.4 < _separated(TokenMap(**(vars(drawn) | {"sample": shuffled}))) < 0.6


def test_tokens_that_were_not_fitted_are_placed_by_the_same_axes(grouped, monkeypatch):
    monkeypatch.setattr(maps, "_AT_ONCE", 64)
    sample = sample_tokens(grouped)
    drawn = pca_map(sample, fitted=150)
    vectors = Vectors(sample, tuple(usual_blocks(sample.sizes)), 150).rows(slice(None)).astype(np.float64)
    middle = vectors[:150].mean(axis=0)
    axes = np.linalg.svd(vectors[:150] - middle, full_matrices=False)[2][:2]
    assert drawn.fitted == 150 and len(drawn.points) == len(sample) == 400
    np.testing.assert_allclose(np.abs((vectors - middle) @ axes.T), np.abs(drawn.points), atol=1e-4)


@cache
def _by_umap(run: Run) -> tuple[TokenMap, list[tuple[float, str]]]:
    told: list[tuple[float, str]] = []
    sample = sample_tokens(run)
    return umap_map(sample, tell=lambda share, stage: told.append((share, stage)), fitted=200), told


def test_umap_keeps_planted_groups_apart_also_for_tokens_that_it_was_not_fitted_on(grouped):
    drawn, told = _by_umap(grouped)
    assert (drawn.fitted, len(drawn.points), drawn.measured) == (200, 400, 400)
    assert _separated(drawn) > 0.99 and drawn.trustworthiness > 0.8
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and told[-1][1].startswith("Comparing")
    assert any("200 of 400 are placed" in stage for _, stage in told)


def test_a_map_by_umap_is_the_same_again_and_ends_when_it_is_stopped(grouped):
    drawn, _ = _by_umap(grouped)
    np.testing.assert_array_equal(umap_map(drawn.sample, fitted=200).points, drawn.points)

    def stop(share: float, stage: str) -> None:
        if share > 0.5:
            raise CancelledError

    with pytest.raises(CancelledError):
        umap_map(drawn.sample, tell=stop, fitted=200)


def test_the_table_of_a_map_names_place_and_routing(run):
    drawn = pca_map(sample_tokens(run, most=50, seed=1))
    table = map_table(drawn)
    row = table.iloc[7]
    (found,) = run.ask(
        "SELECT * FROM tokens WHERE prompt = ? AND token = ?", [int(row.prompt), int(row.token)]
    ).itertuples()
    assert (row.text, row.loops_2) == (found.text, found.loops[2])
    assert (row.x, row.y) == tuple(drawn.points[7]) and len(table) == 50
    assert table.expert_0.isna().tolist() == (drawn.sample.experts[:, 0, 0] == DID_NOT_ROUTE).tolist()


def test_chosen_tokens_are_a_part_of_a_filter(run):
    chosen = ChosenTokens([3, 0, 3, 3], [1, 4, 2, 1], "mine")
    assert len(chosen) == 3 and chosen.prompts == 2
    among = TokenFilter(among=chosen)
    where, values = among.where(run.sizes)
    found = run.ask(f"SELECT prompt, token FROM tokens WHERE {where} ORDER BY prompt, token", values)
    assert found.to_numpy().tolist() == [[0, 4], [3, 1], [3, 2]]
    assert among == TokenFilter(among=ChosenTokens([0, 3, 3], [4, 1, 2])) != ALL_TOKENS and {among: 1}[among]
    assert among.as_json() == {} and TokenFilter(text="a", among=chosen).as_json() == {"text": "a"}
    with pytest.raises(ValueError, match="at most 100,000 tokens can be chosen one by one, got 100,001"):
        ChosenTokens(np.zeros(100_001), np.arange(100_001))


def test_the_code_of_the_documentation_runs(tmp_path, monkeypatch, capsys):
    make_run(tmp_path / "RUN", random_traces(12)).close()
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(compile(block, "map.md", "exec"), {})
    assert capsys.readouterr().out.startswith("0.") and (tmp_path / "map.html").stat().st_size > 10_000


def test_the_code_under_the_map_makes_it_again(run, tmp_path, monkeypatch):
    chosen = TokenFilter(positions=(1, 9))
    drawn = pca_map(sample_tokens(run, chosen, most=80, seed=2), ["experts"])
    code = snippet(TOKEN_MAP, drawn, View(theme="dark"), colour="experts", layer=1)
    assert "the path of its folder" in code and needs(drawn) == Needs()
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(code.replace("Run('mine')", f"Run({str(run.folder)!r})"), "code", "exec"), names)
    again = token_map_figure(drawn, View(theme="dark"), colour="experts", layer=1)
    assert names["figure"].to_json() == again.to_json() and (tmp_path / "token_map.html").is_file()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_colour_of_the_map_holds_every_token_and_shows_hostile_text_as_letters(theme, tmp_path):
    with make_run(tmp_path / "run", [random_trace(tokens=24, words=HOSTILE, seed=seed) for seed in range(4)]) as run:
        drawn = pca_map(sample_tokens(run))
    for colour in colours_of(drawn):
        made = token_map_figure(drawn, View(theme=theme), colour=colour, layer=2)
        go.Figure(made.to_dict())  # every property is one of Plotly's
        places = np.concatenate([trace.customdata for trace in made.data])
        order = np.argsort(places[:, 0])
        assert places[order, 0].tolist() == list(range(96))
        assert places[order, 1].tolist() == drawn.sample.prompt.tolist()
        if colour not in ("difficulty", "gate"):
            number = np.concatenate([np.full(len(trace.x), trace.meta) for trace in made.data])[order]
            assert category_of(drawn, colour, 2).tolist() == number.tolist()
        assert not [text for trace in made.data for text in (trace.text, trace.name) if "<b>" in str(text)]
        assert {trace.type for trace in made.data} == {"scattergl"}
        assert {trace.type for trace in as_vectors(made).data} == {"scatter"}, "SVG and PDF have no raster image"
    with pytest.raises(ValueError, match="one of loops, experts, .* got column:nothing"):
        token_map_figure(drawn, colour="column:nothing")
    with pytest.raises(ValueError, match="layer must be from 0 to 7, got 8"):
        token_map_figure(drawn, layer=8)
