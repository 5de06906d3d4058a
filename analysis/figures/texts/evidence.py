"""Marks of evidence on figures of several texts: intervals, what lies beyond chance, and how much was read."""

import pandas as pd

from analysis.figures.template import layer_names, note
from analysis.texts.chance import BEYOND, FEWEST_TEXTS
from analysis.texts.study import Study
from analysis.view import View
from analysis.words.labels import how_many


def whiskers(rows: pd.DataFrame, value: str, colour: str) -> dict:
    """Error bars from `low` to `high` round `value`; none where there is no interval."""
    up, down = rows["high"] - rows[value], rows[value] - rows["low"]
    both = {"type": "data", "symmetric": False, "thickness": 1.3, "width": 0, "color": colour}
    return both | {"array": up.fillna(0).clip(0).to_numpy(), "arrayminus": down.fillna(0).clip(0).to_numpy()}


def filled_beyond_chance(rows: pd.DataFrame, symbol: str, colour: str, paper: str) -> dict:
    """Markers that are filled where the corrected p is below BEYOND and hollow elsewhere."""
    fill = [colour if p < BEYOND else paper for p in rows["p_corrected"]]
    return {"symbol": symbol, "size": 9, "opacity": 1, "color": fill, "line": {"width": 1.4, "color": colour}}


def evidence(study: Study, *, x: float = 0, anchor: str = "left") -> dict:
    """How much was read, or why nothing is said about other texts."""
    text = f"{how_many(study.texts, 'text')}, {how_many(study.tokens, 'token')}"
    if study.texts < FEWEST_TEXTS:
        text += f"; fewer than {FEWEST_TEXTS} texts: no interval, no p"
    return note(text, x=x, anchor=anchor)


def counted(rows: pd.DataFrame) -> str:
    """n of the rows of a table that hold one number per layer: their column `tokens`."""
    least, most = rows["tokens"].min(), rows["tokens"].max()
    return f"n = {least:,}" if least == most else f"n = {least:,} to {most:,} by layer"


def study_layers(study: Study, view: View) -> dict:
    """Axis of layers 0..n-1 of a study, the selected one in bold."""
    return {
        "range": [-0.6, study.num_layers - 0.4],
        **layer_names(study.num_layers, view.layer),
        "title": {"text": "layer"},
        "tickangle": 0,
    }
