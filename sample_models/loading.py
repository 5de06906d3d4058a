"""`load_model`: a name, a folder or `hf:org/name` -> a `LoadedModel` that has checked itself; all else is refused.

Nothing is loaded half: names and shapes of all tensors are compared with the configuration before any is read. Opening
a stranger's model runs none of their code: safetensors are read and, in checkpoints of the authors' trainer, `model.pt`
with torch's reader for tensors alone. The network is used for `hf:` alone.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.id_tokenizer import IdTokenizer
from sample_models.intermediate_checkpoints import IntermediateCheckpoint, intermediate_checkpoints
from sample_models.model_folders import HUB, check_tensors, is_hub_id, model_folder, read_config, read_tokenizer
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.olmo import read_olmo
from sample_models.registry import DEFAULT_MODEL, is_olmo
from sample_models.self_check import check_model
from sample_models.weight_files import weight_files

PARTS = {
    "embed_tokens": "token embeddings",
    "lm_head": "output head",
    "self_attn": "attention",
    "router": "router",
    "depth_head": "depth head",
    "norm": "norms",
    "expert": "experts of their own",
    "mlp": "shared FFN",
}
"""Word in a parameter's name -> the part of the model it belongs to; the first word found counts."""


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model with its tokenizer, and the facts that are shown wherever its figures are."""

    model: VersatileFFNForCausalLM
    tokenizer: PreTrainedTokenizerBase
    name: str
    folder: Path | None = None
    """Where it was loaded from; None for a model that came from no folder."""
    file_digest: str | None = None
    """SHA-256 of the weight files as they were when loaded; None for a model that came from no file."""

    @cached_property
    def weights_sha256(self) -> str:
        """SHA-256 of the weight files or, without files, of the tensors: tells two versions of a model apart."""
        return self.file_digest or tensors_sha256(self.model)

    @property
    def config(self) -> VersatileFFNConfig:
        return self.model.config

    @cached_property
    def parameter_count(self) -> int:
        """All parameters; a tied head counts once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @cached_property
    def heads_parameter_count(self) -> int:
        """Parameters of all routers and depth heads: what VersatileFFN adds to the dense model."""
        heads = (module for path, module in self.model.named_modules() if path.endswith((".router", ".depth_head")))
        return sum(head.weight.numel() for head in heads)

    @cached_property
    def parameter_parts(self) -> dict[str, int]:
        """Where the parameters sit: part of the model -> how many. They sum to `parameter_count`."""
        parts = dict.fromkeys(PARTS.values(), 0)
        for name, parameter in self.model.named_parameters():
            parts[next(part for word, part in PARTS.items() if word in name)] += parameter.numel()
        return {part: count for part, count in parts.items() if count}

    @property
    def reads_ids(self) -> bool:
        """Whether the model came without a tokenizer, so that its texts are token ids, as in "12 7 99"."""
        return isinstance(self.tokenizer, IdTokenizer)

    @property
    def gates_trained(self) -> bool:
        """Whether router and depth head were trained; if not, loops and experts mean nothing yet."""
        return self.config.gates_trained


def load_model(
    source: str | Path = DEFAULT_MODEL,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    step: int | None = None,
) -> LoadedModel:
    """Load a shipped model by name, a model folder, or a model of the Hugging Face hub (`hf:org/name`), in eval mode.

    A folder, also on the hub, is one of Hugging Face's kind, or a checkpoint of the authors' trainer (OLMo) as it is.
    Without a tokenizer beside it the model reads token ids (`LoadedModel.reads_ids`). Only the prefix `hf:` asks the
    hub; its folder is fetched once into the hub's cache. Attention is always torch's scaled_dot_product_attention,
    whatever config.json names. With `step` the model is as it was after that step of its training, if its
    folder kept those weights (`intermediate_checkpoints`).

    Raises ValueError with one sentence that says what was expected, what came and what to do: no such folder, no model
    in it, another kind of model, damaged or unfitting weights, or a model that fails its own check.
    """
    folder = model_folder(source)
    tensors = None
    if step is not None:
        kept = checkpoint_at(folder, step)
        config, files = read_config(folder), [kept.path]
        config.tau, config.gates_trained = kept.tau, config.gates_trained and step > 0
        check_tensors(files, config)
        tensors = load_file(kept.path)
    elif is_olmo(folder):
        weights = read_olmo(folder)
        config, files, tensors = weights.config, weights.files, weights.tensors
    else:
        config, files = read_config(folder), weight_files(folder)
        check_tensors(files, config)
    tokenizer = read_tokenizer(folder, config)
    with no_progress_bar():
        model = VersatileFFNForCausalLM.from_pretrained(
            None if tensors else folder, config=config, state_dict=tensors, dtype=dtype, use_safetensors=True
        )
    model = model.to(device).eval()
    try:
        check_model(model)
    except ValueError as error:
        raise ValueError(f"{folder} was refused: {error}") from error
    name = source.removeprefix(HUB) if is_hub_id(source) else folder.resolve().name
    if step is not None:
        name += f" at step {step}"
    return LoadedModel(model, tokenizer, name, folder, files_sha256(files))


def checkpoint_at(folder: Path, step: int) -> IntermediateCheckpoint:
    """The weights that a model's folder kept of a step; ValueError names the steps that there are."""
    kept = {each.step: each for each in intermediate_checkpoints(folder)}
    if step not in kept:
        there = ", ".join(map(str, kept)) or "none: train with --keep-checkpoints"
        raise ValueError(f"{folder} must have kept the weights of step {step}, it kept those of {there}")
    return kept[step]


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """Keep transformers' loading bars off stderr, where a command's own messages go."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def files_sha256(files: Iterable[Path]) -> str:
    """SHA-256 over the contents of the files, one after the other; for a single file what `sha256sum` prints."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()


def tensors_sha256(model: torch.nn.Module) -> str:
    """SHA-256 over name, type, shape and bytes of every tensor of the model, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
