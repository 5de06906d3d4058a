"""`load_model`: a name, a folder or `hf:org/name` -> a `LoadedModel` that has checked itself; all else is refused.

Nothing is loaded half: names and shapes of all tensors are compared with the configuration before any is read. Opening
a stranger's model runs none of their code: safetensors are read and, in checkpoints of the authors' trainer, `model.pt`
with torch's reader for tensors alone. The network is used for `hf:` alone.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, StrictDataclassError
from safetensors.torch import load_file
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.id_tokenizer import IdTokenizer
from sample_models.kept_checkpoints import KeptCheckpoint, kept_checkpoints
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.olmo import read_olmo
from sample_models.olmo_config import read_olmo_config
from sample_models.olmo_weights import olmo_weight_files
from sample_models.registry import (
    CHECKPOINTS,
    DEFAULT_MODEL,
    MODEL_TYPE,
    OLMO_CONFIG,
    available_models,
    is_olmo,
    model_type_of,
)
from sample_models.self_check import check_model
from sample_models.weight_files import first_few, tensor_shapes, weight_files

HUB = "hf:"
"""Prefix of a hub id. Without it nothing is fetched, so that a mistyped path stays on this machine."""

OTHER_TOKENIZERS = ("tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "tokenizer_config.json")
"""Files that tell of a tokenizer which is not kept in tokenizer.json."""

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
    folder kept those weights (`kept_checkpoints`).

    Raises ValueError with one sentence that says what was expected, what came and what to do: no such folder, no model
    in it, another kind of model, damaged or unfitting weights, or a model that fails its own check.
    """
    folder = model_folder(source)
    tensors = None
    if step is not None:
        kept = kept_at(folder, step)
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


def kept_at(folder: Path, step: int) -> KeptCheckpoint:
    """The weights that a model's folder kept of a step; ValueError names the steps that there are."""
    kept = {each.step: each for each in kept_checkpoints(folder)}
    if step not in kept:
        there = ", ".join(map(str, kept)) or "none: train with --keep-checkpoints"
        raise ValueError(f"{folder} must have kept the weights of step {step}, it kept those of {there}")
    return kept[step]


def model_folder(source: str | Path) -> Path:
    """The folder of a shipped name, of a path, or of `hf:org/name` (fetched, its configuration before its weights)."""
    if is_hub_id(source):
        return fetch(source.removeprefix(HUB))
    if isinstance(source, str) and source == Path(source).name and (CHECKPOINTS / source / "config.json").exists():
        return CHECKPOINTS / source
    if Path(source).is_dir():
        return Path(source)
    if Path(source).exists():
        raise ValueError(f"expected the folder of a model, got the file {source}: give the folder that holds it")
    names = ", ".join(name for name, _ in available_models()) or "none"
    raise ValueError(
        f"no model folder and no shipped model at {source}: give an existing folder, a hub id as {HUB}org/name, or one "
        f"of the shipped names ({names})"
    )


def is_hub_id(source: str | Path) -> bool:
    """Whether a source asks for the hub."""
    return isinstance(source, str) and source.startswith(HUB)


def fetch(name: str) -> Path:
    """The folder of hub model `org/name`, of either kind: its configuration fetched and checked before its weights."""
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name):
        raise ValueError(f"a hub id must read {HUB}org/name, got {HUB}{name}: give organisation and model")
    try:
        folder = Path(snapshot_download(name, allow_patterns=["config.json", OLMO_CONFIG]))
        if (folder / "config.json").exists() or not (folder / OLMO_CONFIG).exists():
            read_config(folder)
            return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"]))
        read_olmo_config(folder / OLMO_CONFIG)
        # By name: beside its model the trainer saves the state of its optimiser, twice as large.
        folder = Path(snapshot_download(name, allow_patterns=["*.json", "model*.safetensors"]))
        return folder if is_olmo(folder) else Path(snapshot_download(name, allow_patterns=["model.pt"]))
    except (OSError, HFValidationError) as error:
        raise ValueError(
            f"{HUB}{name} could not be fetched from the hub ({type(error).__name__}): check the spelling and the "
            "connection, or give a folder"
        ) from error


def read_config(folder: Path) -> VersatileFFNConfig:
    """The configuration of a model folder, refused unless it is a VersatileFFN whose sizes fit each other."""
    path = folder / "config.json"
    if not path.exists():
        if (folder / OLMO_CONFIG).exists():
            olmo_weight_files(folder)
        raise ValueError(
            f"{folder} holds no model: expected config.json there, give a folder written by save_pretrained"
        )
    found = model_type_of(path)
    if found != MODEL_TYPE:
        raise ValueError(
            f"{path} must have model_type {MODEL_TYPE!r}, got {found!r}: only VersatileFFN models can be loaded"
        )
    try:
        config = VersatileFFNConfig.from_pretrained(folder)
    except (StrictDataclassError, TypeError, ValueError) as error:
        reason = str(error.__cause__ or error).strip().splitlines()[-1].strip()
        raise ValueError(f"{path} has a field that does not fit: {reason}") from error
    config._attn_implementation = "sdpa"  # a stranger's file could name a kernel, which is code, to be fetched
    vars(config).pop("transformers_weights", None)  # and it could name weights other than those checked here
    return config


def check_tensors(files: Iterable[Path], config: VersatileFFNConfig) -> None:
    """Compare names and shapes in the files' headers with those that the configuration asks for."""
    found: dict[str, tuple[int, ...]] = {}
    for path in files:
        found |= tensor_shapes(path)
    with torch.device("meta"):
        expected = VersatileFFNForCausalLM(config).state_dict()
    compare_shapes(
        found, {name: tuple(t.shape) for name, t in expected.items()}, path.parent, tied=config.tie_word_embeddings
    )


def compare_shapes(
    found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]], folder: Path, *, tied: bool
) -> None:
    """Refuse the tensors of a folder, name -> shape, if they are not the expected ones; a tied head may be left out."""
    left_out = {"lm_head.weight"} if tied else set()  # save_pretrained leaves it out
    remedy = "take weights and config.json from the same save"
    if missing := sorted(expected.keys() - found.keys() - left_out):
        raise ValueError(f"{folder} lacks {len(missing)} expected tensor(s), {first_few(missing)}: {remedy}")
    if unexpected := sorted(found.keys() - expected.keys()):
        raise ValueError(f"{folder} holds {len(unexpected)} unexpected tensor(s), {first_few(unexpected)}: {remedy}")
    for name, shape in found.items():
        if shape != expected[name]:
            raise ValueError(
                f"{name} in {folder} must have shape {expected[name]} by config.json, got {shape}: {remedy}"
            )


def read_tokenizer(folder: Path, config: VersatileFFNConfig) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder, refused if it can make ids that the model has no embedding for.

    A folder without any gets one for token ids.
    """
    if not (folder / "tokenizer.json").exists():
        if other := [name for name in OTHER_TOKENIZERS if (folder / name).exists()]:
            raise ValueError(
                f"{folder} holds a tokenizer of another format ({other[0]}): expected tokenizer.json there, save it "
                "with the tokenizer's save_pretrained"
            )
        return IdTokenizer(config.vocab_size)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # a damaged file shows as whatever the parser stumbled over
        raise ValueError(f"the tokenizer in {folder} cannot be read ({error!r}): copy or save it again") from error
    if len(tokenizer) > config.vocab_size:
        raise ValueError(
            f"the tokenizer in {folder} must have at most vocab_size = {config.vocab_size} tokens, got "
            f"{len(tokenizer)}: take tokenizer and model from the same save"
        )
    return tokenizer


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
