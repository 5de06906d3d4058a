"""What the folder of a run of `sample_models.distil` tells about it afterwards."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from sample_models.distil.options import DistilOptions
from sample_models.run_options import read_settings


@dataclass(frozen=True)
class Run:
    """A run of `sample_models.distil` as its folder tells it."""

    folder: Path
    options: DistilOptions
    steps: int
    """Steps that were done when its state was saved last."""
    trained: dict[str, torch.Tensor]
    """What it had trained by then, in bfloat16."""

    @property
    def curves(self) -> pd.DataFrame:
        """Rows of stage 2 of its log, with `held_out`, the mean loss over the kinds of text."""
        log = pd.read_csv(self.folder / "log.csv")
        log = log[(log.step > self.options.layer_steps) & (log.step <= self.steps)]
        held_out = log.filter(like="held_out_").mean(axis=1)
        kept = ["step", "tokens", "loss", "kl", "load_balance", "depth_entropy", "loops"]
        return log[kept].assign(held_out=held_out.round(4))


def read_run(folder: Path) -> Run:
    """The run in a folder. Raises ValueError if it has saved nothing yet."""
    if not (folder / "state.pt").exists():
        raise ValueError(f"{folder} has saved nothing yet: let it train for a few minutes")
    state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
    trained = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in state["trained"].items()}
    return Run(folder, read_settings(DistilOptions, folder / "settings.json"), state["step"], trained)


__all__ = ["Run", "read_run"]
