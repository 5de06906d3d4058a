"""The family of models of the paper's comparison, from the members.csv that `sample_models.family --report` writes."""

import io

import pandas as pd

from analysis.words.numbers import number

NUMBERS = [
    *("seeds", "loss", "lowest", "highest", "minus_dense", "minus_dense_standard_error", "minus_4-loop"),
    *("minus_4-loop_standard_error", "parameters", "mean_loops", "routed_share", "ffn_flops_per_token"),
]
WORDS = ["member", "against_dense", "against_4-loop"]


def read_members(content: bytes) -> pd.DataFrame:
    """Rows of a members.csv, one per member; a difference is NaN where there is nothing to compare with.

    Raises ValueError with one sentence if the content is not such a table.
    """
    try:
        table = pd.read_csv(io.BytesIO(content), dtype=dict.fromkeys(WORDS, str), keep_default_na=False, na_values=[""])
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"members.csv is not a table ({str(error).strip()}): write the report again") from error
    if missing := [name for name in [*WORDS, *NUMBERS] if name not in table]:
        raise ValueError(f"members.csv lacks the column(s) {', '.join(missing)}: write the report again")
    table[NUMBERS] = table[NUMBERS].apply(pd.to_numeric, errors="coerce").astype(float)
    if table.empty or table[["seeds", "loss", "lowest", "highest", "ffn_flops_per_token"]].isna().any(axis=None):
        raise ValueError("members.csv must have seeds, losses and FLOPs in every row: write the report again")
    return table.assign(**table[WORDS].fillna(""))


def family_table(members: pd.DataFrame) -> pd.DataFrame:
    """The table to show, in the words of docs/reproduction.md: losses, differences with their verdicts, and cost."""
    dense = members.loc[members["member"] == "dense", "ffn_flops_per_token"]
    return pd.DataFrame(
        {
            "member": members["member"],
            "seeds": members["seeds"].astype(int),
            "loss": members["loss"],
            "range over seeds": [
                f"{number(low, 3)} to {number(high, 3)}" if seeds > 1 else "one seed"
                for seeds, low, high in zip(members["seeds"], members["lowest"], members["highest"], strict=True)
            ],
            "minus dense": _differences(members, "dense"),
            "minus 4-loop": _differences(members, "4-loop"),
            "mean loops": members["mean_loops"],
            "routed": members["routed_share"],
            "FFN MFLOPs per token": members["ffn_flops_per_token"] / 1e6,
            "x dense": members["ffn_flops_per_token"] / (dense.iloc[0] if len(dense) else float("nan")),
            "parameters": members["parameters"],
        }
    )


def _differences(members: pd.DataFrame, other: str) -> list[str]:
    """'+0.0229 (0.0015) worse': difference, standard error and the report's verdict; empty for the other one itself."""
    columns = (f"minus_{other}", f"minus_{other}_standard_error", f"against_{other}")
    return [
        f"{number(mean, 4, signed=True)} ({number(error, 4)}) {verdict}" if verdict else ""
        for mean, error, verdict in zip(*(members[name] for name in columns), strict=True)
    ]


__all__ = ["family_table", "read_members"]
