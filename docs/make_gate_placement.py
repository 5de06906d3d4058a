"""Measure again how far the gates of the shipped models are from other gates: python -m docs.make_gate_placement.

It prints what it finds and writes what the page Forced depth says of these models. It takes some minutes.
"""

import json

from analysis.explain.regret import cells_of
from analysis.texts.gate_placement import MOST_TOKENS, GatePlacement, gate_placement, told
from analysis.texts.sample_texts import SAMPLE_TEXTS
from analysis.texts.study import SAMPLES
from app.texts.gate_placements import PATH
from hooks import DepthEffects, Frontier, capture, depth_sweep, frontier
from sample_models import load_model
from sample_models.loading import LoadedModel
from sample_models.registry import available_models

NAME = f"{SAMPLES}, cut to {MOST_TOKENS} tokens"


def measured(loaded: LoadedModel, text: str) -> tuple[DepthEffects, Frontier]:
    """The effects of all depths on the beginning of a text, and the frontier there."""
    ids = loaded.tokenizer(text, verbose=False)["input_ids"][:MOST_TOKENS]
    effects = depth_sweep(loaded, capture(loaded, loaded.tokenizer.decode(ids)))
    return effects, frontier(loaded, effects)


def placement(found: list[tuple[DepthEffects, Frontier]]) -> GatePlacement:
    """What the texts say together."""
    return gate_placement(NAME, [cells_of(effects) for effects, _ in found], [points for _, points in found])


def write(placements: dict[str, tuple[str, GatePlacement]]) -> None:
    """Print and keep what was found, by the digest of a model's weights."""
    kept = {}
    for weights, (name, found) in placements.items():
        print(f"{name}\n{told(found)}")
        for part in ("cells", "together"):
            for gate, each in getattr(found, part).items():
                print(f"  {part:9s} {gate:10s} {each.more:+.4f}  95% {each.low:+.4f} to {each.high:+.4f}")
        kept[weights] = {"model": name, **found.to_json()}
    PATH.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Measure every shipped model in the sample texts."""
    placements = {}
    for name, _ in available_models():
        loaded = load_model(name)
        found = [measured(loaded, text) for text in dict.fromkeys(SAMPLE_TEXTS)]
        placements[loaded.weights_sha256] = (name, placement(found))
    write(placements)


if __name__ == "__main__":
    main()
