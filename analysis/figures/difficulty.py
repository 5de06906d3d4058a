"""Difficulty: the map, its relation to surprisal, and how certain the choice of loops was."""

import numpy as np
import plotly.graph_objects as go

from analysis.aggregate import mean_over_tokens, ordinary
from analysis.difficulty import (
    MAX_SURPRISAL,
    Kind,
    Surprise,
    difficulty,
    difficulty_by_loops,
    difficulty_extremes,
    difficulty_surprisal,
    difficulty_table,
    rank_correlation,
    surprisal,
    token_difficulty,
)
from analysis.figures.cells import hover_card
from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.joint_map import Marginal, Minimap, heatmap, joint_map, layer_bars, scale_bar, token_bars
from analysis.figures.template import figure, note, sentence_figure
from analysis.figures.word_columns import word_columns
from analysis.palette import THEMES, colour_at, faded, ramp
from analysis.texts.chance import FEWEST_TOKENS, rho_by_chance
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import plotly_text, token_labels
from analysis.words.numbers import number
from hooks.trace import RoutingTrace

UNIT_AXIS = {"range": [0, 1], "dtick": 0.5}
FEWEST_FOR_A_RIDGE = 5
EM, EN = "\u2003", "\u2002"  # spaces between a dot and its label


def difficulty_map_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW, *, kind: Kind = "soft") -> go.Figure:
    """Difficulty of every token in every layer, 0..1, with means over layers and over tokens."""
    c = THEMES[view.theme]
    first, end = view.span(trace.num_tokens)
    values = difficulty(trace, kind)
    colours = {"colorscale": ramp(c["difficulty"]), "zmin": 0, "zmax": 1}
    bars = {"marker": {"color": c["difficulty"][3]}}
    scale = scale_bar(view, f"{kind} difficulty", tickvals=[0, 0.5, 1])
    per_token, per_layer = token_difficulty(trace, kind), mean_over_tokens(trace, values)
    if words := word_columns(trace, view):
        values, per_token = words.averaged(values), words.averaged(per_token)
    return joint_map(
        trace,
        view,
        [heatmap(trace, view, values[:, first:end], hover_card(trace, view), **colours) | scale],
        Marginal([token_bars(trace, view, per_token, "mean %{y:.2f}", **bars)], UNIT_AXIS, "mean over layers"),
        Marginal([layer_bars(trace, per_layer, "mean %{x:.2f}", **bars)], UNIT_AXIS, "mean over tokens"),
        Minimap(per_token, colours),
        words,
        f"{kind} difficulty %{{z:.2f}}",
    )


def difficulty_surprisal_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW, *, of: Surprise = "read") -> go.Figure:
    """Soft difficulty of every token against the surprisal of the token read there, or of the next one."""
    x, y = surprisal(trace, of), token_difficulty(trace)
    tokens = np.flatnonzero(ordinary(trace) & np.isfinite(x))
    if not len(tokens):
        return sentence_figure(view, "No token here has a surprisal, because the first token of a text has none.", 330)
    end = max(MAX_SURPRISAL, int(np.ceil(x[tokens].max())))  # texts are compared on one axis, unless one does not fit
    which = {"read": "surprisal of the token read", "next": "surprisal of the next token"}[of]
    return figure(
        view,
        _surprisal_dots(trace, view, tokens, x, y, end),
        height=330,
        margin={"t": 30, "b": 44, "l": 52, "r": 24},
        xaxis={
            "range": [-0.15, end + 0.15],
            "dtick": 1 if end <= 10 else 2,
            "showgrid": True,
            "title": {"text": f"{which}, −log p (nats)"},
        },
        yaxis={
            "range": [-0.02, 1.02],
            "dtick": 0.2,
            "showgrid": True,
            "title": {"text": "soft difficulty, mean over layers"},
        },
        annotations=[
            note(_correlation_heading(trace, of)) | {"font": {"size": 12, "color": THEMES[view.theme]["ink"]}}
        ],
    )


def _surprisal_dots(
    trace: RoutingTrace, view: View, tokens: np.ndarray, x: np.ndarray, y: np.ndarray, end: int
) -> list[dict]:
    """A dot per token, the names of the ones of highest and lowest difficulty, and a ring round the selected one.

    `x` and `y` hold the surprisal and difficulty of all tokens of the text, `tokens` the ones that are drawn; the x
    axis reaches to `end`.
    """
    c = THEMES[view.theme]
    labels = [plotly_text(label) for label in token_labels(trace)]
    many = len(tokens) > 300
    extremes = [] if many else difficulty_extremes(trace, 3)["token"].tolist()
    named = _apart([t for t in (view.token, *extremes) if t in set(tokens.tolist())], x * MAX_SURPRISAL / end, y)
    data = [
        {
            "type": "scatter", "mode": "markers", "x": x[tokens], "y": y[tokens], "cliponaxis": False,
            "customdata": [[int(t), None] for t in tokens], "hovertext": [labels[t] for t in tokens],
            "hovertemplate": "<b>%{hovertext}</b>, token %{customdata[0]}<br>"
            "surprisal %{x:.2f} nats<br>soft difficulty %{y:.2f}<extra></extra>",
            "marker": {"size": 5 if many else 7, "opacity": 0.4 if many else 0.8, "color": c["difficulty"][3]},
        },
        {
            "type": "scatter", "mode": "text", "hoverinfo": "skip", "x": x[named], "y": y[named],
            "text": [f"{EM}<b>{labels[t]}</b>{EM}" if t == view.token else f"{EN}{labels[t]}{EN}" for t in named],
            "textposition": ["middle left" if x[t] > 0.8 * end else "middle right" for t in named],
            "textfont": {"size": 11, "color": [c["ink"] if t == view.token else c["muted"] for t in named]},
            "cliponaxis": False,
        },
    ]  # fmt: skip
    if view.token in named:
        data.append(
            {
                "type": "scatter", "mode": "markers", "hoverinfo": "skip", "cliponaxis": False,
                "x": x[[view.token]], "y": y[[view.token]], "name": "selected",
                "marker": {"size": 13, "symbol": "circle-open", "color": c["ink"], "line": {"width": 2}},
            }
        )  # fmt: skip
    return data


def _correlation_heading(trace: RoutingTrace, of: Surprise) -> str:
    rho, count = rank_correlation(trace, of)
    if not np.isfinite(rho):
        return f"no rank correlation, n = {count}"
    far = rho_by_chance(trace, of)
    chance = f"by chance within ±{number(far)}" if np.isfinite(far) else f"below {FEWEST_TOKENS}: no range of chance"
    return f"Spearman ρ = {number(rho)}, n = {count}   {chance}"


def difficulty_by_loops_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Density of soft difficulty over (token, layer) pairs, a ridge per number of loops, each scaled to its peak."""
    c = THEMES[view.theme]
    counted = ordinary(trace)
    soft, loops = trace.difficulty_soft[:, counted].ravel(), trace.loops[:, counted].ravel()
    data, shapes, notes = [], [], []
    grid = np.linspace(0, 1, 201)
    for loop_count in range(1, trace.max_loops + 1):
        values = soft[loops == loop_count]
        certain = (loop_count - 1) / max(trace.max_loops - 1, 1)
        colour = colour_at(c["difficulty"], 0.15 + 0.65 * certain)
        data += _ridge(values, grid, loop_count, colour, c)
        shapes.append(
            {"type": "line", "x0": certain, "x1": certain, "y0": loop_count, "y1": loop_count + 0.8}
            | {"line": {"width": 1.5, "dash": "dot", "color": c["ink"]}}
        )
        notes.append(
            {"text": f"n = {len(values)}", "xref": "paper", "x": 1, "xanchor": "left", "xshift": 8}
            | {"y": loop_count, "yanchor": "bottom"}
        )
    return figure(
        view,
        data,
        clickable=False,
        height=330,
        margin={"t": 30, "b": 44, "l": 52, "r": 64},
        xaxis={
            "range": [-0.01, 1.01],
            "dtick": 0.2,
            "showgrid": True,
            "title": {"text": f"soft difficulty, (E[L] − 1) / {max(trace.max_loops - 1, 1)}"},
        },
        yaxis={
            "range": [0.9, trace.max_loops + 1],
            "tickvals": list(range(1, trace.max_loops + 1)),
            "title": {"text": "loops that ran"},
        },
        shapes=shapes,
        annotations=[note("┊ dotted: where a choice without any doubt would lie"), *notes],
    )


def _apart(tokens: list[int], x: np.ndarray, y: np.ndarray) -> list[int]:
    """The tokens, in order, without those whose label would overlap an earlier one's."""
    apart: list[int] = []
    for token in tokens:
        if token not in apart and all(abs(x[token] - x[o]) > 1 or abs(y[token] - y[o]) > 0.05 for o in apart):
            apart.append(token)
    return apart


def _ridge(values: np.ndarray, grid: np.ndarray, base: int, colour: str, c: dict) -> list[dict]:
    """Density of `values` on `grid` above `base`; too few values are drawn as ticks."""
    common = {
        "type": "scatter",
        "name": f"{base} loops",
        "line": {"width": 1.2, "color": c["difficulty"][4], "simplify": False},
    }
    if len(values) < FEWEST_FOR_A_RIDGE:
        return [
            common
            | {"mode": "markers", "x": values, "y": np.full(len(values), base + 0.12)}
            | {"marker": {"symbol": "line-ns-open", "size": 12, "color": c["difficulty"][4]}}
            | {"hovertemplate": "soft difficulty %{x:.2f}<extra></extra>"}
        ]
    density = _density(values, grid)
    inside = (grid >= values.min() - 0.005) & (grid <= values.max() + 0.005)
    x, top = grid[inside], base + 0.8 * density[inside] / density[inside].max()
    outline = {"x": np.concatenate([x[:1], x, x[-1:]]), "y": np.concatenate([[base], top, [base]])}
    fill = {"fill": "toself", "fillcolor": faded(colour, 0.9), "mode": "lines"}
    return [common | outline | fill | {"hoverinfo": "skip"}]


def _density(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Gaussian kernel density on an even grid, from a histogram, which is accurate enough here and much faster."""
    step = grid[1] - grid[0]
    counts, _ = np.histogram(values, bins=np.append(grid - step / 2, grid[-1] + step / 2))
    bandwidth = max(0.9 * values.std() * len(values) ** -0.2, 1.5 * step)  # Silverman's rule
    reach = np.arange(-4 * bandwidth, 4 * bandwidth + step / 2, step)
    smooth = np.convolve(counts, np.exp(-0.5 * (reach / bandwidth) ** 2))
    return smooth[len(reach) // 2 : len(reach) // 2 + len(grid)]


FIGURES = (
    FigureSpec(
        name="difficulty_map",
        title="Difficulty of every token in every layer",
        how_to_read=(
            "Each cell is one token in one layer; a stronger colour means a higher difficulty. Difficulty is how "
            "many loops the token gets, scaled from 0 (one loop) to 1 (all loops) so that "
            "texts can be compared. “Hard” takes the loops that ran, “soft” the mean of all numbers of loops "
            "by the probabilities of the depth head, a small linear layer that chooses among them. Difficulty is "
            "what the depth head assigned, not how hard the token is to predict."
        ),
        figure=difficulty_map_figure,
        table=difficulty_table,
        choice=Choice("kind", {"soft": "Soft", "hard": "Hard"}, "Kind of difficulty"),
        follows=(),
    ),
    FigureSpec(
        name="difficulty_surprisal",
        title="Does difficulty go with surprisal?",
        how_to_read=(
            "Each dot is one token: its surprisal under this model (−log p) against its soft difficulty, the "
            "depth that the depth head expects to give it. A rising cloud means that tokens which get more depth "
            "have more surprisal, either their own (token read, already seen by the model) or that of the next "
            "token, which is predicted from there. Rare tokens are surprising anyway."
        ),
        of_versatile="The page Validity shows what is left among equally frequent tokens.",
        details=(
            "For the chance range, the surprisals are shifted along the text by up to half its length; 95% of the "
            "shifts give a ρ within this range. A shift does not keep positions, so a trend along the text alone can "
            "exceed it. The surprisal of the next token is a single draw from what could come next, and the loops "
            "have already changed it."
        ),
        figure=difficulty_surprisal_figure,
        table=difficulty_surprisal,
        choice=Choice("of", {"read": "Token read", "next": "Next token"}, "Surprisal of which token"),
        follows=("token",),
    ),
    FigureSpec(
        name="difficulty_by_loops",
        title="How certain was the choice?",
        how_to_read=(
            "Each hill is the distribution of soft difficulty over the pairs of token and layer in which this "
            "number of loops ran, scaled to its own peak. The dotted line marks where a choice without any doubt "
            "would lie. Far from it the depth head hesitated; near it, it need not have been sure, because "
            "probabilities of more and of fewer loops cancel out."
        ),
        figure=difficulty_by_loops_figure,
        table=difficulty_by_loops,
        follows=(),
    ),
)
