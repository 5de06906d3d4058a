"""What the difficulty of the shipped models goes with, measured by `python -m docs.make_correlations`."""

import json
from functools import lru_cache
from pathlib import Path

from analysis.texts.goes_with import GoesWith

PATH = Path(__file__).parents[1] / "assets" / "correlations.json"


def shipped_correlations(weights_sha256: str | None) -> GoesWith | None:
    """The correlations of the model with these weights in the sample texts; None if they do not ship."""
    return _shipped().get(weights_sha256)


@lru_cache(maxsize=1)
def _shipped() -> dict[str, GoesWith]:
    kept = json.loads(PATH.read_text(encoding="utf-8"))
    return {
        weights: GoesWith.from_json({name: value for name, value in each.items() if name != "model"})
        for weights, each in kept.items()
    }


__all__ = ["PATH", "shipped_correlations"]
