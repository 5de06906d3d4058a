"""What runs of `sample_models.distil` tell about themselves afterwards: in their folders, and in a published update."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch

from sample_models.distil.options import DistilOptions
from sample_models.run_options import options_of, read_settings

RUNS, CURVES = "runs.json", "curves.csv"
"""Files of a published update: its runs with their options and steps, and their curves."""


@dataclass(frozen=True, eq=False)
class PastRun:
    """What is kept of a run when its folder is gone."""

    options: DistilOptions
    steps: int
    """Steps that were done when its state was saved last."""
    curves: pd.DataFrame
    """Rows of stage 2 of its log, with `held_out`, the mean loss over the kinds of text."""


@dataclass(frozen=True, eq=False)
class Run(PastRun):
    """A run as its own folder tells it."""

    folder: Path
    trained: dict[str, torch.Tensor]
    """What it had trained by then, in bfloat16."""


def read_run(folder: Path) -> Run:
    """The run in a folder. Raises ValueError if it has saved nothing yet."""
    if not ((folder / "state.pt").exists() and (folder / "log.csv").exists()):
        raise ValueError(f"{folder} has saved nothing yet: let it train for a few minutes")
    state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
    trained = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in state["trained"].items()}
    options = read_settings(DistilOptions, folder / "settings.json")
    return Run(options, state["step"], _curves(folder, options, state["step"]), folder, trained)


def _curves(folder: Path, options: DistilOptions, steps: int) -> pd.DataFrame:
    log = pd.read_csv(folder / "log.csv")
    log = log[(log.step > options.layer_steps) & (log.step <= steps)]
    held_out = log.filter(like="held_out_").mean(axis=1)
    kept = ["step", "tokens", "loss", "kl", "load_balance", "depth_entropy", "loops"]
    return log[kept].assign(held_out=held_out.round(4))


def read_past(folder: Path) -> list[PastRun]:
    """The runs that led to a folder, first to last: all those of a published update, or the run of the folder itself.

    Raises ValueError if the run has saved nothing yet.
    """
    if not (folder / RUNS).exists():
        return [read_run(folder)]
    curves = pd.read_csv(folder / CURVES)
    return [
        PastRun(
            options_of(DistilOptions, past["options"]), past["steps"], curves[curves.run == name].drop(columns="run")
        )
        for name, past in json.loads((folder / RUNS).read_text()).items()
    ]


def write_past(runs: Sequence[PastRun], folder: Path) -> None:
    """Write what `read_past` reads from a published update. Files are kept by their names alone."""
    named = {f"run {number}": run for number, run in enumerate(runs, start=1)}
    pd.concat([run.curves.assign(run=name) for name, run in named.items()]).to_csv(folder / CURVES, index=False)
    kept = {name: {"steps": run.steps, "options": asdict(run.options)} for name, run in named.items()}
    (folder / RUNS).write_text(json.dumps(kept, indent=2, default=lambda path: path.name) + "\n")


__all__ = ["CURVES", "RUNS", "PastRun", "Run", "read_past", "read_run", "write_past"]
