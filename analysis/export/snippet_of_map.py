"""The lines of Python that make the map of a run's tokens."""

from analysis.runs.filters import ALL_TOKENS
from analysis.runs.map import TokenMap


def map_code(drawn: TokenMap) -> tuple[list[str], list[str]]:
    """Imports, and lines up to `drawn = ...`. A comment asks for the path of the run's folder."""
    sample, method = drawn.sample, f"{drawn.method}_map"
    imports = [
        f"from analysis.runs.map import {method}",
        "from analysis.runs.run import Run",
        "from analysis.runs.sampling import sample_tokens",
        "from analysis.figures.runs import token_map as figures",
        "from analysis.view import View",
    ]
    chosen = ""
    if sample.chosen != ALL_TOKENS:
        imports.append("from analysis.runs.filters import TokenFilter")
        chosen = f", {sample.chosen.as_code()}"
    return imports, [
        f"run = Run({sample.run!r})  # the path of its folder",
        f"sample = sample_tokens(run{chosen}, most={len(sample)}, seed={sample.seed})",
        f"drawn = {method}(sample, {drawn.blocks!r})",
    ]


__all__ = ["map_code"]
