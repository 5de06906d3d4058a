"""Reads `config.yaml` of the authors' trainer (OLMo), and refuses options of other architectures by name.

A missing option has the trainer's default, except where the weights show its value (biases, a tied head, learned
positions, the number of embeddings).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from sample_models.foreign import brief, is_file

MAX_BYTES = 1 << 20
"""Largest file that is parsed."""

BLOCKS = {"versatile": "versatile", "versatilevffn": "versatile", "sequential": "sequential", "llama": "llama"}
"""`block_type` -> block: two spellings of the versatile block, and the trainer's two dense blocks."""

FAMILY: dict[str, tuple[Any, tuple]] = {
    "activation_type": ("swiglu", ("swiglu",)),
    "alibi": (False, (False,)),
    "attention_layer_norm": (False, (False,)),
    "bias_for_layer_norm": (None, (False, None)),
    "clip_qkv": (None, (None,)),
    "embedding_layer_norm": (False, (False,)),
    "include_bias": (False, (False,)),  # the trainer's default is true, but the weights show the value
    "layer_norm_type": ("default", ("rms",)),
    "layer_norm_with_affine": (True, (True,)),
    "norm_after": (False, (False,)),
    "rope": (True, (True,)),  # the trainer's default is false, but the weights show the value
    "scale_logits": (False, (False,)),
}
"""Option -> its value if it is missing, and the values that this project supports."""

WITHOUT_EFFECT = frozenset(
    ["alibi_bias_max", "attention_dropout", "attention_layer_norm_with_affine", "emb_init_std", "embedding_dropout"]
    + ["flash_attention", "init_cutoff_factor", "init_device", "init_fn", "init_std", "precision", "residual_dropout"]
    + ["rope_full_precision", "scale_emb_init"]
)
"""Options that do not change what a trained model computes in float32: initialisation, training, speed."""

SIZES = frozenset(
    ["block_group_size", "block_type", "d_model", "embedding_size", "eos_token_id", "layer_norm_eps"]
    + ["max_sequence_length", "mlp_hidden_size", "mlp_ratio", "multi_query_attention", "n_heads", "n_kv_heads"]
    + ["n_layers", "pad_token_id", "rope_theta", "vocab_size", "weight_tying"]
)


@dataclass(frozen=True)
class OlmoSettings:
    """The settings in a config.yaml, under the trainer's names."""

    block: Literal["versatile", "sequential", "llama"]
    d_model: int
    n_heads: int
    n_kv_heads: int
    n_layers: int
    block_group_size: int
    mlp_hidden_size: int
    """Rows of `ff_proj`: both SwiGLU halves, 2 * d_ff."""
    mlp_claim: str
    """How config.yaml gives `mlp_hidden_size`, for messages."""
    vocab_size: int
    embedding_size: int | None
    """Rows of the embedding, at least vocab_size; None: see the weights."""
    weight_tying: bool | None
    """Whether embedding and head are one; None: see the weights."""
    rope_theta: float
    layer_norm_eps: float
    max_sequence_length: int
    eos_token_id: int | None
    pad_token_id: int | None


class PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader without aliases and merge keys, with which a few lines stand for gigabytes.

    The trainer writes neither.
    """

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "it has an alias (*), which the trainer never writes")
        return super().compose_node(parent, index)

    def flatten_mapping(self, node):
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise yaml.constructor.ConstructorError(
                None, None, "it has a merge key (<<), which the trainer never writes"
            )


def read_olmo_config(path: Path) -> OlmoSettings:
    """The settings under `model:` of a config.yaml.

    Raises ValueError with one sentence for a missing section, an unsupported option (by name), a value that is no
    number, or sizes that do not fit each other.
    """
    fields = model_section(path)
    check_family(path, fields)
    block = BLOCKS[fields.get("block_type", "sequential")]
    d_model, n_heads = _count(path, fields, "d_model"), _count(path, fields, "n_heads")
    if d_model % n_heads:
        raise ValueError(f"{path}: d_model must be a multiple of n_heads, got {d_model} and {n_heads}: correct it")
    n_layers, group = _count(path, fields, "n_layers"), _count(path, fields, "block_group_size", 1)
    if n_layers % group:
        raise ValueError(
            f"{path}: n_layers must be a multiple of block_group_size, got {n_layers} and {group}: correct it"
        )
    hidden, claim = _mlp_hidden_size(path, fields, d_model)
    vocab_size = _count(path, fields, "vocab_size")
    has_embedding_size = fields.get("embedding_size") is not None
    embedding_size = _count(path, fields, "embedding_size") if has_embedding_size else None
    if has_embedding_size and embedding_size < vocab_size:
        raise ValueError(
            f"{path}: embedding_size must be at least vocab_size, got {embedding_size} and {vocab_size}: correct it"
        )
    if "embedding_size" in fields and not has_embedding_size:
        embedding_size = vocab_size
    return OlmoSettings(
        block=block,
        d_model=d_model,
        n_heads=n_heads,
        n_kv_heads=_kv_heads(path, fields, n_heads),
        n_layers=n_layers,
        block_group_size=group,
        mlp_hidden_size=hidden,
        mlp_claim=claim,
        vocab_size=vocab_size,
        embedding_size=embedding_size,
        weight_tying=_flag(path, fields, "weight_tying"),
        rope_theta=_number(path, fields, "rope_theta", 10000.0),
        layer_norm_eps=_number(path, fields, "layer_norm_eps", 1e-5),
        max_sequence_length=_count(path, fields, "max_sequence_length", 1024),
        eos_token_id=_token_id(fields, "eos_token_id"),
        pad_token_id=_token_id(fields, "pad_token_id"),
    )


def model_section(path: Path) -> dict[str, Any]:
    """The mapping under `model:`."""
    if not is_file(path):
        raise ValueError(f"{path} must be a file, got none, a folder, a pipe or a device: copy or download it again")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} has more than {MAX_BYTES >> 20} MB, too much for a configuration: give another")
    try:
        document = yaml.load(path.read_text(encoding="utf-8-sig"), PlainLoader)
    except Exception as error:  # values like !!int '' make the parser raise anything
        reason = brief(getattr(error, "problem", None) or error)
        raise ValueError(f"{path} is not readable YAML ({reason}): copy or download it again") from error
    section = document.get("model") if isinstance(document, dict) else None
    if not isinstance(section, dict) or not all(isinstance(name, str) for name in section):
        raise ValueError(f"{path} has no section `model:` with model settings: give the trainer's own config.yaml")
    return section


def check_family(path: Path, fields: dict[str, Any]) -> None:
    """ValueError for an option with which the model would compute something else than a VersatileFFN or a Llama."""
    block = fields.get("block_type", "sequential")
    if not isinstance(block, str) or block not in BLOCKS:
        raise ValueError(
            f"{path}: block_type must be one of {', '.join(BLOCKS)}, got {_yaml(block)}: other blocks cannot be shown"
        )
    for name, (absent, allowed) in FAMILY.items():
        value = fields.get(name, absent)
        if value is None and False in allowed:
            value = False
        if not any(value is each or (value == each and type(value) is type(each)) for each in allowed):
            default = "" if name in fields else ", which the trainer uses if none is given"
            raise ValueError(
                f"{path}: {name} must be {_yaml(allowed[0])} in a model of the VersatileFFN family, got {_yaml(value)}"
                f"{default}: such a model computes something else and cannot be shown; train one without this option"
            )
    for name, value in fields.items():
        if name not in FAMILY and name not in WITHOUT_EFFECT and name not in SIZES and value not in (None, False):
            raise ValueError(
                f"{path}: the option {brief(name, 40)}: {_yaml(value)} is not known, nor is its effect: remove it if "
                "the model was trained without it"
            )


def _mlp_hidden_size(path: Path, fields: dict[str, Any], d_model: int) -> tuple[int, str]:
    """2 * d_ff, and how the file gives it, for messages."""
    if fields.get("mlp_hidden_size") is not None:
        hidden = _count(path, fields, "mlp_hidden_size")
        claim = f"mlp_hidden_size: {hidden}"
    else:
        ratio = _count(path, fields, "mlp_ratio", 4)
        hidden = ratio * d_model
        named = (
            f"mlp_ratio: {ratio}" if fields.get("mlp_ratio") is not None else f"the trainer's default mlp_ratio {ratio}"
        )
        claim = f"{named} times d_model {d_model}"
    if hidden % 2:
        raise ValueError(f"{path}: {claim} must be even, it holds both halves of SwiGLU, got {hidden}: correct it")
    return hidden, claim


def _kv_heads(path: Path, fields: dict[str, Any], n_heads: int) -> int:
    """Key/value heads from n_kv_heads or multi_query_attention, which must not contradict each other."""
    multi_query = _flag(path, fields, "multi_query_attention")
    implied = None if multi_query is None else 1 if multi_query else n_heads
    if fields.get("n_kv_heads") is None:
        return implied or n_heads
    n_kv_heads = _count(path, fields, "n_kv_heads")
    if implied not in (None, n_kv_heads):
        raise ValueError(
            f"{path}: multi_query_attention: {_yaml(multi_query)} asks for {implied} key/value heads, n_kv_heads for "
            f"{n_kv_heads}: remove one of them"
        )
    if n_heads % n_kv_heads:
        raise ValueError(
            f"{path}: n_heads must be a multiple of n_kv_heads, got {n_heads} and {n_kv_heads}: correct it"
        )
    return n_kv_heads


def _number(path: Path, fields: dict[str, Any], name: str, default: float | None = None) -> float:
    """A positive number, also as a string: YAML reads 1e-6 as one, the trainer does not."""
    value = fields.get(name)
    value = default if value is None else value
    try:
        number = float("nan") if isinstance(value, bool) or value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not 0 < number < float("inf"):
        raise ValueError(f"{path}: {name} must be a positive number, got {_yaml(value)}: write the number itself")
    return number


def _count(path: Path, fields: dict[str, Any], name: str, default: int | None = None) -> int:
    """A positive whole number."""
    number = _number(path, fields, name, default)
    if number != int(number) or number > 1 << 40:
        raise ValueError(f"{path}: {name} must be a whole number, got {_yaml(fields[name])}: correct it")
    return int(number)


def _flag(path: Path, fields: dict[str, Any], name: str) -> bool | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"{path}: {name} must be true or false, got {_yaml(value)}: correct it")
    return value


def _token_id(fields: dict[str, Any], name: str) -> int | None:
    value = fields.get(name)
    return value if type(value) is int and value >= 0 else None


def _yaml(value: Any) -> str:
    """A value in YAML, shortened if it is long."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return brief(value, 40)
