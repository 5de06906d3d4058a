"""Reads some prompts of a run again, for what a run does not hold: the outputs of both paths."""

from pathlib import Path

from analysis.runs.filters import TokenFilter
from analysis.runs.paper_paths import MOST_TOKENS, SAMPLE, PathCosines, path_cosines
from app.server import models, runs
from app.server.captures import cached

MOST_COSINES = 16


@cached(MOST_COSINES, f"Reading {SAMPLE} prompts of the run again")
def _cosines(model_name: str, folder: Path, _: int, chosen: TokenFilter) -> PathCosines:
    from hooks.run_reader import path_reader

    run, loaded = runs.opened(folder), models.loaded_model(model_name)
    return path_cosines(run, path_reader(loaded, run.manifest.settings, MOST_TOKENS), chosen)


def cosines_of(model_name: str, folder: Path, chosen: TokenFilter) -> PathCosines:
    """Cosines between both paths over a sample of the prompts of a run, read again by a model, kept for all visitors.

    Raises ValueError, in a sentence, if the model is not that of the run, and RunError if the run is gone.
    """
    return _cosines(model_name, folder, runs.stamp(folder), chosen)


__all__ = ["cosines_of"]
