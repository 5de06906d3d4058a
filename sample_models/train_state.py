"""Files that a training run writes: log, state for resuming, and intermediate checkpoints."""

import csv
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file

from sample_models.intermediate_checkpoints import checkpoint_file_name


class Log:
    """Writes rows of numbers to a CSV file and, rounded, to the terminal."""

    def __init__(self, path: Path):
        self.path = path

    def write(self, row: dict[str, float]) -> None:
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if new:
                writer.writeheader()
            writer.writerow({name: f"{value:.6g}" for name, value in row.items()})
        print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)

    def cut_after(self, step: int) -> None:
        """Remove rows after `step`, which will be computed again."""
        if self.path.exists():
            header, *rows = self.path.read_text().splitlines()
            remaining = [row for row in rows if int(row.split(",")[0]) <= step]
            self.path.write_text("\n".join([header, *remaining]) + "\n")


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it then replaces `path` atomically, so that an interruption leaves no half file."""
    partial = path.with_suffix(".partial")
    yield partial
    os.replace(partial, path)


def save_state(path: Path, step: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write everything that is needed to resume."""
    state = {"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    state["rng"] = torch.get_rng_state()
    if torch.cuda.is_available() and (device := next(model.parameters()).device).type == "cuda":
        state["cuda_rng"] = torch.cuda.get_rng_state(device)
    with replaced(path) as partial:
        torch.save(state, partial)


def load_state(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Restore what `save_state` wrote; return the number of steps done, 0 if nothing was saved."""
    if not path.exists():
        return 0
    device = next(model.parameters()).device
    state = torch.load(path, map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["rng"].cpu())
    if device.type == "cuda" and "cuda_rng" in state:
        torch.cuda.set_rng_state(state["cuda_rng"].cpu(), device)
    return state["step"]


def save_checkpoint(folder: Path, step: int, tokens: int, tau: float, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write an intermediate checkpoint: all weights in bfloat16, with step, tokens seen and tau in the header."""
    folder.mkdir(exist_ok=True)
    weights = {name: value.to("cpu", torch.bfloat16) for name, value in tensors.items()}
    header = {"format": "pt", "step": str(step), "tokens": str(tokens), "tau": f"{tau:.6g}"}
    with replaced(folder / checkpoint_file_name(step)) as partial:
        save_file(weights, partial, metadata=header)


__all__ = ["Log", "save_checkpoint", "load_state", "save_state"]
