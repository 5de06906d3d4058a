"""Measure again what the difficulty of the shipped models goes with: python -m docs.make_correlations."""

import json

from analysis.texts.goes_with import goes_with
from analysis.texts.sample_texts import SAMPLE_TEXTS
from analysis.texts.study import SAMPLES, study
from app.texts.correlations import PATH
from hooks import capture
from sample_models import load_model
from sample_models.registry import available_models


def main() -> None:
    """Write the correlations of every shipped model in the sample texts, by the digest of its weights."""
    found = {}
    for name, _ in available_models():
        loaded = load_model(name)
        read = study(capture(loaded, list(dict.fromkeys(SAMPLE_TEXTS))), name=SAMPLES)
        found[loaded.weights_sha256] = {"model": name, **goes_with(read).to_json()}
    PATH.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
