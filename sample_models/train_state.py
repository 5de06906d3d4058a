"""What a training leaves in its folder while it runs: log, state to go on from, and weights kept along the way."""

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file

from sample_models.intermediate_checkpoints import checkpoint_file_name


class Log:
    """Rows of figures to a CSV file and, in short, to the terminal."""

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
        """Drop rows past `step`: they will be made again."""
        if self.path.exists():
            header, *rows = self.path.read_text().splitlines()
            kept = [row for row in rows if int(row.split(",")[0]) <= step]
            self.path.write_text("\n".join([header, *kept]) + "\n")


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Where to write what then takes the place of a file in one move, so that a stop in between cannot spoil it."""
    partial = path.with_suffix(".partial")
    yield partial
    os.replace(partial, path)


def save_state(path: Path, step: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write everything that is needed to go on."""
    state = {"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    state["rng"] = torch.get_rng_state()
    if torch.cuda.is_available() and (device := next(model.parameters()).device).type == "cuda":
        state["cuda_rng"] = torch.cuda.get_rng_state(device)
    with replaced(path) as partial:
        torch.save(state, partial)


def load_state(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Put a run back where `save_state` left it; the steps done by then, 0 where nothing was saved."""
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


def save_checkpoint(folder: Path, step: int, tokens: int, tau: float, model: torch.nn.Module) -> None:
    """Write all weights in bfloat16, with step, tokens seen and tau in the header."""
    folder.mkdir(exist_ok=True)
    weights = {name: value.to("cpu", torch.bfloat16) for name, value in model.state_dict().items()}
    header = {"format": "pt", "step": str(step), "tokens": str(tokens), "tau": f"{tau:.6g}"}
    with replaced(folder / checkpoint_file_name(step)) as partial:
        save_file(weights, partial, metadata=header)


__all__ = ["Log", "save_checkpoint", "load_state", "save_state"]
