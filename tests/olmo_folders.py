"""Writing checkpoint folders of the authors' trainer in all its layouts, with the golden or random weights."""

import base64
import json
import pickle
import shutil
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file, save_file

from tests.golden_weights import GOLDEN, golden

SIZES = dict(d_model=32, n_heads=4, n_layers=2, vocab_size=50, embedding_size=64, mlp_hidden_size=128)


def golden_settings(**changes) -> dict:
    """The model section of the golden config.yaml."""
    return yaml.safe_load((GOLDEN / "tiny" / "config.yaml").read_text())["model"] | changes


def encode(name: str, *, pickled: bool = False, protocol: int = 4) -> str:
    """A name as the trainer's safetensors files hold it."""
    return base64.urlsafe_b64encode(pickle.dumps(((name,), pickled), protocol=protocol)).decode()


def write_olmo(
    folder: Path, tensors: dict[str, torch.Tensor] | None = None, *, kind: str = "encoded", settings: dict | None = None
) -> Path:
    """A checkpoint folder; `kind` is "pt", "encoded" or "plain" (safetensors with encoded or plain names)."""
    tensors = golden("tiny/model_plainkeys") if tensors is None else tensors
    folder.mkdir(parents=True, exist_ok=True)
    document = {"run_name": "test", "seed": 1, "model": settings or golden_settings()}
    (folder / "config.yaml").write_text(yaml.safe_dump(document))
    if kind == "pt":
        torch.save(tensors, folder / "model.pt")
    else:
        named = {encode(name) if kind == "encoded" else name: tensor for name, tensor in tensors.items()}
        save_file(named, folder / "model.safetensors")
    return folder


def in_parts(folder: Path, parts: int = 3) -> Path:
    """Split the folder's model.safetensors into shards with an index."""
    whole = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    weight_map = {name: f"model-{1 + i % parts:05d}-of-{parts:05d}.safetensors" for i, name in enumerate(sorted(whole))}
    for file in set(weight_map.values()):
        save_file({name: whole[name] for name, own in weight_map.items() if own == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def in_hub_cache(cache: Path, name: str, folder: Path) -> None:
    """Put a folder into a hub cache, as if `name` had been downloaded."""
    home = cache / f"models--{name.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder, home / "snapshots" / ("0" * 40))


def with_prefix(tensors: dict, where: str = "outside") -> dict:
    """Names with FSDP's prefix, for a wrapped model ("outside") or wrapped parts."""
    word = "_fsdp_wrapped_module."
    if where == "outside":
        return {word + name: tensor for name, tensor in tensors.items()}
    return {name.replace(".attn_norm", f".{word}attn_norm"): tensor for name, tensor in tensors.items()}


def in_groups(tensors: dict, size: int) -> dict:
    """Names of a checkpoint with block_group_size `size`."""
    renamed = {}
    for name, tensor in tensors.items():
        head, _, rest = name.partition("transformer.blocks.")
        if rest:
            layer, _, part = rest.partition(".")
            name = f"{head}transformer.block_groups.{int(layer) // size}.{int(layer) % size}.{part}"
        renamed[name] = tensor
    return renamed


def random_olmo(block: str, *, kv_heads: int = 4, tied: bool = False, seed: int = 0, **changes) -> tuple[dict, dict]:
    """(tensors, model section) of a random checkpoint with block type `block`."""
    settings = golden_settings(**SIZES, block_type=block, weight_tying=tied, n_kv_heads=kv_heads, mlp_ratio=8) | changes
    generator = torch.Generator().manual_seed(seed)
    d, f, kv = settings["d_model"], settings["mlp_hidden_size"] // 2, kv_heads * 8

    def weight(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * 0.2

    tensors = {"transformer.wte.weight": weight(64, d), "transformer.ln_f.weight": 1 + weight(d)}
    if not tied:
        tensors["transformer.ff_out.weight"] = weight(64, d)
    for layer in range(settings["n_layers"]):
        parts = {"attn_norm": 1 + weight(d), "ff_norm": 1 + weight(d), "attn_out": weight(d, d)}
        parts |= {"ff_proj": weight(2 * f, d), "ff_out": weight(d, f)}
        if block == "llama":
            parts |= {"q_proj": weight(d, d), "k_proj": weight(kv, d), "v_proj": weight(kv, d)}
        else:
            parts["att_proj"] = weight(d + 2 * kv, d)
        if block.startswith("versatile"):
            parts |= {"expert_gate": weight(8, d), "depth_predictor": weight(4, d)}
        tensors |= {f"transformer.blocks.{layer}.{part}.weight": tensor for part, tensor in parts.items()}
    return tensors, settings
