"""What a run of `python -m sample_models.distil` is asked for: every option, said once."""

from dataclasses import dataclass
from pathlib import Path

import torch

from sample_models.run_options import option


@dataclass(frozen=True, kw_only=True)
class DistilOptions:
    """The options of a distillation. Raises ValueError for those that do not fit each other."""

    dense: Path = option(help="folder of a dense model of the Llama family, or a GGUF file of one", fixed=True)
    data: tuple[Path, ...] = option(help="training text files", fixed=True)
    valid: tuple[Path, ...] = option(help="held-out text files", fixed=True)
    out: Path = option(help="folder of the run")
    data_weights: tuple[float, ...] = option(
        (), "how often to draw from each training file, relative to the others (default: equally)", fixed=True
    )
    init: Path | None = option(None, "update file of another run to start from", fixed=True)
    refit_depth: bool = option(
        False, "with --init: refit the depth heads to the loops that come closest to the dense model", fixed=True
    )
    rank: int = option(32, "rank of the updates of the FFN's matrices; 0 trains them whole", fixed=True)
    attention_rank: int = option(
        0, "rank of the updates of attention's matrices; 0 leaves attention as it is", fixed=True
    )
    train_only: str = option(
        "", "train only tensors whose name has this in it, such as layers.29.mlp.router (default: all)", fixed=True
    )
    layer_steps: int = option(60, "steps of stage 1, layer by layer", fixed=True)
    steps: int = option(2000, "steps of stage 2, end to end", fixed=True)
    batch: int = option(4, "windows per step", fixed=True)
    context: int = option(256, "tokens per window", fixed=True)
    learning_rate: float = option(1e-3, "peak", fixed=True)
    loop_shares: tuple[float, ...] = option(
        (0.2, 0.5, 0.2, 0.1), "shares of 1, 2, ... loops that the depth heads start with", fixed=True
    )
    steady_layers: int = option(
        0,
        "with --refit-depth: layers that get --steady-shares, those where other loops than the usual ones cost most",
        fixed=True,
    )
    steady_shares: tuple[float, ...] = option((), "their shares of 1, 2, ... loops", fixed=True)
    gate_every: int = option(
        4,
        "draw loops with noise, which trains the depth heads, in every so many steps of stage 2; 0: never",
        fixed=True,
    )
    kl: float = option(1.0, "factor of the KL divergence from the teacher", fixed=True)
    cross_entropy: float = option(0.3, "factor of the next-token cross-entropy", fixed=True)
    streams: float = option(0.3, "factor of the error of the residual stream after each layer", fixed=True)
    loop_cost: float = option(0.0, "factor of the mean loops of a token and layer", fixed=True)
    load_balance: float = option(0.01, "factor of the load-balancing loss", fixed=True)
    router_z: float = option(0.0, "factor of the router z-loss", fixed=True)
    depth_entropy: float = option(
        0.02, "factor of the entropy of the mean depth choice, which training raises", fixed=True
    )
    seed: int = option(0, "seed of the windows and of the noise", fixed=True)
    device: str = option("cuda" if torch.cuda.is_available() else "cpu", "where to train")
    bf16: bool = option(True, "autocast to bfloat16")
    compile: bool = option(True, "torch.compile the losses over the vocabulary")
    stop_after: int | None = option(None, "steps to do in this call; the same command continues from there")
    log_every: int = option(10, "steps")
    valid_every: int = option(200, "steps; a multiple of --log-every")
    valid_windows: int = option(6, "held-out documents of each file, of which the first tokens are read")
    save_every_s: float = option(180, "seconds between saved states")
    keep_checkpoints: int = option(
        0,
        "weights to keep along the run, first to last: 2 or more, each as large as the model",
        fixed=True,
        metavar="N",
    )

    def __post_init__(self) -> None:
        if self.data_weights and len(self.data_weights) != len(self.data):
            raise ValueError(
                f"--data-weights must be as many as --data, {len(self.data)}, got {len(self.data_weights)}"
            )
        if min(self.loop_shares) <= 0:
            raise ValueError(f"--loop-shares must all be above 0, got {self.loop_shares}")
        if self.keep_checkpoints < 0 or self.keep_checkpoints == 1:
            raise ValueError(f"--keep-checkpoints must be 0 or at least 2, got {self.keep_checkpoints}")
        if self.refit_depth and not self.init:
            raise ValueError("--refit-depth needs --init, the update of a run that is to go on")
        if self.steady_layers and not self.refit_depth:
            raise ValueError("--steady-layers needs --refit-depth")
        if bool(self.steady_layers) != bool(self.steady_shares):
            raise ValueError("--steady-layers and --steady-shares need each other")
        if self.steady_shares and (len(self.steady_shares) != len(self.loop_shares) or min(self.steady_shares) <= 0):
            raise ValueError(
                f"--steady-shares must be {len(self.loop_shares)} numbers above 0, as --loop-shares, got "
                f"{self.steady_shares}"
            )

    @property
    def tokens_per_step(self) -> int:
        """Training tokens of one step."""
        return self.batch * self.context


__all__ = ["DistilOptions"]
