"""Configuration of a VersatileFFN language model; it holds all sizes."""

import shutil
from pathlib import Path
from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import LlamaConfig

PARTS = {
    "dense": (),
    "k_loop": (),
    "moe": ("width",),
    "width": ("width",),
    "depth": ("depth",),
    "average": ("width", "depth"),
    "versatile": ("width", "depth", "gate"),
}
"""The `ffn` field -> what a layer decides for every token: experts ("width"), loops ("depth"), lambda ("gate")."""

CODE = ("configuration_versatile", "feed_forward", "lambda_gate", "modeling_versatile", "taps", "units")
"""The modules that a saved model takes along: these alone, and no others of this package, are needed to run it."""
AUTO_MAP = {
    "AutoConfig": "configuration_versatile.VersatileFFNConfig",
    "AutoModel": "modeling_versatile.VersatileFFNModel",
    "AutoModelForCausalLM": "modeling_versatile.VersatileFFNForCausalLM",
}


@strict
class VersatileFFNConfig(LlamaConfig):
    """Llama's configuration plus the sizes of the versatile feed-forward layer (arXiv 2512.14531).

    num_experts (int, 8): experts, equal slices of the FFN's hidden units (of other units in "moe"); must divide
        intermediate_size.
    num_experts_per_tok (int, 2): experts each routed token uses (top-k).
    max_loops (int, 4): most passes through the FFN that a token can take; in "k_loop" every token takes so many.
    ffn (str, "versatile"): the layer to build. Baselines: "dense" (the same FFN passed once, the start of training),
        "k_loop", "moe"; ablations: "width", "depth", "average" (both without the gate between them).
    tau (float, None): Gumbel-softmax temperature of the depth head at the end of training; None if unknown. Used only
        in training mode: see `training_tau`.
    gates_trained (bool, False): whether the model's router and depth head were trained.
    output_router_logits (bool, False): whether the model returns the routers' logits and their balance loss.
    router_aux_loss_coef (float, 1e-5): the factor of the balance loss in the loss, the paper's by default; small models
        need more (0.01) or collapse onto few experts.

    Raises huggingface_hub's StrictDataclassError, caused by a ValueError, for sizes that do not fit each other.

    ```python
    config = VersatileFFNConfig(hidden_size=256, intermediate_size=768, num_hidden_layers=6, num_attention_heads=4)
    model = VersatileFFNForCausalLM(config)
    ```
    """

    model_type = "versatile_ffn"

    num_experts: int = 8
    num_experts_per_tok: int = 2
    max_loops: int = 4
    ffn: Literal["dense", "k_loop", "moe", "width", "depth", "average", "versatile"] = "versatile"
    tau: float | None = None
    gates_trained: bool = False
    output_router_logits: bool = False
    router_aux_loss_coef: float = 1e-5

    @property
    def rope_theta(self) -> float:
        """Base of the rotary angles. transformers stores it in `rope_parameters`, and reads it before that is set."""
        if not self.rope_parameters:
            raise AttributeError("rope_parameters is not set yet")
        return self.rope_parameters["rope_theta"]

    @property
    def parts(self) -> frozenset[str]:
        """What the model decides for every token: some of "width", "depth" and "gate"."""
        return frozenset(PARTS[self.ffn])

    @property
    def weights_over_all(self) -> bool:
        """Whether an expert's weight is its probability among all experts; here it is that among the chosen ones."""
        return False

    @property
    def training_tau(self) -> float:
        """The initial temperature in training mode: `tau` or, if that is unknown, the released code's 5."""
        return 5.0 if self.tau is None else self.tau

    def save_pretrained(self, save_directory: str | Path, **kwargs) -> None:
        """Write config.json and, beside it, the model's code, which transformers runs with `trust_remote_code=True`.

        So the folder can be used where this package is not installed. `load_model` never runs that code.
        """
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        for name in CODE:
            path = Path(__file__).with_name(f"{name}.py")
            # Run from another saved model, this file is alone, and transformers writes the code of the model itself.
            if path.is_file() and path.parent.resolve() != Path(save_directory).resolve():
                shutil.copyfile(path, Path(save_directory) / path.name)
        own, self.auto_map = vars(self).pop("auto_map", None), dict(AUTO_MAP)
        try:
            super().save_pretrained(save_directory, **kwargs)
        finally:
            del self.auto_map
            if own is not None:
                self.auto_map = own

    def validate_architecture(self) -> None:
        """Called by transformers on construction."""
        super().validate_architecture()
        if self.num_experts < 1:
            raise ValueError(f"num_experts must be at least 1, got {self.num_experts}")
        if self.intermediate_size % self.num_experts:
            raise ValueError(
                f"intermediate_size must be a multiple of num_experts so that the slices cover the FFN, "
                f"got {self.intermediate_size} and {self.num_experts}"
            )
        if not 1 <= self.num_experts_per_tok <= self.num_experts:
            raise ValueError(
                f"num_experts_per_tok must be 1..num_experts, got {self.num_experts_per_tok} of {self.num_experts}"
            )
        if self.max_loops < 1:
            raise ValueError(f"max_loops must be at least 1, got {self.max_loops}")


__all__ = ["AUTO_MAP", "CODE", "PARTS", "VersatileFFNConfig"]
