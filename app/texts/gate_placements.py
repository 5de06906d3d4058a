"""How far the gates of the shipped models are from other gates, measured by `python -m docs.make_gate_placement`."""

import json
from functools import lru_cache
from pathlib import Path

from analysis.texts.gate_placement import GatePlacement

PATH = Path(__file__).parents[1] / "assets" / "gate_placement.json"


def shipped_placement(weights_sha256: str | None) -> GatePlacement | None:
    """What was measured of the model with these weights in the sample texts; None if it does not ship."""
    return _shipped().get(weights_sha256)


@lru_cache(maxsize=1)
def _shipped() -> dict[str, GatePlacement]:
    kept = json.loads(PATH.read_text(encoding="utf-8"))
    return {
        weights: GatePlacement.from_json({name: value for name, value in each.items() if name != "model"})
        for weights, each in kept.items()
    }


__all__ = ["PATH", "shipped_placement"]
