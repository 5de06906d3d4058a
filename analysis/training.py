"""Training curves of a model, as `sample_models.publish` keeps them beside it in curves.csv."""

import io

import pandas as pd

QUANTITIES = {
    "loss": "Loss, nats per token",
    "load_balance": "Load balance (1 is even)",
    "depth_entropy": "Entropy of the mean depth choice, nats",
    "tau": "Gumbel temperature τ",
    "lr": "Learning rate",
}
"""Columns that can be drawn, and what they are; `held_out` is drawn with `loss`."""

NEEDED = ["run", "step", "tokens", "loss"]


def read_curves(content: bytes) -> pd.DataFrame:
    """Rows of a curves.csv with all columns of `QUANTITIES` and held_out, NaN where there is none.

    Adds `all_tokens`: training tokens since the first run began; runs follow each other in the order of the file.

    Raises ValueError with one sentence if it is no such table.
    """
    try:
        table = pd.read_csv(io.BytesIO(content))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"curves.csv is no table ({str(error).strip()}): publish the model again") from error
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


__all__ = ["QUANTITIES", "read_curves"]
