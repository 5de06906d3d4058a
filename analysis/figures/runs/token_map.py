"""The map of a run's tokens, coloured by what the model decided about them in one layer, or by where they are from.

Drawn by WebGL, which is the only way in which Plotly keeps up with 100,000 points. A category has a shape beside its
colour as long as the points are large enough to have one.
"""

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Int

from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.template import figure, note
from analysis.palette import THEMES, expert_colour, loop_colours, mix, ramp
from analysis.runs.choices import DID_NOT_ROUTE
from analysis.runs.map import TokenMap, map_table
from analysis.runs.sampling import MOST_GROUPS, OTHERS, UNKNOWN
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import isolated, plotly_text, short_label
from analysis.words.numbers import number, percent

HEIGHT = 620
MOST_WITH_SHAPES = 20_000
"""More points are dots of few pixels, which have no shape that could be seen."""
LARGE_PX, SMALL_PX, OPACITY = 6, 4, 0.75
SHAPES = ("circle", "square", "diamond", "cross", "x", "triangle-up", "triangle-down", "star")
NO_SHAPE = "circle-open"
LONGEST = 24
"""Letters of a token, and of the name of a category."""
COLUMN = "column:"
"""Before the name of a column of the prompts by which the tokens are coloured."""
COLOURS = {
    "loops": "Loops",
    "experts": "First expert",
    "difficulty": "Soft difficulty",
    "gate": "λ",
    f"{COLUMN}source": "Source",
}
PARTS = {"loops": "depth", "experts": "width", "difficulty": "depth", "gate": "gate"}
ON_SCALE = ("difficulty", "gate")
AXES = {"pca": "principal component {}", "umap": "UMAP {}"}


@dataclass(frozen=True)
class _Category:
    name: str
    colour: str
    rows: np.ndarray
    """Tokens of it, as indices."""
    empty: bool = False
    """Whether it says that there is nothing: its marks are open circles."""


def token_map_figure(
    drawn: TokenMap, view: View = DEFAULT_VIEW, *, colour: str = "loops", layer: int | None = None
) -> go.Figure:
    """A point per token. `colour` is a key of COLOURS, or COLUMN and the name of a column of the prompts. `layer` is
    that of what the model decided, the middle one without it.

    customdata of a point is (place in the sample, prompt, token). Raises ValueError for another layer or column.
    """
    colour = _that_there_is(drawn, colour)
    layer = layer_of(drawn, layer)
    if colour in ON_SCALE:
        data, told = [_scale(drawn, view, colour, layer)], f"{COLOURS[colour]} in layer {layer}"
    else:
        found, told = _categories(drawn, view, colour, layer), plotly_text(_heading(colour, layer))
        data = [_marks(drawn, each, place, told) for place, each in enumerate(found)]
    axis = {"fixedrange": False, "showgrid": True, "nticks": 8}
    title = AXES[drawn.method]
    share = [f" ({percent(each, 1)} of the variance)" for each in drawn.explained] if drawn.explained else ["", ""]
    c = THEMES[view.theme]
    return figure(
        view,
        data,
        clickable=False,
        height=HEIGHT,
        margin={"t": 58, "b": 60, "l": 52, "r": 16},
        xaxis=axis | {"title": {"text": title.format(1) + share[0]}},
        yaxis=axis | {"title": {"text": title.format(2) + share[1]}},
        dragmode="drawclosedpath",
        newshape={"line": {"color": c["ink"], "width": 1.5, "dash": "dot"}, "fillcolor": "rgba(0,0,0,0)"},
        showlegend=colour not in ON_SCALE,
        legend={
            "orientation": "h", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom", "itemsizing": "constant",
            "title": {"text": f"{told}  "}, "font": {"color": c["ink"]},
        },
        annotations=[note(_told(drawn), x=1, y=0, anchor="right") | {"yanchor": "top", "yshift": -44}],
    )  # fmt: skip


def layer_of(drawn: TokenMap, layer: int | None) -> int:
    """The layer by which a map is coloured. Raises ValueError for one that the model has not."""
    layers = drawn.sample.sizes.num_layers
    if layer is not None and not 0 <= layer < layers:
        raise ValueError(f"the layer must be from 0 to {layers - 1}, got {layer}")
    return layers // 2 if layer is None else layer


def colours_of(drawn: TokenMap) -> dict[str, str]:
    """What a map can be coloured by -> its label."""
    had = {key: label for key, label in COLOURS.items() if PARTS.get(key) in (None, *drawn.sample.sizes.parts)}
    return had | {f"{COLUMN}{name}": name for name in drawn.sample.groups if name != "source"}


def category_of(drawn: TokenMap, colour: str, layer: int | None) -> Int[np.ndarray, " token"]:
    """The place of every token's category in the legend, from 0; 0 where the colour is on a scale."""
    colour, place = _that_there_is(drawn, colour), np.zeros(len(drawn.points), int)
    if colour not in ON_SCALE:
        for number, category in enumerate(_categories(drawn, DEFAULT_VIEW, colour, layer_of(drawn, layer))):
            place[category.rows] = number
    return place


def _that_there_is(drawn: TokenMap, colour: str) -> str:
    """`colour`, or the first that there is if the model decides nothing of the kind."""
    offered = colours_of(drawn)
    if colour not in offered and colour not in COLOURS:
        raise ValueError(f"a map of this run is coloured by one of {', '.join(offered)}, got {colour}")
    return colour if colour in offered else next(iter(offered))


def _heading(colour: str, layer: int) -> str:
    name = COLOURS.get(colour) or colour.removeprefix(COLUMN)
    return name if colour.startswith(COLUMN) else f"{name} in layer {layer}"


def _categories(drawn: TokenMap, view: View, colour: str, layer: int) -> list[_Category]:
    sample, c = drawn.sample, THEMES[view.theme]
    if colour == "loops":
        hues = loop_colours(sample.sizes.max_loops, view.theme)
        values = sample.loops[:, layer]
        return [
            _Category(str(loops), mix(hue, c["depth"], 0.25), np.flatnonzero(values == loops))
            for loops, hue in enumerate(hues, start=1)
        ]
    if colour == "experts":
        return _by_expert(sample.experts[:, layer, 0], sample.sizes.num_experts, view)
    groups = sample.groups[colour.removeprefix(COLUMN)]
    return [
        _Category(
            name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…",
            c["line"] if name in (OTHERS, UNKNOWN) else expert_colour(place, view.theme),
            np.flatnonzero(groups.number == place),
            name in (OTHERS, UNKNOWN),
        )
        for place, name in enumerate(groups.names)
    ]


def _by_expert(first: np.ndarray, num_experts: int, view: View) -> list[_Category]:
    """The tokens by their first expert: all experts if they are few, else those of the most tokens."""
    line = THEMES[view.theme]["line"]
    counts = np.bincount(first[first != DID_NOT_ROUTE], minlength=num_experts)
    most = MOST_GROUPS if num_experts > len(SHAPES) else num_experts
    named = np.sort(np.argsort(-counts, kind="stable")[:most])
    found = [
        _Category(str(each), expert_colour(int(each), view.theme), np.flatnonzero(first == each)) for each in named
    ]
    others = np.flatnonzero((first != DID_NOT_ROUTE) & ~np.isin(first, named))
    if len(others):
        found.append(_Category("others", line, others, True))
    return [*found, _Category("did not route", line, np.flatnonzero(first == DID_NOT_ROUTE), True)]


def _marks(drawn: TokenMap, category: _Category, place: int, told: str) -> dict:
    shape = "circle" if _are_many(drawn) else NO_SHAPE if category.empty else SHAPES[place % len(SHAPES)]
    return _points(drawn, category.rows, f"{told}: {plotly_text(category.name)}") | {
        "name": f"{plotly_text(category.name)} ({len(category.rows):,})",
        "meta": place,
        "marker": {"size": _size(drawn), "color": category.colour, "symbol": shape, "opacity": OPACITY},
    }


def _scale(drawn: TokenMap, view: View, colour: str, layer: int) -> dict:
    """All tokens with a colour on a scale. A value that is none leaves its token grey."""
    c, values = THEMES[view.theme], getattr(drawn.sample, colour)[:, layer]
    hues = c["difficulty"][1:] if colour == "difficulty" else [mix(hue, c["line"], 0.15) for hue in c["gate"]]
    bar = {
        "orientation": "h", "thickness": 8, "len": 0.3, "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom",
        "outlinewidth": 0, "title": {"text": f"{COLOURS[colour]} in layer {layer}", "side": "top"},
        "tickfont": {"size": 12, "color": c["muted"]},
    }  # fmt: skip
    marker = {"size": _size(drawn), "color": values, "colorscale": ramp(hues), "cmin": 0, "cmax": 1}
    every = np.arange(len(drawn.points))
    return _points(drawn, every, f"{COLOURS[colour]} %{{marker.color:.2f}}") | {
        "marker": marker | {"opacity": OPACITY, "showscale": True, "colorbar": bar}
    }


def _are_many(drawn: TokenMap) -> bool:
    return len(drawn.points) > MOST_WITH_SHAPES


def _size(drawn: TokenMap) -> int:
    return SMALL_PX if _are_many(drawn) else LARGE_PX


def _points(drawn: TokenMap, rows: np.ndarray, value: str) -> dict:
    sample = drawn.sample
    return {
        "type": "scattergl", "mode": "markers", "x": drawn.points[rows, 0], "y": drawn.points[rows, 1],
        "customdata": np.stack([rows, sample.prompt[rows], sample.token[rows]], axis=-1).astype(np.int32),
        "text": _labels(drawn, rows),
        "hovertemplate": f"<b>%{{text}}</b>, token %{{customdata[2]}} of prompt %{{customdata[1]}}<br>{value}"
        "<extra></extra>",
    }  # fmt: skip


def _labels(drawn: TokenMap, rows: np.ndarray) -> list[str]:
    """The tokens' labels, safe inside a figure; each display string is made into one once."""
    coded = drawn.sample.text.dictionary_encode()
    labels = [plotly_text(isolated(short_label(text, LONGEST))) for text in coded.dictionary.to_pylist()]
    return [labels[code] for code in coded.indices.to_numpy()[rows].tolist()]


def _told(drawn: TokenMap) -> str:
    return (
        f"trustworthiness {number(drawn.trustworthiness)}, among {drawn.measured:,} of these tokens; fitted on "
        f"{drawn.fitted:,} of {len(drawn.points):,}"
    )


TOKEN_MAP = FigureSpec(
    name="token_map",
    title="Tokens with similar routing",
    how_to_read=(
        "Each point is a token of the run; tokens that the model routed alike in all layers lie near each other. "
        "Draw a line around some of them to look at these alone, or click one to read it in its text. A click on a "
        "name in the legend hides its tokens."
    ),
    details=(
        "A token's vector consists of the blocks that you choose: its loops in every layer, as (loops − 1) / (max "
        "loops − 1); the weights of all experts in every layer, 0 for those that did not run; its soft difficulty in "
        "every layer; λ in every layer. Each block is divided by the square root of its variance, summed over its "
        "entries, so that all count the same. PCA shows the two directions in which the vectors differ most. UMAP "
        "keeps neighbourhoods as far as a plane can; its lengths, angles and distances between groups mean nothing. "
        "Both are fitted on a random sample of the tokens and place the others by what they learned. The "
        "trustworthiness is 1 if the 15 nearest tokens of each in the plane are its nearest by their vectors, too, "
        "and it is computed among a random sample. The tokens are drawn by a seed: the same run, filter and seed "
        "give the same map. Where points overlap, those of later names in the legend lie on top."
    ),
    figure=token_map_figure,
    table=map_table,
    of=TokenMap,
    choice=Choice("colour", COLOURS, "Coloured by", needs=PARTS),
    set_by_page=("layer",),
    follows=(),
)

__all__ = ["COLOURS", "COLUMN", "TOKEN_MAP", "category_of", "colours_of", "layer_of", "token_map_figure"]
