"""Knock-outs of one text: what its loss becomes without an expert, without all of a layer, and with other numbers of
experts, beside as many experts drawn at random.

All are changes of the loss in nats, above 0 where the model predicts worse; means are over the tokens of the text that
have a loss. One text has no interval: its tokens depend on each other.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from hooks.knock_out_trace import PATHS, KnockOutTrace, Path, pair_experts

IN_PATH: dict[Path, str] = {"width": "width path", "depth": "depth path", "both": "both paths"}
"""A path in words."""


def mean_change(found: KnockOutTrace, values: np.ndarray) -> np.ndarray:
    """Mean of `values` [..., token] over the counted tokens; NaN where they were not measured."""
    counted = values[..., found.counted]
    return counted.astype(float).mean(axis=-1) if counted.shape[-1] else np.full(values.shape[:-1], np.nan)


def lost(found: KnockOutTrace, path: Path) -> np.ndarray:
    """Tokens [layer, expert] that lose something by a drop in a path: those that had the expert, or all in the loops.

    In both paths, all lose the slice in their loops, and those that had the expert more.
    """
    return found.had if path == "width" else np.full_like(found.had, found.routing.num_tokens)


def knock_out_table(found: KnockOutTrace) -> pd.DataFrame:
    """One row per path x layer x expert, and one per path x layer for all experts of the layer (expert missing).

    Columns: path, layer, expert, had (tokens whose width path had the expert), lost (tokens that lose something),
    tokens (those that count in a mean), change, control (its mean over `draws` draws) and beyond (change - control).
    NaN where nothing was measured, as where no token had the expert.
    """
    layers, experts = found.had.shape
    tokens, rows = int(found.counted.sum()), []
    for number, path in enumerate(PATHS):
        change, control = (mean_change(found, each[number]) for each in (found.change, found.control))
        layer, expert = (axis.ravel() for axis in np.indices((layers, experts)))
        of_cells = {"path": path, "layer": layer, "expert": expert, "had": found.had.ravel()}
        of_cells |= {"lost": lost(found, path).ravel(), "tokens": tokens, "draws": found.draws}
        of_cells |= {"change": change.ravel(), "control": control.ravel(), "beyond": (change - control).ravel()}
        of_all = {"path": path, "layer": np.arange(layers), "tokens": tokens}
        of_all |= {"change": mean_change(found, found.whole[number])}
        rows += [pd.DataFrame(of_cells), pd.DataFrame(of_all)]
    table = pd.concat(rows, ignore_index=True)
    return table.astype({name: "Int64" for name in ("expert", "had", "lost", "draws")})


def top_k_table(found: KnockOutTrace) -> pd.DataFrame:
    """One row per number of experts k and layer in which it was forced (missing: in all): k, layer, tokens, change."""
    change = mean_change(found, found.top_k)
    setting, k = (axis.ravel() for axis in np.indices(change.shape))
    layer = pd.array(setting, dtype="Int64")
    layer[setting == found.routing.num_layers] = pd.NA
    tokens = int(found.counted.sum())
    return pd.DataFrame({"layer": layer, "k": k + 1, "tokens": tokens, "change": change.ravel()})


def pair_table(found: KnockOutTrace) -> pd.DataFrame:
    """One row per layer x pair of experts dropped from the width path: layer, first, second, change, alone, more.

    `alone` is the sum of what each costs alone, and `more` is change - alone: above 0, each hides the loss of the
    other. An expert that no token had costs nothing.
    """
    pairs = np.array(pair_experts(found.routing.num_experts)).reshape(-1, 2)
    change = mean_change(found, found.pairs)
    single = np.where(found.had == 0, 0.0, mean_change(found, found.change[0]))
    layer, pair = (axis.ravel() for axis in np.indices(change.shape))
    first, second = pairs[pair].T if len(pairs) else np.zeros((2, 0), int)
    alone = single[layer, first] + single[layer, second]
    columns = {"layer": layer, "first": first, "second": second, "tokens": int(found.counted.sum())}
    return pd.DataFrame(columns | {"change": change.ravel(), "alone": alone, "more": change.ravel() - alone})


# One token -----------------------------------------------------------------------------------------------------------


def token_change(found: KnockOutTrace, path: Path, token: int) -> Float[np.ndarray, "layer expert"]:
    """Change of the loss of the token after `token`, which the model predicts there; all NaN for the last token."""
    number = PATHS.index(path)
    if token + 1 >= found.routing.num_tokens:
        return np.full(found.had.shape, np.nan)
    return found.change[number, ..., token + 1].astype(float)


def token_table(found: KnockOutTrace) -> pd.DataFrame:
    """One row per path x layer x expert x token: change and control of the loss of the token after `token`, which the
    model predicts there. Tokens without a next one, and cells that were not measured, are left out."""
    change, control = found.change[..., 1:], found.control[..., 1:]
    path, layer, expert, token = np.nonzero(np.isfinite(change))
    at = (path, layer, expert, token)
    columns = {"path": np.array(PATHS)[path], "layer": layer, "expert": expert, "token": token}
    tokens = np.array(found.routing.tokens, dtype=object)
    columns |= {"text": tokens[token], "next": tokens[token + 1], "change": change[at], "control": control[at]}
    return pd.DataFrame(columns)


@dataclass(frozen=True)
class Carrier:
    """The expert whose loss makes a prediction worst."""

    layer: int
    expert: int
    change: float
    control: float
    """Of as many experts drawn at random."""


def carrier(found: KnockOutTrace, path: Path, token: int) -> Carrier | None:
    """The expert without which the model predicts the token after `token` worst; None if nothing was measured there."""
    change = token_change(found, path, token)
    return _largest(change, found.control[PATHS.index(path), ..., min(token + 1, found.routing.num_tokens - 1)])


def largest(found: KnockOutTrace, path: Path) -> Carrier | None:
    """The expert without which the loss of the text rises most; None if nothing was measured in this path."""
    number = PATHS.index(path)
    return _largest(mean_change(found, found.change[number]), mean_change(found, found.control[number]))


def _largest(change: np.ndarray, control: np.ndarray) -> Carrier | None:
    if not np.isfinite(change).any():
        return None
    at = np.unravel_index(np.nanargmax(change), change.shape)
    return Carrier(int(at[0]), int(at[1]), float(change[at]), float(control[at]))


def above_control(found: KnockOutTrace, path: Path) -> tuple[int, int]:
    """How many experts cost more than as many drawn at random, and of how many with both numbers."""
    number = PATHS.index(path)
    beyond = mean_change(found, found.change[number]) - mean_change(found, found.control[number])
    known = beyond[np.isfinite(beyond)]
    return int((known > 0).sum()), len(known)


__all__ = [
    "IN_PATH", "Carrier", "above_control", "carrier", "knock_out_table", "largest", "lost", "mean_change",
    "pair_table", "token_change", "token_table", "top_k_table",
]  # fmt: skip
