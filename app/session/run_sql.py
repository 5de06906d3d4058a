"""A question in SQL about the chosen run: what is typed, and its answer until another is asked."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from analysis.runs.run import QuestionError
from app.server import runs
from app.server.runs import RunError
from app.session import run_choice

SQL_KEY, EXAMPLE_KEY, ANSWER = "run-sql", "run-sql-example", "run_sql_answer"
EXAMPLES = {
    "Which tokens take most loops?": (
        "SELECT text, count(*) AS cells, avg(loops) AS mean_loops\n"
        "FROM choices WHERE NOT special\nGROUP BY text HAVING cells >= 30\nORDER BY mean_loops DESC LIMIT 20"
    ),
    "How often does each expert run in each layer?": (
        "SELECT layer, expert, count(*) AS choices, avg(weight) AS mean_weight\n"
        "FROM routed WHERE NOT special\nGROUP BY ALL ORDER BY ALL"
    ),
    "Are tokens with more loops more surprising?": (
        "SELECT layer, loops, -avg(logprob) AS mean_surprisal, count(*) AS n\n"
        "FROM choices WHERE NOT special AND logprob IS NOT NULL\nGROUP BY ALL ORDER BY ALL"
    ),
    "Which source is the most difficult?": (
        "SELECT source, avg(difficulty) AS mean_difficulty, count(DISTINCT prompt) AS prompts\n"
        "FROM choices JOIN prompts USING (prompt) WHERE NOT special\nGROUP BY source ORDER BY mean_difficulty DESC"
    ),
    "Which prompts take most loops?": (
        "SELECT prompt_id, source, avg(list_avg(loops)) AS mean_loops, count(*) AS n\n"
        "FROM tokens JOIN prompts USING (prompt) WHERE NOT special\n"
        "GROUP BY ALL HAVING n >= 10 ORDER BY mean_loops DESC LIMIT 20"
    ),
}
"""A question in words -> in SQL, for any run."""


@dataclass(frozen=True, eq=False)
class SqlAnswer:
    """What was answered to a question."""

    run: str
    table: pd.DataFrame | None
    more: bool = False
    """Whether there are more rows than are shown."""
    problem: str = ""
    """Why there is no answer, in a sentence."""


def take_example() -> None:
    """Put the chosen example into the field. Call this from the widget of the choice."""
    if sql := EXAMPLES.get(st.session_state[EXAMPLE_KEY]):
        st.session_state[SQL_KEY] = sql


def ask() -> None:
    """Answer the question in the field."""
    sql = (st.session_state.get(SQL_KEY) or "").strip()
    name, folder = run_choice.run_name(), run_choice.run_folder()
    if not sql or folder is None:
        return
    try:
        table, more = runs.typed(folder, sql)
        found = SqlAnswer(name, table, more)
    except (QuestionError, RunError) as error:
        found = SqlAnswer(name, None, problem=str(error))
    st.session_state[ANSWER] = found


def answer() -> SqlAnswer | None:
    """The last answer about the chosen run; None if none was asked for."""
    found = st.session_state.get(ANSWER)
    return found if found and found.run == run_choice.run_name() else None


__all__ = ["EXAMPLES", "EXAMPLE_KEY", "SQL_KEY", "SqlAnswer", "answer", "ask", "take_example"]
