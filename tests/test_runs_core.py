"""The folder of a run: its tables, whoever writes it, what is asked of it, and what is refused."""

import threading
import time

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.rows import rows_of_traces
from analysis.runs.run import QuestionError
from analysis.runs.schema import PROMPT_COLUMNS, prompt_schema, token_columns, token_schema
from tests.runs import make_run, random_traces
from tests.traces import make_trace


@pytest.fixture(scope="module")
def traces():
    return random_traces()


@pytest.fixture(scope="module")
def run(tmp_path_factory, traces):
    return make_run(tmp_path_factory.mktemp("runs") / "twelve", traces)


@pytest.fixture(scope="module")
def choices(traces) -> pd.DataFrame:
    """A row per prompt, token and layer, made of the traces themselves."""
    frames = [trace.to_frame().assign(prompt=i, kind="odd" if i % 2 else "even") for i, trace in enumerate(traces)]
    return pd.concat(frames, ignore_index=True)


# The tables ----------------------------------------------------------------------------------------------------------


def test_files_have_the_schema_with_its_descriptions(run):
    for files in run.parts():
        tokens, prompts = parquet.read_schema(files.tokens), parquet.read_schema(files.prompts)
        assert tokens.equals(token_schema(run.sizes)) and prompts.equals(prompt_schema(("kind",)))
        for name, (_, told) in token_columns(run.sizes).items():
            assert tokens.field(name).metadata[b"description"].decode() == told
        for name, (_, told) in PROMPT_COLUMNS.items():
            assert prompts.field(name).metadata[b"description"].decode() == told


def test_rows_are_those_of_the_traces(run, traces, choices):
    assert run.counts.prompts == 12 and run.counts.tokens == sum(trace.num_tokens for trace in traces)
    found = run.ask("SELECT * FROM choices ORDER BY prompt, layer, token")
    assert len(found) == len(choices)
    for name in ("prompt", "layer", "token", "text", "loops"):
        assert found[name].tolist() == choices[name].tolist(), name
    np.testing.assert_allclose(found.gate, choices.gate, atol=1e-6)
    np.testing.assert_allclose(found.difficulty, choices.difficulty_soft, atol=1e-6)
    np.testing.assert_allclose(found.logprob.to_numpy(float, na_value=np.nan), choices.logprob, atol=1e-6)


def test_experts_that_ran_are_those_of_the_traces(run, choices):
    found = run.ask("SELECT prompt, layer, token, rank, expert, weight FROM routed ORDER BY ALL")
    ran = choices[choices.width_ran].explode(["expert_ids", "expert_weights"])
    ran = ran.assign(rank=ran.groupby(level=0).cumcount()).sort_values(["prompt", "layer", "token", "rank"])
    assert found[["prompt", "layer", "token", "rank"]].values.tolist() == (
        ran[["prompt", "layer", "token", "rank"]].values.tolist()
    )
    assert found.expert.tolist() == ran.expert_ids.tolist()
    np.testing.assert_allclose(found.weight, ran.expert_weights.astype(float), atol=1e-6)


def test_what_a_model_does_not_decide_is_null(tmp_path):
    trace = make_trace(meta=make_trace().meta | {"parts": ["width"]})
    run = make_run(tmp_path / "run", [trace])
    found = run.ask("SELECT gate, difficulty, loops FROM choices")
    assert found.gate.isna().all() and found.difficulty.isna().all() and found.loops.notna().all()
    assert len(run.ask("SELECT * FROM routed")) > 0


def test_router_probabilities_are_sums_over_ordinary_tokens(run, traces):
    logits = [trace.expert_logits[:, ~trace.special].astype(float) for trace in traces]
    probs = [np.exp(each) / np.exp(each).sum(axis=-1, keepdims=True) for each in logits]
    np.testing.assert_allclose(run.router_probs(), sum(each.sum(axis=1) for each in probs), rtol=1e-6)


def test_a_trace_that_does_not_fit_is_refused(run, traces):
    with pytest.raises(ValueError, match="does not fit a run of"):
        rows_of_traces(run.sizes, [(0, make_trace())])


def has_expert(rows: pd.DataFrame, expert: int) -> pd.Series:
    return rows.expert_ids.map(lambda ids: expert in (ids or []))


# Filters -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "holds"),
    [
        (ALL_TOKENS, lambda rows: rows.prompt >= 0),
        (TokenFilter(sources=("code.txt",)), lambda rows: rows.kind == "odd"),
        (TokenFilter(others=(("kind", "even"),)), lambda rows: rows.kind == "even"),
        (TokenFilter(text="E"), lambda rows: rows.text.str.lower().str.contains("e")),
        (TokenFilter(positions=(3, 6)), lambda rows: rows.token.between(3, 6)),
        (TokenFilter(layer=2, loops=(1, 4)), lambda rows: (rows.layer == 2) & rows.loops.isin([1, 4])),
        (TokenFilter(loops=(4,)), lambda rows: rows.loops == 4),
        (TokenFilter(layer=1, expert=3), lambda rows: (rows.layer == 1) & has_expert(rows, 3)),
        (TokenFilter(layer=0, difficulty=(0.5, 1.0)), lambda rows: (rows.layer == 0) & (rows.difficulty_soft >= 0.5)),
        (TokenFilter(loops=(2,), expert=1), lambda rows: (rows.loops == 2) & has_expert(rows, 1)),
    ],
)
def test_a_filter_keeps_the_tokens_that_pandas_keeps(run, choices, given, holds):
    where, values = given.where(run.sizes)
    found = run.ask(f"SELECT prompt, token FROM tokens WHERE {where} ORDER BY ALL", values)
    kept = choices[~choices.special & holds(choices)][["prompt", "token"]].drop_duplicates()
    assert found.values.tolist() == kept.sort_values(["prompt", "token"]).values.tolist()
    assert 0 < len(found) <= run.counts.tokens


def test_a_filter_of_token_ids_keeps_these_tokens(run, traces):
    where, values = TokenFilter(token_ids=(2, 5)).where(run.sizes)
    found = run.ask(f"SELECT token_id FROM tokens WHERE {where}", values).token_id
    assert set(found) == {2, 5} and len(found) == sum(np.isin(trace.token_ids, [2, 5]).sum() for trace in traces)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (TokenFilter(layer=4), "the layer must be from 0 to 3, got 4"),
        (TokenFilter(expert=8), "the expert must be from 0 to 7, got 8"),
        (TokenFilter(loops=(0,)), "loops must be from 1 to 4, got 0"),
    ],
)
def test_a_filter_for_what_the_model_has_not_is_refused(run, given, said):
    with pytest.raises(ValueError, match=said):
        given.where(run.sizes)


def test_hostile_names_and_values_of_columns_stay_values(run):
    with pytest.raises(Exception, match='column"? .*"kind"" OR true --"|Referenced column'):
        where, values = TokenFilter(others=(('kind" OR true --', "x"),)).where(run.sizes)
        run.ask(f"SELECT * FROM tokens WHERE {where}", values)
    where, values = TokenFilter(text="' OR true --").where(run.sizes)
    assert len(run.ask(f"SELECT * FROM tokens WHERE {where}", values)) == 0


# SQL that a reader typed ---------------------------------------------------------------------------------------------


def test_a_typed_question_is_answered_up_to_so_many_rows(run):
    frame, more = run.ask_typed("SELECT prompt, count(*) AS n FROM tokens GROUP BY prompt ORDER BY prompt", rows=5)
    assert frame.columns.tolist() == ["prompt", "n"] and frame.prompt.tolist() == [0, 1, 2, 3, 4] and more
    assert run.ask_typed("SELECT 1 AS a, 2 AS a")[0].values.tolist() == [[1, 2]]


@pytest.mark.parametrize(
    "sql",
    [
        "DROP VIEW tokens",
        "CREATE TABLE mine AS SELECT 1",
        "INSERT INTO prompts VALUES (1)",
        "COPY tokens TO '{out}'",
        "ATTACH '{out}'",
        "SET memory_limit='100GB'",
        "SET enable_external_access=true",
        "PRAGMA database_list",
        "INSTALL httpfs",
        "SELECT 1; SELECT 2",
        "",
    ],
)
def test_a_typed_question_changes_nothing(run, tmp_path, sql):
    with pytest.raises(QuestionError):
        run.ask_typed(sql.format(out=tmp_path / "out"))
    assert list(tmp_path.iterdir()) == [] and len(run.ask("SELECT * FROM prompts")) == 12


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('{path}')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM '{path}'",
        "SELECT * FROM read_parquet('{other}')",
        "SELECT getenv('HOME')",
        "SELECT * FROM secret",
    ],
)
def test_a_typed_question_reads_nothing_but_the_run(run, tmp_path, sql):
    secret = pd.DataFrame({"a": [1]})  # DuckDB would find it by its name
    (tmp_path / "secret.csv").write_text("a\n1\n")
    secret.to_parquet(tmp_path / "other.parquet")
    with pytest.raises(QuestionError):
        run.ask_typed(sql.format(path=tmp_path / "secret.csv", other=tmp_path / "other.parquet"))


def test_a_typed_question_that_runs_for_ever_is_ended(run):
    began = time.monotonic()
    with pytest.raises(QuestionError, match="takes more than 0.5 s"):
        run.ask_typed("SELECT sum(hash(a.range * b.range)) FROM range(1000000) a, range(1000000) b", seconds=0.5)
    assert time.monotonic() - began < 10
    assert run.ask_typed("SELECT count(*) FROM prompts")[0].iloc[0, 0] == 12


def test_a_typed_question_that_fills_the_memory_is_ended(run):
    with pytest.raises(QuestionError, match="takes more than 512 MB"):
        run.ask_typed("SELECT list(a.range) FROM range(300000000) a GROUP BY a.range % 2")


def test_several_threads_ask_one_run(run):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(run.ask("SELECT sum(token) AS n FROM tokens").n[0]))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6 and len(set(found)) == 1
