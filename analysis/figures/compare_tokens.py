"""Compare: log p of every token in B minus A, and flips beside those in paraphrases."""

import numpy as np
import plotly.graph_objects as go

from analysis.compare.pair import Flips, TracePair, flips, logprob_difference
from analysis.compare.tables import flips_table, token_pair_table
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.joint_map import token_bars
from analysis.figures.selection import band
from analysis.figures.template import drawn_part, figure, note, sentence_figure, swatch, token_axis
from analysis.palette import THEMES
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import how_many, plotly_text
from analysis.words.numbers import percent

HEIGHT, ROWS_PX = 250, 210
FEWEST_NATS = 0.1
SPREAD = 0.16
"""How far the dots of a row stand apart, so that equal ones are seen."""


def compare_logprob_figure(pair: TracePair, view: View = DEFAULT_VIEW) -> go.Figure:
    """log p of each token in B minus A, where it says the same in both."""
    trace, c = pair.a, THEMES[view.theme]
    values = logprob_difference(pair)
    if not np.isfinite(values).any():
        return sentence_figure(view, "No token has a probability in both, so there is no difference.", HEIGHT)
    first, end = view.span(trace.num_tokens)
    most = max(float(np.nanmax(np.abs(values))), FEWEST_NATS) * 1.12
    axis, bottom = token_axis(trace, view)
    parts = ((np.maximum(values, 0), c["change"][-1]), (np.minimum(values, 0), c["change"][0]))
    hover = "log p, B − A: %{y:+.3f} nats"
    legend = f"{swatch(c['change'][-1], 'more likely in B')}   {swatch(c['change'][0], 'less likely')}"
    return figure(
        view,
        [token_bars(trace, view, part, hover, marker={"color": colour}) for part, colour in parts],
        height=HEIGHT + bottom,
        margin={"t": 30, "b": bottom, "l": 52, "r": 16},
        xaxis=axis,
        yaxis={"range": [-most, most], "showgrid": True, "zeroline": True, "zerolinecolor": c["line"]}
        | {"title": {"text": "log p, B − A (nats)"}},
        barmode="relative",
        shapes=[band(view, x="token")] if first <= view.token < end else [],
        annotations=[note(f"{legend}   B: {plotly_text(pair.name_of_b)}{drawn_part(first, end, trace.num_tokens)}")],
    )


def paraphrase_null_figure(pair: TracePair, view: View = DEFAULT_VIEW) -> go.Figure:
    """Share of cells that flipped, in loops and in experts: this pair as a diamond, paraphrases as dots."""
    found = flips(pair)
    if not found.cells:
        why_not = pair.why_no_layers or "No token after the first difference says the same in both: nothing to compare."
        return sentence_figure(view, why_not, ROWS_PX)
    c = THEMES[view.theme]
    rows = {
        1: ("other loops", "loop_share", "loops", "cells"),
        0: ("other experts", "expert_share", "experts", "routed"),
    }
    data = []
    for y, (name, of, count, among) in rows.items():
        dots = [(i, each) for i, each in enumerate(pair.null, start=1) if np.isfinite(getattr(each, of))]
        spread = np.linspace(-SPREAD, SPREAD, len(dots)) if len(dots) > 1 else np.zeros(len(dots))
        hover = [f"paraphrase {i}: {_counted(each, count, among)}" for i, each in dots]
        marker = {"size": 9, "color": c["line"], "opacity": 0.7}
        data.append(_marks([getattr(each, of) for _, each in dots], y + spread, hover, marker, "paraphrases"))
        if np.isfinite(getattr(found, of)):
            hover = [f"this pair: {_counted(found, count, among)}"]
            marker = {"size": 14, "symbol": "diamond", "color": c["ink"]}
            data.append(_marks([getattr(found, of)], [y], hover, marker, f"{name} here"))
    most = max([0.1, *(float(max(each["x"])) for each in data if len(each["x"]))])
    legend = f"{swatch(c['ink'], 'this pair', '◆')}   {_null_told(pair, c)}   B: {plotly_text(pair.name_of_b)}"
    return figure(
        view,
        data,
        clickable=False,
        height=ROWS_PX,
        margin={"t": 34, "b": 44, "l": 104, "r": 24},
        xaxis={
            "range": [-0.02 * most, 1.08 * most],
            "tickformat": ".0%",
            "showgrid": True,
            "title": {"text": "share of the compared cells with another choice"},
        },
        yaxis={"range": [-0.5, 1.5], "tickvals": list(rows), "ticktext": [name for name, *_ in rows.values()]},
        annotations=[note(legend)],
    )


def _marks(x, y, hover: list[str], marker: dict, name: str) -> dict:
    return {
        "type": "scatter", "mode": "markers", "x": np.asarray(x, float), "y": np.asarray(y, float), "text": hover,
        "hovertemplate": "%{text}<extra></extra>", "marker": marker, "name": name, "cliponaxis": False,
    }  # fmt: skip


def _counted(found: Flips, count: str, among: str) -> str:
    part, whole = getattr(found, count), getattr(found, among)
    return f"{part:,} of {whole:,} cells ({percent(part / whole, 1)})"


def _null_told(pair: TracePair, c: dict) -> str:
    if pair.null:
        return swatch(c["line"], how_many(len(pair.null), "pair") + " of paraphrases", "●")
    return "no paraphrases: B is not another text" if pair.what != "text" else "no paraphrase could be traced"


FIGURES = (
    FigureSpec(
        name="compare_logprob",
        title="Which tokens become more or less likely?",
        how_to_read=(
            "Each bar is one token of A: its log-probability in B minus that in A, each given the tokens before it. A "
            "token that is replaced or not aligned has no bar, since there is no second probability of the same word."
        ),
        details=(
            "Where tokenizers differ, the log-probabilities of the pieces of a word are added. The first token has no "
            "probability, and tokens that a tokenizer added are left out."
        ),
        figure=compare_logprob_figure,
        table=token_pair_table,
        of=TracePair,
        follows=(),
        by_token=True,
    ),
    FigureSpec(
        name="paraphrase_null",
        title="Do more choices flip than after rewording?",
        how_to_read=(
            "The filled mark is the share of cells (a token in a layer) that make another choice in B. Each dot is "
            "the same share for a pair of paraphrases, in which one word is replaced by a synonym, read by the same "
            "model. If the mark lies among the dots, B changes no more than rewording does."
        ),
        details=(
            "Tokens count that are the same in both, from the first difference on. Experts count where a token took "
            "the same number of loops and routed in both; another set of experts is a flip, whatever their order and "
            "weights. The paraphrases are twelve short pairs in English, written for this project and read without "
            "interventions. In a longer text many cells lie further from the difference than in a paraphrase, and "
            "twelve pairs are too few for a p value."
        ),
        figure=paraphrase_null_figure,
        table=flips_table,
        of=TracePair,
        follows=(),
    ),
)
