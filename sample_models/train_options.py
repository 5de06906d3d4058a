"""What a run of `python -m sample_models.train` is asked for: every option, said once."""

from dataclasses import dataclass
from pathlib import Path

import torch

from sample_models.feed_forward import FFN
from sample_models.run_options import option
from sample_models.train_losses import AuxiliaryWeights


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The options of a training. Raises ValueError for a number of kept checkpoints that shows no course."""

    data: tuple[Path, ...] = option(help="training text files", shapes=True, told="always")
    valid: tuple[Path, ...] = option(help="held-out text files", shapes=True, told="always")
    out: Path = option(help="folder of the run", told="always")
    init: Path | None = option(None, "folder of a trained model of the same sizes to continue from", shapes=True)
    ffn: str = option("versatile", "kind of FFN", shapes=True, told="never", choices=tuple(FFN))
    max_loops: int = option(4, "most loops of a token; k of k_loop", shapes=True)
    hidden_size: int = option(256, "width of the residual stream", shapes=True, told="always", inherited=True)
    intermediate_size: int = option(768, "hidden units of the FFN", shapes=True, told="always", inherited=True)
    layers: int = option(6, "decoder layers", shapes=True, told="always", inherited=True)
    heads: int = option(4, "attention heads", shapes=True, told="always", inherited=True)
    context: int = option(512, "tokens per window", shapes=True, told="always", inherited=True)
    vocab_size: int = option(4096, "tokens of a new tokenizer", shapes=True, told="always", inherited=True)
    embedding_std: float = option(0.5, "standard deviation of fresh embeddings", shapes=True)
    batch: int = option(4, "windows per step", shapes=True, told="always", inherited=True)
    steps: int = option(2000, "steps of the whole run", shapes=True, told="always")
    stop_after: int | None = option(None, "steps to do in this call; the same command goes on from there", told="never")
    learning_rate: float = option(2e-3, "peak", shapes=True, told="always")
    weight_decay: float = option(0.1, "on matrices", shapes=True, inherited=True)
    load_balance: float = option(
        AuxiliaryWeights.load_balance, "factor of the load-balancing loss", shapes=True, inherited=True
    )
    router_z: float = option(AuxiliaryWeights.router_z, "factor of the router z-loss", shapes=True, inherited=True)
    depth_entropy: float = option(
        AuxiliaryWeights.depth_entropy, "factor of the entropy of the mean depth choice, which is sought", shapes=True
    )
    seed: int = option(0, "of fresh weights, windows and noise", shapes=True, told="always")
    device: str = option("cuda" if torch.cuda.is_available() else "cpu", "where to train", told="never")
    bf16: bool = option(True, "autocast to bfloat16", inherited=True)
    compile: bool = option(True, "torch.compile layers", inherited=True)
    log_every: int = option(20, "steps")
    valid_every: int = option(200, "steps; a multiple of --log-every")
    valid_windows: int = option(32, "held-out windows", inherited=True)
    save_every_s: float = option(180, "seconds between checkpoints", told="never")
    keep_checkpoints: int = option(
        0, "weights to keep along the run, first to last: 2 or more", shapes=True, metavar="N"
    )

    def __post_init__(self) -> None:
        if self.keep_checkpoints < 0 or self.keep_checkpoints == 1:
            raise ValueError(f"--keep-checkpoints must be 0 or at least 2, got {self.keep_checkpoints}")

    @property
    def auxiliary(self) -> AuxiliaryWeights:
        """Factors of the terms beside the cross-entropy."""
        return AuxiliaryWeights(self.load_balance, self.router_z, self.depth_entropy)

    @property
    def tokens_per_step(self) -> int:
        """Training tokens of one step."""
        return self.batch * self.context


__all__ = ["TrainOptions"]
