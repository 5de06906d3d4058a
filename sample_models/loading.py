"""`load_model`: a name, a folder or a hub id -> a `LoadedModel` that has checked itself; anything else is refused.

Nothing is loaded half: names and shapes of all tensors are compared with the configuration before any is read, and only
safetensors are read, so that opening a stranger's model runs none of their code.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.modeling_versatile import VersatileFFN, VersatileFFNForCausalLM
from sample_models.registry import CHECKPOINTS, DEFAULT_MODEL, MODEL_TYPE, available_models, model_type_of
from sample_models.self_check import check_model


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model with its tokenizer, and the facts that are shown wherever its figures are."""

    model: VersatileFFNForCausalLM
    tokenizer: PreTrainedTokenizerBase
    name: str
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
        ffns = [module for module in self.model.modules() if isinstance(module, VersatileFFN)]
        return sum(ffn.router.weight.numel() + ffn.depth_head.weight.numel() for ffn in ffns)

    @property
    def gates_trained(self) -> bool:
        """Whether router and depth head were trained; if not, loops and experts mean nothing yet."""
        return self.config.gates_trained


def load_model(
    source: str | Path = DEFAULT_MODEL, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> LoadedModel:
    """Load a shipped model by name, a model folder, or a Hugging Face hub id (`org/name`), in eval mode.

    Raises ValueError with one sentence that says what was expected, what came and what to do: no such folder, no model
    in it, another kind of model, damaged or unfitting weights, no tokenizer, or a model that fails its own check.
    """
    folder = model_folder(source)
    config = read_config(folder)
    files = weight_files(folder)
    check_tensors(files, config)
    tokenizer = read_tokenizer(folder, config)
    with no_progress_bar():
        model = VersatileFFNForCausalLM.from_pretrained(folder, config=config, dtype=dtype, use_safetensors=True)
    model = model.to(device).eval()
    try:
        check_model(model)
    except ValueError as error:
        raise ValueError(f"{folder} was refused: {error}") from error
    name = str(source) if is_hub_id(source) else folder.resolve().name
    return LoadedModel(model, tokenizer, name, files_sha256(files))


def model_folder(source: str | Path) -> Path:
    """The folder of a shipped name, of a path, or of a hub id (fetched first, its configuration before its weights)."""
    if isinstance(source, str) and source == Path(source).name and (CHECKPOINTS / source / "config.json").exists():
        return CHECKPOINTS / source
    if Path(source).is_dir():
        return Path(source)
    if Path(source).exists():
        raise ValueError(f"expected the folder of a model, got the file {source}: give the folder that holds it")
    if not is_hub_id(source):
        names = ", ".join(name for name, _ in available_models()) or "none"
        raise ValueError(
            f"no model folder and no shipped model at {source}: give an existing folder, a hub id org/name, or one of "
            f"the shipped names ({names})"
        )
    try:
        read_config(Path(snapshot_download(str(source), allow_patterns=["config.json"])))
        return Path(snapshot_download(str(source), allow_patterns=["*.json", "*.safetensors"]))
    except OSError as error:
        raise ValueError(
            f"{source} is no existing folder and could not be fetched as a hub id ({type(error).__name__}): check the "
            "spelling and the connection, or give a folder"
        ) from error


def is_hub_id(source: str | Path) -> bool:
    """Whether a source that is no existing path reads `org/name`."""
    return isinstance(source, str) and not Path(source).exists() and bool(re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source))


def read_config(folder: Path) -> VersatileFFNConfig:
    """The configuration of a model folder, refused unless it is a VersatileFFN whose sizes fit each other."""
    path = folder / "config.json"
    if not path.exists():
        if (folder / "config.yaml").exists():
            raise ValueError(
                f"{folder} is a checkpoint of the authors' trainer (config.yaml), whose import is not available yet: "
                "give a Hugging Face folder with config.json"
            )
        raise ValueError(
            f"{folder} holds no model: expected config.json there, give a folder written by save_pretrained"
        )
    found = model_type_of(path)
    if found != MODEL_TYPE:
        raise ValueError(
            f"{path} must have model_type {MODEL_TYPE!r}, got {found!r}: only VersatileFFN models can be loaded"
        )
    try:
        return VersatileFFNConfig.from_pretrained(folder)
    except (StrictDataclassError, TypeError, ValueError) as error:
        reason = str(error.__cause__ or error).strip().splitlines()[-1].strip()
        raise ValueError(f"{path} has a field that does not fit: {reason}") from error


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder: one, or the shards of an index in the order of their names."""
    if (folder / "model.safetensors").exists():
        return [folder / "model.safetensors"]
    if (folder / "model.safetensors.index.json").exists() and (shards := sorted(folder.glob("model-*.safetensors"))):
        return shards
    raise ValueError(
        f"{folder} holds no weights: expected model.safetensors there, save the model with save_pretrained "
        "(pickled .bin or .pt files are not read)"
    )


def check_tensors(files: Iterable[Path], config: VersatileFFNConfig) -> None:
    """Compare names and shapes in the files' headers with those that the configuration asks for."""
    found: dict[str, tuple[int, ...]] = {}
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                found |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"{path} is no whole safetensors file ({error}): copy or download it again") from error
    with torch.device("meta"):
        model = VersatileFFNForCausalLM(config)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()  # save_pretrained leaves it out
    remedy = "take weights and config.json from the same save"
    if missing := sorted(expected.keys() - found.keys() - tied):
        raise ValueError(f"{path.parent} lacks {len(missing)} expected tensor(s), {_some(missing)}: {remedy}")
    if unexpected := sorted(found.keys() - expected.keys()):
        raise ValueError(f"{path.parent} holds {len(unexpected)} unexpected tensor(s), {_some(unexpected)}: {remedy}")
    for name, shape in found.items():
        if shape != expected[name]:
            raise ValueError(
                f"{name} in {path.parent} must have shape {expected[name]} by config.json, got {shape}: {remedy}"
            )


def read_tokenizer(folder: Path, config: VersatileFFNConfig) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder, refused if it can make ids that the model has no embedding for."""
    if not (folder / "tokenizer.json").exists():
        raise ValueError(
            f"{folder} holds no tokenizer: expected tokenizer.json there, save the tokenizer beside the model"
        )
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


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
