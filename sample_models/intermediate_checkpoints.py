"""Intermediate checkpoints of a training (`train --keep-checkpoints`): where they are and what their headers say."""

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from sample_models.foreign import brief, is_file

FOLDER = "checkpoints"
"""Folder of the intermediate checkpoints inside a run's or a model's folder."""


@dataclass(frozen=True)
class IntermediateCheckpoint:
    """The file with a model's weights after one step of its training."""

    path: Path
    step: int
    """Optimizer steps done; 0 is the untrained model."""
    tokens: int
    """Training tokens of this run seen by then."""
    tau: float
    """Gumbel temperature of the next step."""
    held_out: float | None
    """Loss on held-out text in nats per token; None if it was not measured (`publish` measures it)."""


def checkpoint_file_name(step: int) -> str:
    """File name of the checkpoint after a step."""
    return f"step-{step:06d}.safetensors"


def intermediate_checkpoints(folder: Path) -> list[IntermediateCheckpoint]:
    """The intermediate checkpoints in a model's folder, by step; empty if there are none. Reads headers only.

    Raises ValueError with one sentence for a damaged file, or one whose header lacks step, tokens or tau.
    """
    checkpoints = [_described(path) for path in _files(folder)]
    return sorted(checkpoints, key=lambda checkpoint: checkpoint.step)


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted((Path(folder) / FOLDER).glob("step-*.safetensors")) if is_file(path)]


def _described(path: Path) -> IntermediateCheckpoint:
    try:
        with safe_open(path, framework="np") as file:
            header = file.metadata() or {}
        held_out = header.get("held_out")
        return IntermediateCheckpoint(
            path,
            step=int(header["step"]),
            tokens=int(header["tokens"]),
            tau=float(header["tau"]),
            held_out=None if held_out is None else float(held_out),
        )
    except SafetensorError as error:
        raise ValueError(f"{path} is not a complete safetensors file ({error}): copy or download it again") from error
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{path} must give step, tokens and tau as numbers in its header, got {brief(header)}: take files that "
            "train --keep-checkpoints wrote"
        ) from error


__all__ = ["FOLDER", "IntermediateCheckpoint", "intermediate_checkpoints", "checkpoint_file_name"]
