"""Checks of a trace file that may come from anywhere: names, shapes, sizes, and the ranges of its numbers.

Every trace that this program captures passes. A check raises ValueError with a short reason, which `RoutingTrace.load`
puts into its message.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hooks.sampling import Sampling
from hooks.windows import reading_windows
from sample_models.intervention import Intervention, Sizes

MAX_FILE_MB = 512
MAX_SIZES = {"layer": 256, "token": 2**20, "loop": 64, "expert": 256, "k": 64, "top": 64}
"""Most entries of every axis: far more than any such model has, and few enough that a page can still be drawn, which
holds a row for every pair of experts."""
MAX_TOKEN_CHARACTERS = 1_000
MOST_NOTES = 16
TEXTS = ("model", "weights_sha256", "text", "dtype", "prompt_id", "family")
"""Entries of `meta` that must be text if they are there."""
COUNTS = {"hidden_size": 2**20, "intermediate_size": 2**24, "vocab_size": 2**24, "max_position_embeddings": 2**30}
"""Entries of `meta["config"]` that must be whole numbers from 1 to this if they are there."""
MAX_NUMBER = 1e15
"""Largest logit or other number, by its size: sums and squares of those are still finite."""
PARTS = frozenset({"width", "depth", "gate"})
"""What a VersatileFFN decides for every token: its experts (width), its loops (depth), and lambda (gate)."""
SLACK = 1e-3
"""Tolerance of every exact bound, wide enough for half precision."""


def check_arrays(annotations: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Names, types, axes and sizes of the arrays, against the jaxtyping annotations of the trace's fields."""
    if missing := sorted(annotations.keys() - arrays.keys()):
        raise ValueError(f"it lacks {', '.join(missing)[:60]}")
    if unknown := sorted(arrays.keys() - annotations.keys()):
        raise ValueError(f"it holds {len(unknown)} array(s) that a trace does not have, {ascii(unknown[0])[:40]}")
    sizes: dict[str, tuple[int, str]] = {}
    for name, annotation in annotations.items():
        array, axes = arrays[name], annotation.dim_str.split()
        if array.dtype.name not in annotation.dtypes:
            raise ValueError(f"{name} must not be of type {array.dtype.name}")
        if array.ndim != len(axes):
            raise ValueError(f"{name} must have the axes {' x '.join(axes)}, it has {array.ndim}")
        for axis, size in zip(axes, array.shape, strict=True):
            if not 1 <= size <= MAX_SIZES[axis]:
                raise ValueError(f"the axis {axis} must have 1 to {MAX_SIZES[axis]:,} entries, {name} has {size:,}")
            known, where = sizes.setdefault(axis, (size, name))
            if known != size:
                raise ValueError(f"{name} has {size:,} entries on the axis {axis}, {where} has {known:,}")


def check_lists(tokens: Any, next_tokens: Any, meta: Any) -> None:
    """Types and values of the parts that are not arrays: display strings of tokens and predictions, and `meta`."""
    if not isinstance(tokens, list) or not isinstance(next_tokens, list) or not isinstance(meta, dict):
        raise ValueError("tokens and next_tokens must be lists, meta an object")
    rows = [tokens, *next_tokens]
    if not all(isinstance(row, list) and all(isinstance(token, str) for token in row) for row in rows):
        raise ValueError("tokens and next_tokens must hold strings")
    if not all(len(token) <= MAX_TOKEN_CHARACTERS and token.isprintable() for row in rows for token in row):
        raise ValueError(f"a token is longer than {MAX_TOKEN_CHARACTERS:,} characters or holds invisible ones")
    for name in TEXTS:
        if not isinstance(meta.get(name), str | None):
            raise ValueError(f"{name} must be text")
    config = meta.get("config", {})
    if not isinstance(config, dict):
        raise ValueError("config must be an object")
    for name, most in COUNTS.items():
        if not (name not in config or (type(config[name]) is int and 0 < config[name] <= most)):
            raise ValueError(f"{name} must be a number, whole and from 1 to {most:,}")
    if not isinstance(meta.get("weights_changed", True), bool):
        raise ValueError("weights_changed must be true or false")
    windows = meta.get("windows")
    if "windows" in meta and not (
        isinstance(windows, dict)
        and windows.keys() == {"context", "overlap", "number"}
        and all(type(number) is int for number in windows.values())
        and 0 <= windows["overlap"] < windows["context"]
        and windows["number"] == len(reading_windows(len(tokens), windows["context"], windows["overlap"])) > 1
    ):
        raise ValueError("windows must be the context, overlap and number of windows that fit its tokens")
    parts = meta.get("parts")
    if "parts" in meta and not (isinstance(parts, list) and len({*map(str, parts)} & PARTS) == len(parts)):
        raise ValueError(f"parts must be some of {', '.join(sorted(PARTS))}, each once")
    notes = meta.get("notes", [])
    if not (isinstance(notes, list) and len(notes) <= MOST_NOTES and all(map(_is_note, notes))):
        raise ValueError(f"notes must be up to {MOST_NOTES} sentences of at most {MAX_TOKEN_CHARACTERS:,} characters")
    generated = meta.get("generated")
    if "generated" in meta and not (
        isinstance(generated, dict)
        and type(generated.get("first")) is int
        and 0 < generated["first"] <= len(tokens)
        and isinstance(generated.get("sampling"), list)
        and all(map(_is_sampling, generated["sampling"]))
    ):
        raise ValueError("generated must be the first token that the model wrote, and how it chose its tokens")
    try:
        json.dumps(meta, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("its text holds halves of characters (lone surrogates)") from None


def _is_note(stated: Any) -> bool:
    return isinstance(stated, str) and len(stated) <= MAX_TOKEN_CHARACTERS and stated.isprintable()


def _is_sampling(stated: Any) -> bool:
    """Whether this says from which token on tokens were chosen, and how."""
    try:
        rest = {name: value for name, value in stated.items() if name != "first"}
        Sampling(**rest)
    except (AttributeError, TypeError, ValueError):
        return False
    return type(stated.get("first")) is int


def check_values(arrays: Mapping[str, np.ndarray], next_tokens: list[list[str]], meta: Mapping[str, Any]) -> None:
    """Ranges and sums of the numbers in arrays that have passed `check_arrays`."""
    shape, logprob = arrays["next_ids"].shape, arrays["logprob"]
    num_tokens, max_loops = arrays["loops"].shape[1], arrays["depth_logits"].shape[2]
    num_experts = arrays["expert_logits"].shape[2]
    parts = meta.get("parts", PARTS)
    if "depth" not in parts and max_loops != 1:
        raise ValueError("a model that chooses no loops has one on the axis loop")
    if "width" not in parts and arrays["width_ran"].any():
        raise ValueError("width_ran must be False everywhere in a model that chooses no experts")
    if [len(row) for row in next_tokens] != [shape[1]] * shape[0]:
        raise ValueError("next_tokens must hold one string for each of next_ids")
    for name in ("depth_logits", "gate", "expert_logits", "expert_weights", "next_logprobs", "next_entropy"):
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} holds numbers that are not finite")
        if np.abs(arrays[name]).max() > MAX_NUMBER:
            raise ValueError(f"{name} holds numbers beyond {MAX_NUMBER:g}")
    if not np.isnan(logprob[0]) or not (np.abs(logprob[1:]) <= MAX_NUMBER).all():
        raise ValueError("logprob must be NaN for the first token, and finite for the others")
    most_id = meta.get("config", {}).get("vocab_size", np.inf) - 1
    for name, low, high in (
        ("loops", 1, max_loops),
        ("gate", -SLACK, 1 + SLACK),
        ("expert_ids", 0, num_experts - 1),
        ("expert_weights", -SLACK, 1 + SLACK),
        ("token_ids", 0, most_id),
        ("next_ids", 0, most_id),
        ("next_logprobs", -np.inf, SLACK),
        ("next_entropy", -SLACK, np.inf),
    ):
        values = arrays[name]
        if values.min() < low or values.max() > high:
            bounds = (
                f"at least {low:g}"
                if high == np.inf
                else f"at most {high:g}"
                if low == -np.inf
                else f"{low:g} to {high:g}"
            )
            raise ValueError(f"{name} must be {bounds}, it runs from {values.min():g} to {values.max():g}")
    if num_tokens > 1 and logprob[1:].max() > SLACK:
        raise ValueError("logprob must be at most 0")
    if arrays["expert_ids"].shape[2] > num_experts or (np.diff(np.sort(arrays["expert_ids"]), axis=-1) == 0).any():
        raise ValueError("expert_ids must name different experts for one token")
    if (
        "interventions" not in meta
        and "parts" not in meta
        and np.abs(arrays["expert_weights"].sum(axis=-1) - 1).max() > 10 * SLACK
    ):
        raise ValueError("expert_weights must sum to 1 for every token and layer")


def check_interventions(arrays: Mapping[str, np.ndarray], interventions: Sequence[Intervention]) -> None:
    """Whether interventions fit the sizes of the arrays."""
    layers, tokens, loops = arrays["depth_logits"].shape
    sizes = Sizes(layers, loops, arrays["expert_logits"].shape[2], PARTS, tokens)
    for each in interventions:
        each.check(sizes)


__all__ = ["MAX_FILE_MB", "PARTS", "check_arrays", "check_interventions", "check_lists", "check_values"]
