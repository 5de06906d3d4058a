"""Recursion trajectories of tokens in a plane, by PCA or by UMAP."""

from typing import Literal

import numpy as np
import plotly.graph_objects as go

from analysis.explain.embedding import MOST_POINTS, NEIGHBOURS, Embedding, embedding_table
from analysis.explain.geometry import OUTLIER, plane, plane_table
from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.template import drawn_part, figure, note, quoted, swatch
from analysis.palette import THEMES, colour_at, expert_colour, gate_colour, loop_colours, mix
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import plotly_text, token_labels
from analysis.words.numbers import number, percent
from hooks.path_trace import PathTrace
from hooks.trace import RoutingTrace

Colour = Literal["loops", "gate", "expert", "layer", "token"]
SHADES = 8
"""Number of greys for layers or positions in the text."""
HEIGHT = 430


def trajectory_figure(
    paths: PathTrace, view: View = DEFAULT_VIEW, *, colour: Literal["loops", "gate", "expert", "token"] = "loops"
) -> go.Figure:
    """H(0)..H(max_loops) of every captured token in the selected layer, in their principal plane; dotted = not used."""
    trace, projected = paths.routing, plane(paths, view.layer)
    without = int(projected.outlier is not None)
    token = np.arange(paths.first_token + without, paths.end_token)
    layer = np.full(len(token), view.layer)
    first, second = (percent(share, 1) for share in projected.explained)
    both = percent(sum(projected.explained), 1)
    key = _key(trace, layer, token, view, colour)
    part = drawn_part(paths.first_token, paths.end_token, trace.num_tokens)
    return figure(
        view,
        _drawn(trace, layer, token, projected.points[without:], view, colour),
        height=HEIGHT,
        margin={"t": 62 + 18 * without, "b": 44, "l": 56, "r": 12},
        xaxis={"showgrid": True, "title": {"text": f"first principal component ({first} of the variance)"}},
        yaxis={"showgrid": True, "title": {"text": f"second ({second})"}},
        annotations=_stacked(
            _selected(trace, layer, token, view),
            f"layer {view.layer}{part}: PCA, this plane shows {both} of the variance",
            *_left_out(trace, projected.outlier),
            key,  # a line of its own: half a page has no room for both
        ),
    )


def embedding_figure(embedding: Embedding, view: View = DEFAULT_VIEW, *, colour: Colour = "loops") -> go.Figure:
    """H(0)..H(max_loops) of tokens, placed by UMAP; dotted = not used. The axes have no unit."""
    trace, placed = embedding.routing, embedding.placement
    layers = f"layer {embedding.layers[0]}" if len(embedding.layers) == 1 else f"{len(embedding.layers)} layers"
    tokens = len(np.unique(embedding.token))
    drawn = (
        "all"
        if tokens == embedding.placeable
        else f"{tokens} of {embedding.placeable}, drawn by a fixed seed, since at most"
    )
    most = "" if tokens == embedding.placeable else f" {MOST_POINTS:,} states are placed"
    explained = percent(sum(placed.pca_explained))
    hidden = {"showticklabels": False, "showgrid": False}
    return figure(
        view,
        _drawn(trace, embedding.layer, embedding.token, embedding.points, view, colour),
        height=HEIGHT + 66,
        margin={"t": 80 + 18 * (embedding.outlier is not None), "b": 32, "l": 40, "r": 12},
        xaxis=hidden | {"title": {"text": "UMAP (no unit): only neighbourhoods have a meaning"}},
        yaxis=hidden,
        annotations=_stacked(
            f"trustworthiness {number(placed.trustworthiness)} over {NEIGHBOURS} neighbours; PCA of the same "
            f"states: {number(placed.pca_trustworthiness)}, {explained} of the variance",
            f"states of {layers}, tokens: {drawn}{most}; dots: where a token exited",
            *_left_out(trace, embedding.outlier),
            _selected(trace, embedding.layer, embedding.token, view),
            _key(trace, embedding.layer, embedding.token, view, colour),
        ),
    )


def _stacked(*lines: str) -> list[dict]:
    """Lines above a plot, the last one nearest to it."""
    return [note(line) | {"yshift": 4 + 18 * above} for above, line in enumerate(reversed(lines))]


def _left_out(trace: RoutingTrace, outlier: float | None) -> list[str]:
    """The sentence about the first token, where it is left out."""
    if outlier is None:
        return []
    return [f"{quoted(trace, 0)} is left out: its states are {number(outlier, 0)} times as long as the others'"]


def _drawn(
    trace: RoutingTrace, layer: np.ndarray, token: np.ndarray, points: np.ndarray, view: View, colour: Colour
) -> list[dict]:
    """Trajectories [trajectory, state, 2], one line trace per colour; dots where tokens left; the selected one."""
    c, loops = THEMES[view.theme], trace.loops[layer, token]
    fills = _colours(trace, layer, token, view, colour)
    ghosts = [points[i, ran:] for i, ran in enumerate(loops)]
    data = [_lines(ghosts, "not used", {"width": 0.8, "dash": "dot", "color": mix(c["bg"], c["line"], 0.5)})]
    for fill in dict.fromkeys(fills):
        used = [points[i, : loops[i] + 1] for i, own in enumerate(fills) if own == fill]
        data.append(_lines(used, "used", {"width": 1.2, "color": mix(c["bg"], fill, 0.75)}))
    labels = [plotly_text(label) for label in token_labels(trace, 40)]
    ends = points[np.arange(len(loops)), loops]
    here = token == view.token
    data.append(
        {
            "type": "scatter", "mode": "markers", "x": ends[:, 0], "y": ends[:, 1], "name": "exited here",
            "marker": {
                "size": np.where(here, 9, 7), "opacity": 1, "color": fills,
                "line": {"width": np.where(here, 2, 0.8), "color": np.where(here, c["ink"], c["line"])},
            },
            "customdata": np.stack([token, layer, loops], axis=1),
            "hovertext": [labels[t] for t in token],
            "hovertemplate": "<b>%{hovertext}</b>, token %{customdata[0]}, layer %{customdata[1]}<br>"
            "exited after %{customdata[2]} loops<extra></extra>",
        }
    )  # fmt: skip
    selected = np.flatnonzero(here & (layer == view.layer))
    return data + (_selected_arrows(points[selected[0]], int(loops[selected[0]]), view) if len(selected) else [])


def _lines(paths: list[np.ndarray], name: str, line: dict) -> dict:
    """Many lines [state, 2] as one line trace with gaps."""
    gap = np.full((1, 2), np.nan)
    joined = np.concatenate([part for path in paths for part in (path, gap)])
    return {
        "type": "scatter", "mode": "lines", "x": joined[:, 0], "y": joined[:, 1], "hoverinfo": "skip", "line": line,
        "name": name,
    }  # fmt: skip


def _selected_arrows(states: np.ndarray, ran: int, view: View) -> list[dict]:
    """The selected trajectory as arrows: solid for states that were used, dotted for the others."""
    c = THEMES[view.theme]
    return [
        {
            "type": "scatter", "mode": "lines+markers+text", "x": states[part, 0], "y": states[part, 1],
            "hoverinfo": "skip", "line": {"width": 2.5, "dash": dash, "color": c["ink"]}, "name": name,
            "marker": {"size": 8, "symbol": "arrow", "angleref": "previous", "color": c["ink"], "opacity": 1},
            "text": texts, "textposition": "top center", "textfont": {"size": 12, "color": c["ink"]},
        }
        for part, dash, name, texts in (
            (slice(ran, None), "dot", "selected, not used", [""] * (len(states) - ran - 1) + [str(len(states) - 1)]),
            (slice(0, ran + 1), "solid", "selected", ["0"] + [""] * (ran - 1) + [str(ran)]),
        )
        if len(states[part]) > 1
    ]  # fmt: skip


def _selected(trace: RoutingTrace, layer: np.ndarray, token: np.ndarray, view: View) -> str:
    """Legend of the selected trajectory, or a sentence why it is not drawn."""
    c, name = THEMES[view.theme], quoted(trace, view.token)
    if not ((layer == view.layer) & (token == view.token)).any():
        if (token == view.token).any():
            return f"{swatch(c['ink'], f'{name} in the layers of this map', '○')}; layer {view.layer} is not in it"
        return f"{name} is not among the tokens of this map"
    ran = trace.loops[view.layer, view.token]
    return swatch(c["ink"], f"{name} in layer {view.layer}, loops 0 to {ran}; dotted: not used", "→")


def _colours(trace: RoutingTrace, layer: np.ndarray, token: np.ndarray, view: View, colour: Colour) -> list[str]:
    c = THEMES[view.theme]
    if colour == "gate":
        return [gate_colour(float(gate), view.theme) for gate in trace.gate[layer, token]]
    if colour == "expert":
        ran, first = trace.width_ran[layer, token], trace.expert_ids[layer, token, 0]
        return [expert_colour(int(e), view.theme) if on else c["line"] for e, on in zip(first, ran, strict=True)]
    if colour == "loops":
        steps_of_orange = loop_colours(trace.max_loops, view.theme)
        return [mix(steps_of_orange[n - 1], c["depth"], 0.25) for n in trace.loops[layer, token]]
    along, (first, last) = _grey_quantity(trace, layer, token, colour)
    return [_shade((position - first) / max(last - first, 1), view) for position in along.tolist()]


def _grey_quantity(trace: RoutingTrace, layer: np.ndarray, token: np.ndarray, colour: Colour):
    """The quantity that grey shows for every trajectory, and its range."""
    return (layer, (0, trace.num_layers - 1)) if colour == "layer" else (token, (int(token[0]), int(token.max())))


def _shade(share: float, view: View) -> str:
    return colour_at(THEMES[view.theme]["probability"][1:], round(share * (SHADES - 1)) / (SHADES - 1))


def _key(trace: RoutingTrace, layer: np.ndarray, token: np.ndarray, view: View, colour: Colour) -> str:
    c = THEMES[view.theme]
    if colour == "gate":
        return f"{swatch(gate_colour(0, view.theme), 'λ 0', '●')}  {swatch(gate_colour(1, view.theme), 'λ 1', '●')}"
    if colour == "expert":
        names = [swatch(expert_colour(e, view.theme), str(e), "●") for e in range(min(trace.num_experts, 8))]
        return "  ".join([*names, swatch(c["line"], "did not route", "●")])
    if colour == "loops":
        shades = [mix(shade, c["depth"], 0.25) for shade in loop_colours(trace.max_loops, view.theme)]
        return "  ".join(swatch(shade, f"{n + 1}", "●") for n, shade in enumerate(shades)) + " loops"
    _, (first, last) = _grey_quantity(trace, layer, token, colour)
    return f"{swatch(_shade(0, view), f'{colour} {first}', '●')} to {swatch(_shade(1, view), str(last), '●')}"


FIGURES = (
    FigureSpec(
        name="trajectories",
        title="Where the loops lead",
        how_to_read=(
            "Each line is one token's state, from before the selected layer through its loops to the dot where it "
            "exited; dotted parts are later loops that did not run. The plane is the one in which all states of "
            "the layer vary most (PCA). It hides all other directions."
        ),
        details=(
            f"The first token of a text is left out if its states are at least {OUTLIER:g} times as long as those of "
            "the others (medians), since the plane would then show its distance alone. In many language models it is "
            "so: other tokens attend to it when they look for nothing in particular (an attention sink). The table has "
            "its place in the plane, too."
        ),
        figure=trajectory_figure,
        table=plane_table,
        choice=Choice(
            "colour", {"loops": "Loops", "gate": "Gate", "expert": "Expert", "token": "Place"}, "Colour of the lines"
        ),
        of=PathTrace,
    ),
    FigureSpec(
        name="neighbourhoods",
        title="Which states are neighbours",
        how_to_read=(
            "Each line joins one token's states through the loops of a layer, with a dot where it exited; dotted "
            "parts are later loops that did not run. UMAP draws states close together that are close in the "
            "residual stream, as far as a plane allows. Lengths, directions and the gaps between groups mean "
            "nothing."
        ),
        details=(
            "Trustworthiness, from 0 to 1, falls with every state that lies beside one to which it is not close; "
            "PCA's is for the same states. At most 2,000 states are placed: of more, whole tokens are drawn with "
            "a fixed seed. The first token of a text is left out if its states are at least "
            f"{OUTLIER:g} times as long as those of the others."
        ),
        figure=embedding_figure,
        table=embedding_table,
        choice=Choice(
            "colour",
            {"loops": "Loops", "gate": "Gate", "expert": "Expert", "layer": "Layer", "token": "Place"},
            "Colour of the neighbours",
        ),
        of=Embedding,
    ),
)
