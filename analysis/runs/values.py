"""The values of a column of a run's prompts, to choose from."""

from analysis.runs.filters import quoted
from analysis.runs.run import Run

MOST = 200


def prompt_values(run: Run, column: str, most: int = MOST) -> tuple[str, ...]:
    """The values of a column of `prompts` in the order of the alphabet; none if there are more than `most`."""
    found = run.ask(
        f"SELECT DISTINCT {quoted(column)} AS value FROM prompts WHERE problem IS NULL AND value IS NOT NULL "
        f"LIMIT {int(most) + 1}"
    )["value"]
    return tuple(sorted(found)) if len(found) <= most else ()


__all__ = ["MOST", "prompt_values"]
