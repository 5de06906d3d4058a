"""The paper's Fig. 4, Fig. 5, Fig. 6 and Table 2 of a run, as Plotly figures. The clouds are in `paper_clouds`."""

import numpy as np
import plotly.graph_objects as go

from analysis.figures.cells import numbers
from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.template import figure, height_of_rows, note, sentence_figure, swatch
from analysis.palette import THEMES, colour_at, ramp, text_on
from analysis.runs.atlas import Atlas
from analysis.runs.paper import cloud_levels
from analysis.runs.paper_paths import PathCosines
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import how_many, plotly_text, short_label
from analysis.words.numbers import number, significant

HEIGHT = 300
EMPTY = "No token of the run is left by the filter."
MOST_ROWS = 20
"""Words in the bars of a value of λ."""
WORD_LETTERS = 14


def paper_loops_figure(drawn: Atlas, view: View = DEFAULT_VIEW) -> go.Figure:
    """Mean loops of every layer, with the 95% interval over prompts (Fig. 4)."""
    table, c = drawn.table("paper_loops"), THEMES[view.theme]
    if not table["tokens"].any():
        return sentence_figure(view, EMPTY, HEIGHT)
    mean, known = table["mean_loops"].to_numpy(), table["low"].notna().all()
    error = {"visible": False}
    if known:
        up, down = table["high"].to_numpy() - mean, mean - table["low"].to_numpy()
        error = {"array": up, "arrayminus": down, "color": c["depth"], "thickness": 1.5, "width": 4}
    told = [
        f"95% from {number(row.low)} to {number(row.high)}" if known else "too few prompts for an interval"
        for row in table.itertuples()
    ]
    dots = {
        "type": "scatter", "mode": "lines+markers", "x": table["layer"].to_numpy(), "y": mean, "error_y": error,
        "line": {"color": c["depth"], "width": 1.5}, "marker": {"size": 7, "color": c["depth"]}, "text": told,
        "hovertemplate": "layer %{x}<br>mean loops %{y:.3f}<br>%{text}<extra></extra>",
    }  # fmt: skip
    words = "bar: 95% over prompts" if known else "too few prompts for an interval"
    layers = drawn.sizes.num_layers
    return figure(
        view,
        [dots],
        clickable=False,
        height=HEIGHT,
        xaxis={"range": [-0.5, layers - 0.5], "dtick": -(-layers // 16), "title": {"text": "layer of the model"}},
        yaxis={"range": [0.9, drawn.sizes.max_loops + 0.1], "dtick": 1, "showgrid": True, "title": {"text": "loops"}},
        annotations=[note(f"{swatch(c['depth'], 'mean loops', '●')}   {words}")],
    )


def paper_words_figure(drawn: Atlas, view: View = DEFAULT_VIEW) -> go.Figure:
    """The most frequent words at two values of λ, sorted, with count and lift: what the clouds (Fig. 5) are made of."""
    table, levels = drawn.table("paper_words"), cloud_levels(drawn.sizes)
    rows = [_shown(table, level) for level in levels]
    if "gate" not in drawn.sizes.parts or not any(map(len, rows)):
        return sentence_figure(view, EMPTY if "gate" in drawn.sizes.parts else "This model has no gate.", HEIGHT)
    data, notes, axes = [], [], {}
    for place, (level, found) in enumerate(zip(levels, rows, strict=True)):
        suffix, first = str(place + 1) if place else "", place / len(levels)
        end, colour = first + 0.78 / len(levels), level_colour(level, view.theme)
        at = np.arange(len(found))
        data.append(
            {
                "type": "bar", "orientation": "h", "x": found["count"].to_numpy(), "y": at, "width": 0.8,
                "xaxis": f"x{suffix}", "yaxis": f"y{suffix}", "marker": {"color": colour},
                "text": [f"{row.count:,}   ×{number(row.lift)}" for row in found.itertuples()],
                "textposition": "outside", "textfont": {"size": 12, "color": THEMES[view.theme]["muted"]},
                "cliponaxis": False, "customdata": found[["of_word", "of_level"]].to_numpy(),
                "hovertemplate": "%{x:,} of %{customdata[0]:,} cells of this word,<br>of %{customdata[1]:,} cells with "
                "this λ<extra></extra>",
            }
        )  # fmt: skip
        names = [plotly_text(short_label(word, WORD_LETTERS)) for word in found["word"]]
        axes[f"xaxis{suffix}"] = {"domain": [first + 0.1, end], "visible": False, "anchor": f"y{suffix}"}
        axes[f"yaxis{suffix}"] = {
            "range": [MOST_ROWS - 0.5, -0.5], "tickvals": at, "ticktext": names, "anchor": f"x{suffix}",
        }  # fmt: skip
        notes.append(note(f"{swatch(colour, f'λ {significant(level)}')}: count, ×\u00a0lift", x=first + 0.1))
    return figure(
        view,
        data,
        clickable=False,
        height=MOST_ROWS * 19 + 60,
        margin={"l": 16, "r": 16, "t": 30, "b": 10},
        annotations=notes,
        **axes,
    )


def _shown(table, level: float):
    """The most frequent words at a value of λ that are not blank."""
    return table[(table["gate"] == level) & ~table["blank"].astype(bool)].head(MOST_ROWS)


def level_colour(level: float, theme: str) -> str:
    """Blue where the width path has most of the weight, orange where the depth path has it."""
    return THEMES[theme]["width" if level > 0.5 else "depth" if level < 0.5 else "muted"]


def paper_cosine_figure(drawn: PathCosines, view: View = DEFAULT_VIEW, *, of: str = "outputs") -> go.Figure:
    """Mean cosine between both paths by layer and λ (Fig. 6); a stroke where no cell routed."""
    table = drawn.table
    if not table["cells"].any():
        return sentence_figure(view, "No token ran the width path here, so there are no two paths to compare.", HEIGHT)
    c, columns = THEMES[view.theme], table["gate"].drop_duplicates().tolist()
    shape = drawn.sizes.num_layers, len(columns)
    cosine, cells = (table[name].to_numpy().reshape(shape) for name in (of, "cells"))
    names = ["all" if np.isnan(level) else f"λ {significant(level)}" for level in columns]
    colours = ramp(c["change"])
    data = [
        {
            "type": "heatmap", "x": np.arange(shape[1]), "y": np.arange(shape[0]), "z": cosine, "xgap": 1, "ygap": 1,
            "colorscale": colours, "zmin": -1, "zmax": 1, "customdata": cells, "hoverongaps": False,
            "colorbar": {"title": {"text": "cosine"}, "tickvals": [-1, 0, 1], "thickness": 10, "len": 0.9},
            "hovertemplate": "layer %{y}<br>mean cosine %{z:.3f} of %{customdata:,} cells<extra></extra>",
        }
    ]  # fmt: skip
    layer, column = np.nonzero(np.isfinite(cosine))
    known = cosine[layer, column]
    on = np.array([text_on(colour_at(c["change"], (value + 1) / 2)) for value in known])
    data += numbers(column, layer, [number(value) for value in known], on)
    idle_layer, idle = np.nonzero(~np.isfinite(cosine))
    data += numbers(idle, idle_layer, ["–"] * len(idle), np.full(len(idle), c["muted"]))
    return figure(
        view,
        data,
        clickable=False,
        height=height_of_rows(shape[0], HEIGHT),
        xaxis={"range": [-0.5, shape[1] - 0.5], "tickvals": list(range(shape[1])), "ticktext": names},
        yaxis={"range": [-0.5, shape[0] - 0.5], "dtick": -(-shape[0] // 16), "title": {"text": "layer of the model"}},
        annotations=[
            note(
                f"mean over {how_many(drawn.prompts, 'prompt')} ({how_many(drawn.tokens, 'token')}) read again, drawn "
                f"with seed {drawn.seed}   – : no cell routed"
            )
        ],
    )


def paper_cost_figure(drawn: Atlas, view: View = DEFAULT_VIEW) -> go.Figure:
    """Cost of every design by the paper's formula, and the paper's own ratios (Table 2)."""
    table, c = drawn.table("paper_cost"), THEMES[view.theme]
    if not table["tokens"].any():
        return sentence_figure(view, EMPTY, HEIGHT)
    rows = np.arange(len(table))[::-1]
    depth, experts = table["mean_loops"].to_numpy(), (table["passes"] - table["mean_loops"]).to_numpy()
    most = float(np.nanmax([table["passes"].max(), table["paper"].max()]))
    shared = {"type": "bar", "orientation": "h", "y": rows, "width": 0.62}
    data = [
        shared | {
            "x": depth, "base": 0, "marker": {"color": c["depth"]},
            "hovertemplate": "Base × mean loops: %{x:.3f}<extra></extra>",
        },
        shared | {
            "x": experts, "base": depth, "marker": {"color": c["width"]}, "customdata": experts,
            "hovertemplate": "(MoE − Base) × routed share: %{customdata:.3f}<extra></extra>",
        },
        {
            "type": "scatter", "mode": "markers", "x": table["paper"], "y": rows,
            "marker": {"symbol": "diamond-open", "size": 9, "color": c["ink"]},
            "hovertemplate": "in the paper: %{x:.2f} × its dense model<extra></extra>",
        },
        {
            "type": "scatter", "mode": "text", "x": np.full(len(rows), 1.04 * most), "y": rows,
            "textposition": "middle right",
            "text": [f"<b>{number(row.passes)}</b> ({number(row.paper)})" for row in table.itertuples()],
            "textfont": {"size": 12, "color": c["ink"]}, "hoverinfo": "skip", "cliponaxis": False,
        },
    ]  # fmt: skip
    return figure(
        view,
        data,
        clickable=False,
        barmode="overlay",
        height=260,
        margin={"l": 100, "r": 16, "t": 30, "b": 44},
        xaxis={"range": [0, most * 1.35], "showgrid": True, "title": {"text": "dense FFN passes per token and layer"}},
        yaxis={
            "range": [-0.6, len(table) - 0.4], "tickvals": rows,
            "ticktext": [f"<b>{row.design}</b>" if row.counted else row.design for row in table.itertuples()],
        },
        annotations=[
            note(
                f"{swatch(c['depth'], 'Base × mean loops')}   {swatch(c['width'], '(MoE − Base) × routed share')}   "
                f"{swatch(c['ink'], '(): in the paper', '◇')}"
            )
        ],
    )  # fmt: skip


LOOPS = FigureSpec(
    name="paper_loops",
    title="Mean loops of every layer (the paper's Fig. 4)",
    how_to_read=(
        "Each dot is the mean number of loops that ran in a layer, over all tokens that count. The bar is the 95% "
        "interval of that mean for other prompts like these."
    ),
    details=(
        "The interval leaves out one prompt at a time (jackknife), because tokens of one prompt depend on each other. "
        "With fewer than five prompts there is none. The paper draws the means on ARC-Challenge, without intervals."
    ),
    figure=paper_loops_figure,
    table=lambda drawn: drawn.table("paper_loops"),
    of=Atlas,
    follows=(),
)
WORDS = FigureSpec(
    name="paper_words",
    title="Words at two values of λ, sorted (beside the paper's Fig. 5)",
    how_to_read=(
        "Each bar is a word: in how many cells (a token in a layer) it has this λ. Behind the count stands the lift: "
        "how many times as frequent the word is among cells with this λ as among all. A word is typical of a λ if its "
        "lift is far from 1 and its count is not small; the longest bars are mostly words that are frequent anywhere."
    ),
    details="Tokens that differ only in the space before them are one word. White space and single bytes are left out.",
    figure=paper_words_figure,
    table=lambda drawn: drawn.table("paper_words"),
    of=Atlas,
    follows=(),
)
COSINE = FigureSpec(
    name="paper_cosine",
    title="Do both paths have the same output? (the paper's Fig. 6)",
    how_to_read=(
        "Each cell is the mean cosine between the outputs of the width path and the depth path, over the tokens that "
        "have this λ in this layer. A dash is where no token routed: with λ = 0 the width path does not run."
    ),
    details=(
        "A run does not hold the outputs of the paths, so a sample of its prompts was read again. Both outputs contain "
        "the state before the layer's FFN, which makes them alike; “writes” compares what each path adds to it."
    ),
    figure=paper_cosine_figure,
    table=lambda drawn: drawn.table,
    choice=Choice("of", {"outputs": "Outputs", "writes": "Writes"}, "What is compared"),
    of=PathCosines,
    follows=(),
)
COST = FigureSpec(
    name="paper_cost",
    title="Cost by the paper's formula (its Table 2)",
    how_to_read=(
        "Each bar is a design's cost in passes of a token through one dense FFN, by the paper's formula: Base × mean "
        "loops + (MoE − Base) × routed share, with Base = 1 and MoE − Base = k / N. Mean loops and routed share of "
        "VersatileFFN are counted in the run; those of the other designs follow from what they are. A diamond, "
        "and the number in brackets, is the ratio to the dense model in the paper."
    ),
    details=(
        "The formula is nominal: it leaves out router, depth head and attention, and is not what a kernel executes. "
        "The paper's ratios were measured with its 354M models on its own texts."
    ),
    figure=paper_cost_figure,
    table=lambda drawn: drawn.table("paper_cost"),
    of=Atlas,
    follows=(),
)
PAPER_FIGURES = (LOOPS, WORDS, COST)
"""Of a run alone; COSINE needs its model too."""

__all__ = [
    "COSINE", "COST", "LOOPS", "PAPER_FIGURES", "WORDS", "level_colour", "paper_cosine_figure", "paper_cost_figure",
    "paper_loops_figure", "paper_words_figure",
]  # fmt: skip
