"""Checkpoints of the authors' trainer (OLMo): `config.yaml` beside `model.safetensors` or `model.pt`.

A checkpoint with the trainer's dense blocks, which compute the same as Llama, is read as a VersatileFFN with untrained
routers and depth heads: the start of continued pre-training.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.olmo_config import OlmoSettings, read_olmo_config
from sample_models.olmo_weights import olmo_weight_files, open_olmo_weights
from sample_models.registry import OLMO_CONFIG
from sample_models.weight_files import first_few

OUTSIDE_BLOCKS = {
    "transformer.wte.weight": "model.embed_tokens.weight",
    "transformer.ln_f.weight": "model.norm.weight",
    "transformer.ff_out.weight": "lm_head.weight",
}
IN_BLOCK = {
    "attn_norm": "input_layernorm",
    "q_proj": "self_attn.q_proj",
    "k_proj": "self_attn.k_proj",
    "v_proj": "self_attn.v_proj",
    "attn_out": "self_attn.o_proj",
    "ff_norm": "mlp.norm",
    "ff_proj": "mlp.up_gate_proj",  # both hold SwiGLU's value in the first half of the rows, its gate in the second
    "ff_out": "mlp.down_proj",
    "expert_gate": "mlp.router",
    "depth_predictor": "mlp.depth_head",
}
"""Name of a weight in the trainer's block -> in our layer. Its fused `att_proj` is split into q, k and v."""

TOP_K = 2
"""Experts of each routed token: a constant of the authors' code that no file contains."""


@dataclass(frozen=True, eq=False)
class ModelWeights:
    """A configuration and its tensors under our names, which may be memory-mapped."""

    config: VersatileFFNConfig
    tensors: dict[str, torch.Tensor]
    files: list[Path]


def read_olmo(folder: Path) -> ModelWeights:
    """Configuration and weights of a checkpoint folder.

    Raises ValueError with one sentence that names the wrong option, tensor or file and what to do.
    """
    settings = read_olmo_config(folder / OLMO_CONFIG)
    files = olmo_weight_files(folder)
    tensors = open_olmo_weights(files)
    path = files[0] if len(files) == 1 else folder
    if settings.n_layers > len(tensors):
        raise ValueError(
            f"{path} holds {len(tensors)} tensors, too few for the n_layers: {settings.n_layers} of {OLMO_CONFIG}: "
            "take both from the same save"
        )
    expected = expected_shapes(settings, tensors)
    check_shapes(path, settings, tensors, expected)
    config = our_config(folder / OLMO_CONFIG, settings, expected)
    ours = our_tensors(tensors, settings)
    if settings.block != "versatile":
        ours |= fresh_gates(config)
    return ModelWeights(config, ours, files)


def block_name(settings: OlmoSettings, layer: int) -> str:
    """The trainer's name of a layer; layers may be stored in groups."""
    if settings.block_group_size == 1:
        return f"transformer.blocks.{layer}"
    group, place = divmod(layer, settings.block_group_size)
    return f"transformer.block_groups.{group}.{place}"


def expected_shapes(settings: OlmoSettings, tensors: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor by config.yaml; sizes that it does not say are taken from `tensors`."""
    d, head = settings.d_model, settings.d_model // settings.n_heads
    kv = settings.n_kv_heads * head
    rows = settings.embedding_size or _rows(tensors, "transformer.wte.weight", settings.vocab_size)
    tied = settings.weight_tying
    if tied is None:
        tied = "transformer.ff_out.weight" not in tensors
    block: dict[str, tuple[int, ...]] = {"attn_norm": (d,), "ff_norm": (d,), "attn_out": (d, d)}
    block |= {"ff_proj": (settings.mlp_hidden_size, d), "ff_out": (d, settings.mlp_hidden_size // 2)}
    if settings.block == "llama":
        block |= {"q_proj": (d, d), "k_proj": (kv, d), "v_proj": (kv, d)}
    else:
        block |= {"att_proj": (d + 2 * kv, d)}
    if settings.block == "versatile":
        first = block_name(settings, 0)
        block["expert_gate"] = (_rows(tensors, f"{first}.expert_gate.weight", 8), d)
        block["depth_predictor"] = (_rows(tensors, f"{first}.depth_predictor.weight", 4), d)
    shapes: dict[str, tuple[int, ...]] = {"transformer.wte.weight": (rows, d), "transformer.ln_f.weight": (d,)}
    if not tied:
        shapes["transformer.ff_out.weight"] = (rows, d)
    for layer in range(settings.n_layers):
        name = block_name(settings, layer)
        shapes |= {f"{name}.{part}.weight": shape for part, shape in block.items()}
    return shapes


def check_shapes(
    path: Path,
    settings: OlmoSettings,
    tensors: dict[str, torch.Tensor],
    expected: dict[str, tuple[int, ...]],
) -> None:
    """ValueError if the tensors of a checkpoint are not exactly those of config.yaml."""
    remedy = "take config.yaml and weights from the same save"
    for name in sorted(expected.keys() & tensors.keys()):
        claimed, found = expected[name], tuple(tensors[name].shape)
        if claimed == found:
            continue
        source = "config.yaml"
        if name.endswith((".ff_proj.weight", ".ff_out.weight")) and name not in OUTSIDE_BLOCKS:
            source, hidden = f"config.yaml ({settings.mlp_claim})", found[0] if "ff_proj" in name else 2 * found[-1]
            remedy = f"if the weights are the right ones, set mlp_hidden_size: {hidden} there"
        raise ValueError(f"{name} in {path} has shape {found}, but {source} claims {claimed}: {remedy}")
    if missing := sorted(expected.keys() - tensors.keys()):
        if all(".expert_gate." in name or ".depth_predictor." in name for name in missing):
            remedy = "a dense checkpoint must say so, by block_type: sequential in config.yaml"
        raise ValueError(
            f"{path} lacks {len(missing)} tensor(s) that config.yaml claims, {first_few(missing)}: {remedy}"
        )
    if unexpected := sorted(tensors.keys() - expected.keys()):
        raise ValueError(
            f"{path} holds {len(unexpected)} tensor(s) that have no place in the model of config.yaml, "
            f"{first_few(unexpected)}: {remedy}"
        )


def our_config(path: Path, settings: OlmoSettings, expected: dict[str, tuple[int, ...]]) -> VersatileFFNConfig:
    """Our configuration of the same model. Its vocabulary is the padded one, whose logits the trainer computes too."""
    rows = expected["transformer.wte.weight"][0]
    first = block_name(settings, 0)
    sizes: dict[str, int] = {}
    if settings.block == "versatile":
        sizes["num_experts"] = expected[f"{first}.expert_gate.weight"][0]
        sizes["num_experts_per_tok"] = TOP_K
        sizes["max_loops"] = expected[f"{first}.depth_predictor.weight"][0]
    try:
        return VersatileFFNConfig(
            vocab_size=rows,
            hidden_size=settings.d_model,
            intermediate_size=settings.mlp_hidden_size // 2,
            num_hidden_layers=settings.n_layers,
            num_attention_heads=settings.n_heads,
            num_key_value_heads=settings.n_kv_heads,
            rope_theta=settings.rope_theta,
            rms_norm_eps=settings.layer_norm_eps,
            max_position_embeddings=settings.max_sequence_length,
            tie_word_embeddings="transformer.ff_out.weight" not in expected,
            bos_token_id=None,
            eos_token_id=_inside(settings.eos_token_id, rows),
            pad_token_id=_inside(settings.pad_token_id, rows),
            gates_trained=settings.block == "versatile",
            architectures=["VersatileFFNForCausalLM"],
            **sizes,
        )
    except StrictDataclassError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[-1].strip()
        raise ValueError(f"{path} claims a model that cannot be: {reason}") from error


def our_tensors(tensors: dict[str, torch.Tensor], settings: OlmoSettings) -> dict[str, torch.Tensor]:
    """The checkpoint's tensors, or their gradients, under our names, as views."""
    kv = settings.n_kv_heads * (settings.d_model // settings.n_heads)
    ours = {OUTSIDE_BLOCKS[name]: tensor for name, tensor in tensors.items() if name in OUTSIDE_BLOCKS}
    for layer in range(settings.n_layers):
        prefix = block_name(settings, layer) + "."
        for part, our_name in IN_BLOCK.items():
            if (tensor := tensors.get(f"{prefix}{part}.weight")) is not None:
                ours[f"model.layers.{layer}.{our_name}.weight"] = tensor
        if (fused := tensors.get(f"{prefix}att_proj.weight")) is not None:
            for letter, rows in zip("qkv", fused.split([settings.d_model, kv, kv]), strict=True):
                ours[f"model.layers.{layer}.self_attn.{letter}_proj.weight"] = rows
    return ours


def fresh_gates(config: VersatileFFNConfig) -> dict[str, torch.Tensor]:
    """Untrained routers and depth heads: small normal weights from a fixed seed."""
    generator = torch.Generator().manual_seed(0)
    gates: dict[str, torch.Tensor] = {}
    for layer in range(config.num_hidden_layers):
        for name, rows in (("router", config.num_experts), ("depth_head", config.max_loops)):
            weight = torch.randn(rows, config.hidden_size, generator=generator) * config.initializer_range
            gates[f"model.layers.{layer}.mlp.{name}.weight"] = weight
    return gates


def _rows(tensors: dict[str, torch.Tensor], name: str, default: int) -> int:
    tensor = tensors.get(name)
    return tensor.shape[0] if tensor is not None and tensor.ndim == 2 and tensor.shape[0] else default


def _inside(token_id: int | None, size: int) -> int | None:
    """A token id, or None if there is no such token."""
    return token_id if token_id is not None and token_id < size else None
