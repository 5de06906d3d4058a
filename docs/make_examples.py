"""Make the shipped traces of the examples again with the default model: python -m docs.make_examples."""

import json

from app.texts.examples import EXAMPLES, TRACES, model_digests
from hooks import capture
from sample_models import CHECKPOINTS, DEFAULT_MODEL, load_model


def main() -> None:
    """Write one trace file per example, and which model made them; remove those of examples that are no more."""
    TRACES.mkdir(parents=True, exist_ok=True)
    for old in TRACES.glob("*.trace.safetensors"):
        old.unlink()
    loaded = load_model(DEFAULT_MODEL)
    for key, prompt in EXAMPLES.items():
        trace = capture(loaded, prompt.text)
        trace.save(TRACES / f"{key}.trace.safetensors")
        print(f"{key}: {trace.num_tokens} tokens")
    digests = model_digests(CHECKPOINTS / DEFAULT_MODEL)
    (TRACES / "model.json").write_text(json.dumps(digests, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
