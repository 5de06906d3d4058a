"""`load_model`: loads a model by name, folder or `hf:org/name`, and checks it; everything else is refused.

Names and shapes of all tensors are compared with the configuration before any is read. Loading never runs code from the
model: only safetensors are read and, in checkpoints of the authors' trainer, `model.pt` with torch's tensors-only
reader. Only `hf:` uses the network.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from sample_models.adapter import AdaptedConfig
from sample_models.adapter_families import family_of
from sample_models.adapter_reading import adapt, adapter_of, read_adapted
from sample_models.chat_template import ChatTemplate, read_chat_template
from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.foreign import read_json
from sample_models.id_tokenizer import IdTokenizer
from sample_models.intermediate_checkpoints import IntermediateCheckpoint, intermediate_checkpoints
from sample_models.model_folders import HUB, check_tensors, is_hub_id, model_folder, read_config
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.olmo import read_olmo
from sample_models.registry import default_models, is_olmo, model_type_of
from sample_models.self_check import check_model
from sample_models.tokenizer_files import read_tokenizer
from sample_models.weight_files import read_tensors, weight_files
from sample_models.weight_state import tensors_sha256, weight_marks

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
"""Word in a parameter's name -> the part of the model that it belongs to; the first word that matches counts."""
REST = "the rest"
"""Part of the parameters that no word names."""


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model with its tokenizer, its name and facts about it."""

    model: VersatileFFNForCausalLM | PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    folder: Path | None = None
    """The folder it was loaded from; None if it was not loaded from one."""
    file_digest: str | None = None
    """SHA-256 of the weight files when they were loaded; None if it was not loaded from files."""
    adapted: AdaptedConfig | None = None
    """What a model of another family (`sample_models.adapter`) decides; None for a VersatileFFN."""

    loaded_marks: tuple | None = field(default=None, repr=False)
    """`weight_marks` of the model when it was loaded from the files; None if it was not."""

    def __post_init__(self) -> None:
        if self.file_digest and self.loaded_marks is None:
            object.__setattr__(self, "loaded_marks", weight_marks(self.model))

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the weight files, or of the tensors as they are now if there are no files or the tensors changed.

        It identifies the version of a model.
        """
        return self.weights_now()[0]

    @property
    def weights_changed(self) -> bool:
        """Whether the weights were edited, replaced, moved or given adapters since they were read from files."""
        return self.weights_now()[1]

    def weights_now(self) -> tuple[str, bool]:
        """`weights_sha256` and `weights_changed` at one moment."""
        if self.file_digest and weight_marks(self.model) == self.loaded_marks:
            return self.file_digest, False
        return tensors_sha256(self.model), self.loaded_marks is not None

    @property
    def config(self) -> VersatileFFNConfig | AdaptedConfig:
        return self.adapted or self.model.config

    def unembed(self, stream: torch.Tensor) -> torch.Tensor:
        """Logits [..., vocab] that the model reads from its stream [..., hidden] after a layer."""
        if self.adapted:
            return adapter_of(self.adapted.model_type).unembed(self.model, stream)
        return self.model.lm_head(self.model.model.norm(stream))

    @cached_property
    def parameter_count(self) -> int:
        """All parameters; a tied head counts once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @cached_property
    def heads_parameter_count(self) -> int:
        """Parameters of all routers and depth heads: what VersatileFFN adds to the dense model."""
        if self.adapted:
            return self.parameter_parts.get("routers", 0)
        heads = (module for path, module in self.model.named_modules() if path.endswith((".router", ".depth_head")))
        return sum(head.weight.numel() for head in heads)

    @cached_property
    def parameter_parts(self) -> dict[str, int]:
        """Part of the model -> its number of parameters. They sum to `parameter_count`."""
        words = adapter_of(self.adapted.model_type).parameter_parts if self.adapted else PARTS
        parts = dict.fromkeys([*words.values(), REST], 0)
        for name, parameter in self.model.named_parameters():
            parts[next((part for word, part in words.items() if word in name), REST)] += parameter.numel()
        return {part: count for part, count in parts.items() if count}

    @property
    def reads_ids(self) -> bool:
        """Whether the model came without a tokenizer, so that its texts are token ids, as in "12 7 99"."""
        return isinstance(self.tokenizer, IdTokenizer)

    @property
    def offers_chat(self) -> bool:
        """Whether the model came with a chat template."""
        return bool(getattr(self.tokenizer, "chat_template", None))

    @property
    def chat(self) -> ChatTemplate:
        """The model's chat template; ValueError with one sentence if it has none, or one that cannot be used."""
        if isinstance(self._chat, str):
            raise ValueError(self._chat)
        return self._chat

    def is_chat(self, text: str) -> bool:
        """Whether a text is a user's message in the model's chat template. Never with a template that is refused."""
        return self.offers_chat and isinstance(self._chat, ChatTemplate) and self._chat.is_message(text)

    @cached_property
    def _chat(self) -> ChatTemplate | str:
        """The template, or the sentence why there is none."""
        if not self.offers_chat:
            return f"{self.name} has no chat template: trace the text as it is"
        try:
            return read_chat_template(self.tokenizer, self.name)
        except ValueError as error:
            return str(error)

    @property
    def gates_trained(self) -> bool | None:
        """Whether router and depth head were trained; if not, loops and experts mean nothing yet. None: unknown."""
        return self.config.gates_trained


def load_model(
    source: str | Path | None = None,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    step: int | None = None,
) -> LoadedModel:
    """Load a shipped or built model by name, a model folder, or one of the hub (`hf:org/name`), in eval mode.

    None: the first of `default_models`, the largest that was built on this machine, or the shipped one.
    A folder, also one on the hub, is in Hugging Face format, of a VersatileFFN or of another family
    (`sample_models.adapter`), or a checkpoint of the authors' trainer (OLMo). Without a tokenizer in it the model
    reads token ids (`LoadedModel.reads_ids`). Only the prefix `hf:` uses the hub; the folder is downloaded once into
    the hub's cache, and `hf:org/name@revision` names a branch, tag or commit. Attention is always torch's
    scaled_dot_product_attention, whatever config.json says. `step` loads the intermediate checkpoint after that step of
    the training, if the folder has it (`intermediate_checkpoints`).

    Raises ValueError with one sentence that says what was expected, what was found and what to do: no such folder, no
    model in it, another kind of model, damaged or mismatched weights, or a model that fails `check_model`.
    """
    folder = model_folder(default_models()[0] if source is None else source)
    if family_of(model_type_of(folder / "config.json")):
        return _load_adapted(folder, name_of(source, folder), device, dtype, step)
    if step is not None:
        checkpoint = checkpoint_at(folder, step)
        config, files = read_config(folder), [checkpoint.path]
        config.tau, config.gates_trained = checkpoint.tau, config.gates_trained and step > 0
        check_tensors(files, config)
        tensors = read_tensors(files)
    elif is_olmo(folder):
        weights = read_olmo(folder)
        config, files, tensors = weights.config, weights.files, weights.tensors
    else:
        config, files = read_config(folder), weight_files(folder)
        check_tensors(files, config)
        tensors = read_tensors(files)
    tokenizer = read_tokenizer(folder, config)
    with no_progress_bar():
        # The tensors themselves, not the folder, of which transformers would read more than was checked.
        model = VersatileFFNForCausalLM.from_pretrained(None, config=config, state_dict=tensors, dtype=dtype)
    model = model.to(device).eval()
    try:
        check_model(model)
    except ValueError as error:
        raise ValueError(f"{folder} was refused: {error}") from error
    name = name_of(source, folder)
    if step is not None:
        name += f" at step {step}"
    return LoadedModel(model, tokenizer, name, folder, files_sha256(files))


def name_of(source: str | Path | None, folder: Path) -> str:
    """Name of a model: its id on the hub, or that of its folder."""
    return source.removeprefix(HUB) if is_hub_id(source) else folder.resolve().name


def _load_adapted(folder: Path, name: str, device, dtype: torch.dtype, step: int | None) -> LoadedModel:
    """`load_model` for a model of another family."""
    if step is not None:
        checkpoint_at(folder, step)  # refused, since such a model has kept none
    with no_progress_bar():
        model, files = read_adapted(folder, read_json(folder / "config.json"), dtype)
    model = model.to(device)
    try:
        adapted = adapt(model)
    except ValueError as error:
        raise ValueError(f"{folder} was refused: {error}") from error
    tokenizer = read_tokenizer(folder, model.config)
    return LoadedModel(model, tokenizer, name, folder, files_sha256(files), adapted)


def checkpoint_at(folder: Path, step: int) -> IntermediateCheckpoint:
    """The intermediate checkpoint after a step; ValueError, naming the available steps, if there is none."""
    checkpoints = {checkpoint.step: checkpoint for checkpoint in intermediate_checkpoints(folder)}
    if step not in checkpoints:
        available = ", ".join(map(str, checkpoints)) or "none: train with --keep-checkpoints"
        raise ValueError(f"{folder} must have kept the weights of step {step}, it kept those of {available}")
    return checkpoints[step]


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """Switch off transformers' progress bars, which would mix with a command's messages on stderr."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def files_sha256(files: Iterable[Path]) -> str:
    """SHA-256 of the concatenated files; for a single file the same as `sha256sum`."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()
