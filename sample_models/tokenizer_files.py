"""The tokenizer of a model folder: tried in a process of its own, read, and held to the model's embeddings."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.foreign import MAX_CONFIG_MB, MAX_NAMES_MB, brief, is_file, read_json, told_as
from sample_models.id_tokenizer import IdTokenizer
from sample_models.recipes import built_roots
from sample_models.registry import CHECKPOINTS, MODEL_TYPE, model_type_of

OTHER_TOKENIZERS = ("tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "tokenizer_config.json")
"""Files of tokenizers in other formats than tokenizer.json."""
BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
"""JSON that transformers reads beside tokenizer.json."""
CHAT_TEMPLATE, MORE_TEMPLATES = "chat_template.jinja", "additional_chat_templates"
"""File and folder of chat templates, which transformers reads beside tokenizer.json."""
CLOCK_S = 60
"""Seconds by the clock for the trial of a tokenizer."""
TRIAL = (sys.executable, "-m", f"{__package__}.tokenizer_trial")
TEXT = "Once upon a time there were 12 foxes.\n"

log = logging.getLogger(__name__)


def read_tokenizer(folder: Path, config: VersatileFFNConfig) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder, or an `IdTokenizer` if there is none.

    Raises ValueError with one sentence for a tokenizer that cannot be read or run, and for ids that the model has no
    embeddings for. Ids between the tokens that belong to none are fine.
    """
    path = folder / "tokenizer.json"
    if not os.path.lexists(path):
        if other := [name for name in OTHER_TOKENIZERS if os.path.lexists(folder / name)]:
            raise ValueError(
                f"{folder} holds a tokenizer of another format ({other[0]}): expected tokenizer.json there, save it "
                "with the tokenizer's save_pretrained"
            )
        return IdTokenizer(config.vocab_size)
    if not is_own(folder):
        try_tokenizer(path, f"the tokenizer in {folder}")
        for name in BESIDE:
            if os.path.lexists(folder / name):
                read_json(folder / name, max_mb=MAX_NAMES_MB)
        for path in (folder / CHAT_TEMPLATE, *(folder / MORE_TEMPLATES).glob("*.jinja")):
            if os.path.lexists(path) and not (is_file(path) and path.stat().st_size <= MAX_CONFIG_MB * 2**20):
                raise ValueError(f"{path} must be a file of at most {MAX_CONFIG_MB} MB: remove it or copy it again")
    known = {"config": config} if model_type_of(folder / "config.json") == MODEL_TYPE else {}
    with told_as(f"the tokenizer in {folder} cannot be read", "copy or save it again"):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **known)
    return fitting(tokenizer, f"the tokenizer in {folder}", config.vocab_size)


def read_tokenizer_file(path: Path, config: VersatileFFNConfig) -> PreTrainedTokenizerBase:
    """The tokenizer in a tokenizer.json without a folder of its own. Errors as in `read_tokenizer`."""
    try_tokenizer(path, f"the tokenizer {path}")
    with told_as(f"the tokenizer {path} cannot be read", "copy or save it again"):
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(path))
    return fitting(tokenizer, f"the tokenizer {path}", config.vocab_size)


def is_own(folder: Path) -> bool:
    """Whether a folder ships with the explorer or was built by it from pinned files."""
    return folder.resolve().parent in [root.resolve() for root in (CHECKPOINTS, *built_roots())]


def try_tokenizer(path: Path, name: str) -> None:
    """Let a process of its own read a tokenizer.json and run it. ValueError with one sentence if that goes wrong."""
    if not is_file(path):
        raise ValueError(f"{name} must be a file, got a folder, a pipe or a device: copy or save it again")
    command = [*TRIAL, os.path.abspath(path)]
    try:
        ended = subprocess.run(
            command, cwd=Path(__file__).parents[1], stdin=subprocess.DEVNULL, capture_output=True, timeout=CLOCK_S
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"{name} takes too long for ordinary texts: give another tokenizer") from None
    if ended.returncode:
        said = ended.stderr.decode(errors="replace")[-500:]
        log.warning("the trial of %s ended with %d: %s", path, ended.returncode, said)
        raise ValueError(f"{name} takes too much time or memory for ordinary texts, or crashes: give another tokenizer")
    if refused := json.loads(ended.stdout).get("refused"):
        raise ValueError(f"{name} cannot be read ({brief(refused)}): copy or save it again")


def fitting(tokenizer: PreTrainedTokenizerBase, name: str, vocab_size: int) -> PreTrainedTokenizerBase:
    """The tokenizer, if the model has an embedding for each of its ids, and it runs; else ValueError."""
    if not tokenizer.is_fast:
        raise ValueError(f"{name} is of another kind than tokenizer.json describes: save it with save_pretrained")
    if len(tokenizer) > vocab_size:
        raise ValueError(
            f"{name} must have at most vocab_size = {vocab_size} tokens, got {len(tokenizer)}: take tokenizer and "
            "model from the same save"
        )
    with told_as(f"{name} cannot be run", "copy or save it again"):
        ids = [*tokenizer.get_vocab().values(), *tokenizer(TEXT)["input_ids"]]
    if (largest := max(ids, default=0)) >= vocab_size:
        raise ValueError(
            f"{name} must have ids below vocab_size = {vocab_size}, got {largest}: take tokenizer and model from the "
            "same save"
        )
    return tokenizer


__all__ = ["read_tokenizer", "read_tokenizer_file"]
