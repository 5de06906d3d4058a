"""What a reader may ask a run in SQL: its own tables and nothing of the server, decided on the parsed question."""

import json
from collections.abc import Iterator
from typing import Any

import duckdb

TABLES = ("tokens", "prompts", "choices", "routed")
_TABLE_FUNCTIONS = ("range", "generate_series", "unnest")
_HIDDEN = (
    "current_setting",
    "json_serialize_plan",
    "json_execute_serialized_sql",
    "getvariable",
    "getenv",
    "write_log",
)
"""Functions that tell about the server, such as where its files lie, that run another question, or that write to it."""
MOST_CHARACTERS = 10_000


class QuestionError(ValueError):
    """A question in SQL that was refused, wrong, or took too much; the message is for whoever typed it."""


def check_question(sql: str, cursor: duckdb.DuckDBPyConnection) -> duckdb.Statement:
    """The statement of a question that may be asked. Raises QuestionError otherwise."""
    if len(sql) > MOST_CHARACTERS:
        raise QuestionError(f"A question has at most {MOST_CHARACTERS:,} characters, and this one has {len(sql):,}.")
    try:
        sql.encode()
        statements = cursor.extract_statements(sql)
    except UnicodeEncodeError as error:
        raise QuestionError("The question has incomplete characters (lone surrogates). Type it again.") from error
    except duckdb.Error as error:
        raise QuestionError(first_line(error)) from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise QuestionError("Only one SELECT is answered at a time: a run is read here and never changed.")
    try:
        parsed = json.loads(cursor.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()[0])
    except (RecursionError, duckdb.Error) as error:
        raise QuestionError("This question is nested too deeply.") from error
    if parsed["error"]:
        raise QuestionError("Only one SELECT is answered at a time: a run is read here and never changed.")
    nodes = list(_nodes(parsed))
    own = {name.lower() for node in nodes for name in _named_here(node)}
    if taken := own & {*TABLES, *_catalogue(cursor)}:
        raise QuestionError(f"WITH cannot call a table {min(taken)}, which has a meaning already. Choose another name.")
    for node in nodes:
        if refused := _refused(node, own):
            raise QuestionError(f"{refused[:80]} cannot be asked here: only {', '.join(TABLES)} can.")
    return statements[0]


def first_line(error: duckdb.Error) -> str:
    """What is wrong with the SQL, in one line."""
    return str(error).partition("\n")[0][:300]


def _refused(node: dict[str, Any], own: set[str]) -> str | None:
    """Name of the table or function in a part of a question that may not be asked; None if there is none."""
    if node.get("type") == "BASE_TABLE":
        name, place = str(node.get("table_name", "")), (node.get("catalog_name", ""), node.get("schema_name", ""))
        known = place[0] in ("", "memory") and place[1] in ("", "main") and name.lower() in {*TABLES, *own}
        return None if known else ".".join(filter(None, (*place, name)))
    if node.get("type") == "TABLE_FUNCTION":
        name = str((node.get("function") or {}).get("function_name", "this function"))
        return None if name.lower() in _TABLE_FUNCTIONS else name
    name = str(node.get("function_name", "")).lower()
    return name if name in _HIDDEN else None


def _named_here(node: dict[str, Any]) -> list[str]:
    """Names of the tables that WITH makes in a part of a question."""
    made = node.get("cte_map") or {}
    return [each["key"] for each in made.get("map", ())] + ([node["cte_name"]] if node.get("cte_name") else [])


def _catalogue(cursor: duckdb.DuckDBPyConnection) -> set[str]:
    """Names of the database's own tables and views, which nothing in a question may hide behind."""
    names = "SELECT view_name FROM duckdb_views() UNION SELECT table_name FROM duckdb_tables()"
    return {name.lower() for (name,) in cursor.execute(names).fetchall()}


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


__all__ = ["MOST_CHARACTERS", "TABLES", "QuestionError", "check_question", "first_line"]
