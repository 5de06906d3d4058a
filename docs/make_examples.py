"""Make the shipped traces of the examples again with the default model: python -m docs.make_examples."""

from app.texts.examples import EXAMPLES, TRACES, save_traces
from hooks import capture
from sample_models import CHECKPOINTS, DEFAULT_MODEL, load_model


def main() -> None:
    """Write one trace file per example, and which model made them; remove those of examples that are no more."""
    for old in TRACES.glob("*.trace.safetensors"):
        old.unlink()
    folder = CHECKPOINTS / DEFAULT_MODEL
    loaded = load_model(folder)
    traces = {key: capture(loaded, prompt.text) for key, prompt in EXAMPLES.items()}
    save_traces(traces, folder, TRACES)
    print("\n".join(f"{key}: {trace.num_tokens} tokens" for key, trace in traces.items()))


if __name__ == "__main__":
    main()
