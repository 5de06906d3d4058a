"""Traces one text through the checkpoints that a model's training kept."""

from hooks.capturing import capture
from hooks.training_trace import TrainingTrace
from sample_models.intermediate_checkpoints import intermediate_checkpoints
from sample_models.loading import LoadedModel, load_model


def capture_training(loaded: LoadedModel, text: str) -> TrainingTrace:
    """Trace a text through a model and through every checkpoint that its folder kept of its training.

    Raises ValueError if there is none, or for a text that `capture` refuses.
    """
    kept = intermediate_checkpoints(loaded.folder) if loaded.folder else []
    if not kept:
        raise ValueError(f"{loaded.name} kept no weights of its training: train it with --keep-checkpoints")
    traces = [capture(load_model(loaded.folder, step=each.step, dtype=loaded.model.dtype), text) for each in kept]
    return TrainingTrace.of_checkpoints(capture(loaded, text), kept, traces)


__all__ = ["capture_training"]
