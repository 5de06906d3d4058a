"""Conversion of other checkpoints (OLMo, dense Llama) to model folders, and of models to folders that hold their code.

Folders are written completely or not at all.
"""

import glob
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerBase

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.id_tokenizer import IdTokenizer
from sample_models.loading import LoadedModel, load_model
from sample_models.model_folders import HUB, fetch, is_hub_id
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.olmo import ModelWeights, read_olmo
from sample_models.registry import OLMO_CONFIG
from sample_models.tokenizer_files import read_tokenizer, read_tokenizer_file
from sample_models.upcycling import read_dense

Progress = Callable[[str, int, int], None]
"""Called with the current activity, the number of steps done, and the number of all steps."""


LOCK = "being-written"
"""File in a folder that is being written, locked as long as its program runs."""


def silent(what: str, done: int, steps: int) -> None:
    """A `Progress` that does nothing."""


def import_olmo(
    source: str | Path, target: str | Path, *, tokenizer: str | Path | None = None, progress: Progress | None = None
) -> LoadedModel:
    """Write a checkpoint of the authors' trainer (OLMo), a folder or `hf:org/name`, as a Hugging Face folder; load it.

    Versatile blocks keep their trained gates; dense blocks become a VersatileFFN with untrained ones. `target` must be
    missing or empty; it is created only after the new model was loaded and has passed `check_model`. The tokenizer is
    `tokenizer` (a folder or a tokenizer.json), else the one beside the checkpoint; without either the model reads token
    ids. Weights are memory-mapped: peak memory is about that of the model in float32, plus the mapped checkpoint if
    that is in bfloat16.

    Raises ValueError with one sentence if the checkpoint cannot be imported or the target cannot be written.
    """
    source = fetch(str(source).removeprefix(HUB)) if is_hub_id(str(source)) else Path(source)
    if not (source / OLMO_CONFIG).is_file():
        raise ValueError(f"{source} holds no {OLMO_CONFIG}: give a checkpoint folder of the authors' trainer (OLMo)")
    return _write(source, target, read_olmo, tokenizer, progress)


def upcycle(
    source: str | Path, target: str | Path, *, tokenizer: str | Path | None = None, progress: Progress | None = None
) -> LoadedModel:
    """Write a dense Llama folder as a VersatileFFN with the same weights and untrained gates, and load it.

    `target`, `tokenizer`, `progress` and errors as in `import_olmo`.
    """
    return _write(Path(source), target, read_dense, tokenizer, progress)


def save_with_code(source: str | Path, target: str | Path) -> LoadedModel:
    """Write a VersatileFFN with its code and tokenizer as a folder; return the model.

    `trust_remote_code=True` runs that folder where this project is not installed, for example in lm-eval. `source` as
    in `load_model`, `target` and errors as in `import_olmo`.
    """
    target, loaded = _free(target), load_model(source)
    if not isinstance(loaded.model, VersatileFFNForCausalLM):
        raise ValueError(f"{loaded.name} is no VersatileFFN, so transformers has its code: use its folder as it is")
    with _new_folder(target) as folder:
        loaded.model.save_pretrained(folder)
        if not loaded.reads_ids:
            loaded.tokenizer.save_pretrained(folder)
    return loaded


def _write(
    source: Path,
    target: str | Path,
    read: Callable[[Path], ModelWeights],
    tokenizer: str | Path | None,
    progress: Progress | None,
) -> LoadedModel:
    if not source.is_dir():
        raise ValueError(f"{source} is not a folder: give the folder of a checkpoint")
    target = _free(target)
    report = progress or silent
    weights = read(source)
    saved_tokenizer = _tokenizer(source, tokenizer, weights.config)
    with _new_folder(target) as folder:
        save_folder(weights, saved_tokenizer, folder, report)
        del weights  # unmaps its file, which is no longer needed
        report("checking", 0, 1)
        loaded = load_model(folder)
    report("checking", 1, 1)
    return loaded


def _free(target: str | Path) -> Path:
    """The absolute path of a folder to create. Raises ValueError if it is there and not empty."""
    target = Path(os.path.abspath(target))
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} exists and is not empty: give another folder")
    return target


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """An empty folder aside, which becomes `target` at the end of the block, unless that raised an error."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _aside(target) as folder:
            folder.mkdir()
            yield folder
            folder.rename(target)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"cannot write {target} ({getattr(error, 'strerror', None) or error})") from error


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """Where the target is written before it is named: a folder in a hidden one beside it, which goes afterwards.

    Hidden ones of programs that were killed go now: nobody holds their locks any more.
    """
    prefix = f".{target.name}-"
    for left in target.parent.glob(f"{glob.escape(prefix)}*/{LOCK}"):
        with suppress(OSError, Timeout), FileLock(left, timeout=0):
            shutil.rmtree(left.parent)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=prefix) as aside, FileLock(Path(aside) / LOCK):
        yield Path(aside) / target.name


def save_folder(
    weights: ModelWeights, tokenizer: PreTrainedTokenizerBase | None, folder: Path, report: Progress = silent
) -> None:
    """Write all files of a model folder, each tensor in its own dtype. Raises ValueError if one is not finite."""
    dtypes: Counter[torch.dtype] = Counter()
    tensors: dict[str, torch.Tensor] = {}
    for number, (name, tensor) in enumerate(weights.tensors.items()):
        report("reading tensors", number, len(weights.tensors))
        if not torch.stack(tensor.aminmax()).isfinite().all():  # aminmax gives NaN if there is one
            raise ValueError(
                f"{name} of {weights.files[0].parent} holds values that are not finite: the checkpoint is damaged"
            )
        dtypes[tensor.dtype] += tensor.numel()
        tensors[name] = tensor.contiguous()
    report("writing weights", 0, 1)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    weights.config.dtype = dtypes.most_common(1)[0][0]
    weights.config.save_pretrained(folder)
    (folder / "model.safetensors").chmod((folder / "config.json").stat().st_mode)  # safetensors sets mode 600
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)


def _tokenizer(source: Path, named: str | Path | None, config: VersatileFFNConfig) -> PreTrainedTokenizerBase | None:
    """The tokenizer to save: the named one, else the one beside the checkpoint, else None."""
    if named is None:
        tokenizer = read_tokenizer(source, config)
        return None if isinstance(tokenizer, IdTokenizer) else tokenizer
    if Path(named).is_file():
        return read_tokenizer_file(Path(named), config)
    if not Path(named).is_dir():
        raise ValueError(f"no tokenizer at {named}: give a folder that holds tokenizer.json, or that file")
    tokenizer = read_tokenizer(Path(named), config)
    if isinstance(tokenizer, IdTokenizer):
        raise ValueError(f"{named} holds no tokenizer.json: give the folder of a tokenizer, or leave it out")
    return tokenizer


__all__ = ["Progress", "import_olmo", "save_folder", "save_with_code", "silent", "upcycle"]
