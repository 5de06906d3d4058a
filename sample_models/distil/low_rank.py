"""What is trained of a distilled model: low-rank updates of matrices, and all norms, routers and depth heads."""

import torch
from torch import nn
from torch.nn import functional as F

from sample_models.modeling_versatile import VersatileFFNForCausalLM


class LowRankLinear(nn.Module):
    """A frozen matrix W and a trained update of it: g (x W^T + (x A^T) B^T), with a gain g for each output.

    B starts at zero and g at one, so that nothing changes. The gain is what no update of low rank can do: a layer whose
    paths are mixed must write more, or less, in every unit than the dense one did.
    """

    def __init__(self, base: nn.Linear, rank: int):
        super().__init__()
        self.weight = nn.Parameter(base.weight.detach(), requires_grad=False)  # [out, in]
        self.lora_A = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)  # [rank, in]
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))  # [out, rank]
        self.gain = nn.Parameter(torch.ones(base.out_features))  # [out]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.linear(x, self.weight) + F.linear(F.linear(x, self.lora_A), self.lora_B)
        return y * self.gain.to(y.dtype)


class ExactLinear(nn.Linear):
    """A head that chooses: never in half precision, where neighbouring logits are one number."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(x.float(), self.weight.float())


def make_trainable(model: VersatileFFNForCausalLM, rank: int, attention_rank: int = 0) -> None:
    """Freeze all but norms, routers and depth heads, and give the FFN's matrices updates of `rank`.

    Rank 0 trains these matrices whole. The matrices of attention get updates of `attention_rank`; 0 leaves them frozen.
    A dense model has neither router nor depth head.
    """
    model.requires_grad_(False)
    for name, module in list(model.named_modules()):
        if name.endswith("norm"):
            module.weight.requires_grad_(True)
    for layer in model.model.layers:
        for name in ("router", "depth_head") if model.config.ffn != "dense" else ():
            head = getattr(layer.mlp, name)
            exact = ExactLinear(head.in_features, head.out_features, bias=False)
            exact.weight = nn.Parameter(head.weight.detach())
            setattr(layer.mlp, name, exact)
        for name in ("up_gate_proj", "down_proj"):
            if rank:
                setattr(layer.mlp, name, LowRankLinear(getattr(layer.mlp, name), rank))
            else:
                getattr(layer.mlp, name).weight.requires_grad_(True)
        if attention_rank:
            for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
                setattr(layer.self_attn, name, LowRankLinear(getattr(layer.self_attn, name), attention_rank))


def trained_tensors(model: VersatileFFNForCausalLM) -> dict[str, torch.Tensor]:
    """Name -> trained tensor; the update of a matrix is its `lora_A`, `lora_B` and `gain`."""
    return {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}


def grown(trained: dict[str, torch.Tensor], like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What another run trained, in the shapes of this run's fresh tensors `like`: the same model at the same or a
    higher rank.

    Rows of B that are new stay zero and new gains one, so that the model is the same; so do the updates of matrices
    that had none. Raises ValueError for an update of another model or of a higher rank.
    """
    result = {}
    for name, fresh in like.items():
        given = trained.get(name)
        if given is None and name.endswith((".gain", ".lora_A", ".lora_B")):
            result[name] = fresh.clone()
        elif given is None or any(a > b for a, b in zip(given.shape, fresh.shape, strict=True)):
            break
        elif given.shape == fresh.shape:
            result[name] = given.to(fresh.dtype)
        elif name.endswith(".lora_A") and given.shape[1] == fresh.shape[1]:
            result[name] = torch.cat([given.to(fresh), fresh[len(given) :]])
        elif name.endswith(".lora_B") and given.shape[0] == fresh.shape[0]:
            result[name] = torch.cat([given.to(fresh), fresh[:, given.shape[1] :]], dim=1)
    if result.keys() != like.keys() or trained.keys() - like.keys():
        raise ValueError(
            "the update holds other tensors than this run trains: give the same dense model, and the same --rank or "
            "a higher one"
        )
    return result


def merged_tensors(base: dict[str, torch.Tensor], trained: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of the distilled model: those of `base`, replaced or updated by the trained ones, in float32."""
    merged = dict(base)
    for name, tensor in trained.items():
        if name.endswith(".lora_B"):
            matrix = name.removesuffix(".lora_B")
            update = tensor.float() @ trained[f"{matrix}.lora_A"].float()
            updated = base[f"{matrix}.weight"].float() + update
            gain = trained.get(f"{matrix}.gain")
            merged[f"{matrix}.weight"] = updated if gain is None else gain.float()[:, None] * updated
        elif not name.endswith((".lora_A", ".gain")):
            merged[name] = tensor.float()
    return merged


__all__ = ["ExactLinear", "LowRankLinear", "grown", "make_trainable", "merged_tensors", "trained_tensors"]
