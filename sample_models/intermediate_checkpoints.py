"""Weights kept along a training (`train --keep-checkpoints`), found and described without reading a tensor."""

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

FOLDER = "checkpoints"
"""Folder of the kept weights inside a run's or a model's folder."""


@dataclass(frozen=True)
class IntermediateCheckpoint:
    """The weights of a model as they were after one step of its training."""

    path: Path
    step: int
    """Updates done; 0 is before the first."""
    tokens: int
    """Training tokens seen by then, in this run."""
    tau: float
    """Gumbel temperature of the step that came next."""
    held_out: float | None
    """Loss on held-out text in nats per token, where it was measured (`publish` does)."""


def checkpoint_file_name(step: int) -> str:
    """File name of the weights kept after a step."""
    return f"step-{step:06d}.safetensors"


def intermediate_checkpoints(folder: Path) -> list[IntermediateCheckpoint]:
    """What a model's folder kept of its training, by step; empty if nothing.

    Raises ValueError with one sentence for a file that is damaged or whose header does not tell step, tokens and tau.
    """
    found = [_described(path) for path in sorted((Path(folder) / FOLDER).glob("step-*.safetensors"))]
    return sorted(found, key=lambda kept: kept.step)


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
        raise ValueError(f"{path} is no whole safetensors file ({error}): copy or download it again") from error
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{path} must tell step, tokens and tau as numbers in its header, got {header}: take files that "
            "train --keep-checkpoints wrote"
        ) from error


__all__ = ["FOLDER", "IntermediateCheckpoint", "intermediate_checkpoints", "checkpoint_file_name"]
