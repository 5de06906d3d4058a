"""The options of `python -m sample_models.train`."""

from dataclasses import dataclass
from pathlib import Path

import torch

from sample_models.feed_forward import FFN
from sample_models.run_options import option
from sample_models.train_losses import AuxiliaryWeights


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The options of a training run. Raises ValueError for an invalid number of intermediate checkpoints."""

    data: tuple[Path, ...] = option(help="training text files", fixed=True, in_card="always")
    valid: tuple[Path, ...] = option(help="held-out text files", fixed=True, in_card="always")
    out: Path = option(help="folder of the run", in_card="always")
    init: Path | None = option(None, "folder of a trained model of the same sizes to continue from", fixed=True)
    ffn: str = option("versatile", "kind of FFN", fixed=True, in_card="never", choices=tuple(FFN))
    max_loops: int = option(4, "most loops of a token; with k_loop, the loops of every token", fixed=True)
    hidden_size: int = option(256, "width of the residual stream", fixed=True, in_card="always", inherited=True)
    intermediate_size: int = option(768, "hidden units of the FFN", fixed=True, in_card="always", inherited=True)
    layers: int = option(6, "decoder layers", fixed=True, in_card="always", inherited=True)
    heads: int = option(4, "attention heads", fixed=True, in_card="always", inherited=True)
    context: int = option(512, "tokens per window", fixed=True, in_card="always", inherited=True)
    vocab_size: int = option(4096, "tokens of a new tokenizer", fixed=True, in_card="always", inherited=True)
    embedding_std: float = option(0.5, "standard deviation of fresh embeddings", fixed=True)
    batch: int = option(4, "windows per step", fixed=True, in_card="always", inherited=True)
    steps: int = option(2000, "steps of the whole run", fixed=True, in_card="always")
    stop_after: int | None = option(
        None, "steps to do in this call; the same command continues from there", in_card="never"
    )
    learning_rate: float = option(2e-3, "peak", fixed=True, in_card="always")
    weight_decay: float = option(0.1, "weight decay of matrices", fixed=True, inherited=True)
    load_balance: float = option(
        AuxiliaryWeights.load_balance, "factor of the load-balancing loss", fixed=True, inherited=True
    )
    router_z: float = option(AuxiliaryWeights.router_z, "factor of the router z-loss", fixed=True, inherited=True)
    depth_entropy: float = option(
        AuxiliaryWeights.depth_entropy,
        "factor of the entropy of the mean depth choice, which training raises",
        fixed=True,
    )
    seed: int = option(0, "seed of fresh weights, windows and noise", fixed=True, in_card="always")
    device: str = option("cuda" if torch.cuda.is_available() else "cpu", "where to train", in_card="never")
    bf16: bool = option(True, "autocast to bfloat16", inherited=True)
    compile: bool = option(True, "torch.compile layers", inherited=True)
    log_every: int = option(20, "steps")
    valid_every: int = option(200, "steps; a multiple of --log-every")
    valid_windows: int = option(32, "held-out windows", inherited=True)
    save_every_s: float = option(180, "seconds between checkpoints", in_card="never")
    keep_checkpoints: int = option(
        0, "weights to keep along the run, first to last: 2 or more", fixed=True, metavar="N"
    )

    def __post_init__(self) -> None:
        if self.keep_checkpoints < 0 or self.keep_checkpoints == 1:
            raise ValueError(f"--keep-checkpoints must be 0 or at least 2, got {self.keep_checkpoints}")

    @property
    def auxiliary(self) -> AuxiliaryWeights:
        """Factors of the auxiliary losses."""
        return AuxiliaryWeights(self.load_balance, self.router_z, self.depth_entropy)

    @property
    def tokens_per_step(self) -> int:
        """Training tokens of one step."""
        return self.batch * self.context


__all__ = ["TrainOptions"]
