"""Training of a model: its curves, and how its checkpoints routed one text.

The curves are those of the curves.csv that `sample_models.publish` writes beside a model. Axis `checkpoint`: the kept
checkpoints, first to last.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.aggregate import mean_over_tokens, share
from analysis.difficulty import surprisal
from analysis.experts import choice_counts
from analysis.models.sampling import draw_agreement
from analysis.view import View
from hooks.trace import RoutingTrace
from hooks.training_trace import TrainingTrace

QUANTITIES = {
    "loss": "Loss, nats per token",
    "load_balance": "Load balance (1 is even)",
    "depth_entropy": "Entropy of the mean depth choice, nats",
    "tau": "Gumbel temperature τ",
    "lr": "Learning rate",
}
"""Column that can be drawn -> its name; `held_out` is drawn with `loss`."""

NEEDED = ["run", "step", "tokens", "loss"]


@dataclass(frozen=True, eq=False)
class TrainingCurves:
    """The curves of the runs that made a model."""

    rows: pd.DataFrame
    """A table of `read_curves`."""
    meta: dict[str, Any] = field(default_factory=dict)
    """The model, with keys of a trace's `meta`: model, weights_sha256, gates_trained."""


def curves_table(curves: TrainingCurves) -> pd.DataFrame:
    """One row per logged step of every run, with the columns of `read_curves`."""
    return curves.rows


def read_curves(content: bytes) -> pd.DataFrame:
    """Rows of a curves.csv with all columns of `QUANTITIES` and held_out, NaN where there is none.

    Adds `all_tokens`: training tokens since the first run began; runs follow each other in the order of the file.

    Raises ValueError with one sentence if the content is not such a table.
    """
    try:
        table = pd.read_csv(io.BytesIO(content))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"curves.csv is not a table ({str(error).strip()}): publish the model again") from error
    if missing := [name for name in NEEDED if name not in table]:
        raise ValueError(f"curves.csv lacks the column(s) {', '.join(missing)}: publish the model again")
    numbers = ["step", "tokens", "held_out", *QUANTITIES]
    table = table.reindex(columns=["run", *numbers])
    table[numbers] = table[numbers].apply(pd.to_numeric, errors="coerce").astype(float)
    if table[["tokens", "loss"]].isna().any(axis=None) or table.empty:
        raise ValueError("curves.csv must have a number of tokens and a loss in every row: publish the model again")
    table["run"] = table["run"].astype(str)
    ends = table.groupby("run", sort=False)["tokens"].max().cumsum()
    before = ends.shift(fill_value=0)
    return table.assign(all_tokens=table["tokens"] + table["run"].map(before))


# One text along the training ------------------------------------------------------------------------------------------

DRAWS = 8
"""Draws of Gumbel noise for each checkpoint."""
LOSS, HELD_OUT, LOOPS, GATE, LOAD, AGREEMENT = (
    *("loss of this text", "held-out loss", "mean loops", "mean width share", "share of routed choices"),
    "drawn as picked",
)
"""Names of the quantities of `training_table`."""


def text_loss(training: TrainingTrace) -> Float[np.ndarray, " checkpoint"]:
    """Mean surprisal of the text's own tokens, nats; NaN for a text in which none has one."""
    read = np.stack([surprisal(trace) for trace in training.traces])
    read = read[:, np.isfinite(read).all(axis=0)]
    return read.mean(axis=1) if read.shape[1] else np.full(len(read), np.nan)


def mean_loops(training: TrainingTrace) -> Float[np.ndarray, "checkpoint layer"]:
    """Mean loops over ordinary tokens, 1..max_loops."""
    return _by_layer(training, lambda trace: trace.loops)


def mean_gate(training: TrainingTrace) -> Float[np.ndarray, "checkpoint layer"]:
    """Mean width share lambda over ordinary tokens, 0..1."""
    return _by_layer(training, lambda trace: trace.gate)


def loads(training: TrainingTrace) -> Float[np.ndarray, "checkpoint layer expert"]:
    """Each expert's share of a layer's routed choices; sums to 1, NaN where nobody routed."""
    counts = np.stack([choice_counts(trace).sum(axis=1) for trace in training.traces])
    return share(counts, np.broadcast_to(counts.sum(axis=-1, keepdims=True), counts.shape))


def drawn_as_picked(training: TrainingTrace) -> Float[np.ndarray, "checkpoint layer"]:
    """Share of draws with Gumbel noise that agree with eval's choice of loops, mean over draws and ordinary tokens."""
    return np.stack([draw_agreement(trace, draws=DRAWS).mean(axis=0) for trace in training.traces])


def shown_checkpoint(training: TrainingTrace, view: View) -> int:
    """Index of the checkpoint that a view shows: the one chosen, or the last one."""
    last = len(training.traces) - 1
    return last if view.checkpoint is None else min(view.checkpoint, last)


def training_table(training: TrainingTrace) -> pd.DataFrame:
    """One row per checkpoint x quantity x layer (x expert); layer and expert are empty where the quantity has none.

    Shares of experts have no row where no token routed.
    """
    parts = [
        _rows(training, LOSS, text_loss(training)),
        _rows(training, HELD_OUT, training.held_out),
        _rows(training, LOOPS, mean_loops(training)),
        _rows(training, GATE, mean_gate(training)),
        _rows(training, AGREEMENT, drawn_as_picked(training)),
        _rows(training, LOAD, loads(training)),
    ]
    return pd.concat(parts, ignore_index=True).dropna(subset="value", ignore_index=True)


def checkpoint_table(training: TrainingTrace) -> pd.DataFrame:
    """One row per checkpoint x layer x token: the routing of the text at that step."""
    parts = [
        trace.to_frame().assign(step=step, tau=tau)
        for step, tau, trace in zip(training.step, training.tau, training.traces, strict=True)
    ]
    table = pd.concat(parts, ignore_index=True)
    return table[["step", "tau", *parts[0].columns.drop(["step", "tau"])]]


def _by_layer(training: TrainingTrace, of: Callable[[RoutingTrace], np.ndarray]) -> np.ndarray:
    return np.stack([mean_over_tokens(trace, of(trace)) for trace in training.traces])


def _rows(training: TrainingTrace, quantity: str, values: np.ndarray) -> pd.DataFrame:
    """Rows from values [checkpoint], [checkpoint layer] or [checkpoint layer expert]."""
    checkpoint, *places = (axis.ravel() for axis in np.indices(values.shape))
    places += [None] * (2 - len(places))
    return pd.DataFrame(
        {
            "step": training.step[checkpoint],
            "tokens_seen": training.seen[checkpoint],
            "tau": training.tau[checkpoint],
            "quantity": quantity,
            **{
                name: pd.array([pd.NA] * values.size if place is None else place, dtype="Int64")
                for name, place in zip(("layer", "expert"), places, strict=True)
            },
            "value": values.ravel(),
        }
    )


__all__ = [
    "AGREEMENT", "DRAWS", "GATE", "HELD_OUT", "LOAD", "LOOPS", "LOSS", "QUANTITIES", "TrainingCurves",
    "checkpoint_table", "curves_table", "drawn_as_picked", "loads", "mean_gate", "mean_loops", "read_curves",
    "shown_checkpoint", "text_loss", "training_table",
]  # fmt: skip
