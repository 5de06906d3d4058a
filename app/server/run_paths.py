"""Reads some prompts of a run again, for what a run does not hold: the outputs of both paths."""

from pathlib import Path

from analysis.runs.filters import TokenFilter
from analysis.runs.manifest import Counts
from analysis.runs.paper_paths import MOST_TOKENS, SAMPLE, PathCosines, path_cosines
from app.server import models, runs
from app.server.captures import cached
from hooks.interventions import from_json

MOST_COSINES = 16


@cached(MOST_COSINES, f"Reading {SAMPLE} prompts of the run again")
def _cosines(model_name: str, folder: Path, _: Counts, chosen: TokenFilter) -> PathCosines:
    from hooks import capture, capture_paths

    run, loaded = runs.opened(folder), models.loaded_model(model_name)
    chat, changed = bool(run.manifest.settings.get("chat")), run.manifest.settings.get("interventions")

    def read(text: str):
        trace = capture(loaded, text, chat=chat, interventions=from_json(changed) if changed else ())
        return capture_paths(loaded, trace, tokens=(0, min(trace.num_tokens, MOST_TOKENS)))

    return path_cosines(run, read, chosen)


def cosines_of(model_name: str, folder: Path, chosen: TokenFilter) -> PathCosines:
    """Cosines between both paths over a sample of the prompts of a run, read again by a model, kept for all visitors.

    Raises ValueError, in a sentence, if the model is not that of the run, and RunError if the run is gone.
    """
    return _cosines(model_name, folder, runs.opened(folder).counts, chosen)  # again when the run has grown
