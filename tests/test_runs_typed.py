"""Questions that a reader types: they read the run's tables, and nothing of the server whatever is tried."""

import pytest

from analysis.runs.run import QuestionError
from tests.runs import make_run, random_traces


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with make_run(tmp_path_factory.mktemp("secret") / "mine", random_traces(6)) as made:
        yield made


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sql FROM duckdb_views()",
        "SELECT * FROM sqlite_master",
        "SELECT view_definition FROM information_schema.views",
        "SELECT * FROM pg_catalog.pg_views",
        "SELECT current_setting('allowed_directories')",
        "SELECT value FROM duckdb_settings()",
        "SELECT (SELECT max(sql) FROM duckdb_views())",
        "SELECT * FROM prompts WHERE source IN (SELECT sql FROM duckdb_views())",
        "SELECT * FROM query('SELECT sql FROM duckdb_views()')",
        "SELECT * FROM query_table('sqlite_master')",
        "SELECT json_serialize_plan('SELECT * FROM tokens')",
        "SELECT * FROM sqlite_master WHERE EXISTS (WITH sqlite_master AS (SELECT 1) SELECT 1)",
        "WITH tokens AS (SELECT 1 AS x) SELECT * FROM tokens",
        "SELECT * FROM read_parquet('tokens/000000.parquet')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/**')",
        "SELECT write_log('kept by the server')",
        "FROM (FROM duckdb_views()) SELECT sql",
        "SUMMARIZE sqlite_master",
        "SELECT count(*) FILTER (x LIKE '%/%') FROM (SELECT sql AS x FROM duckdb_views())",
    ],
)
def test_nothing_of_the_server_is_told(run, sql):
    with pytest.raises(QuestionError) as refused:
        run.ask_typed(sql)
    assert str(run.folder) not in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "sql",
    [
        "FROM tokens LIMIT 2",
        "DESCRIBE tokens",
        "SUMMARIZE prompts",
        "WITH hard AS (SELECT * FROM choices WHERE loops = 4) SELECT layer, count(*) FROM hard GROUP BY layer",
        "SELECT t.text, n FROM tokens t, unnest(loops) AS u(n) LIMIT 3",
        "SELECT * FROM range(3)",
        "SELECT main.prompts.source FROM memory.main.prompts",
        "WITH RECURSIVE up AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM up WHERE x < 3) SELECT * FROM up",
        "SELECT expert, avg(weight) FROM routed GROUP BY ALL ORDER BY ALL",
    ],
)
def test_questions_about_the_run_are_answered(run, sql):
    found, more = run.ask_typed(sql)
    assert len(found) and not more


def test_columns_of_one_name_are_told_apart(run):
    found, _ = run.ask_typed("SELECT * FROM tokens JOIN prompts USING (prompt) LIMIT 1")
    assert len(set(found.columns)) == len(found.columns) and {"text", "text_2"} <= set(found.columns)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT repeat('x', 10000000)", "more than 4,000,000 characters"),
        ("SELECT 1" + " " * 20_000, "at most 10,000 characters"),
        ("SELECT " + "(" * 3000 + "1" + ")" * 3000, "."),
        ("SELECT * FROM nowhere", "only tokens, prompts, choices, routed can"),
        ("SELECT nothing FROM tokens", "nothing"),
        ("SELECT [repeat('x', 5000000)], {'a': map(['b'], [1])}", "more than 4,000,000 characters"),
        ("SELECT '\ud800'", "incomplete characters"),
    ],
)
def test_what_is_too_much_or_wrong_is_told_in_a_sentence(run, sql, told):
    with pytest.raises(QuestionError, match=told) as refused:
        run.ask_typed(sql)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 400
