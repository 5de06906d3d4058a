"""What decides the routing, and which choices go together: several texts as one figure each."""

import numpy as np
import plotly.graph_objects as go

from analysis.figures.figure_spec import FigureSpec
from analysis.figures.template import figure, note, sentence_figure, swatch
from analysis.figures.texts.evidence import counted, evidence, filled_beyond_chance, study_layers, whiskers
from analysis.palette import THEMES, faded, loop_colours, mix
from analysis.texts.sources import SMOOTHING
from analysis.texts.study import Study, together_table
from analysis.view import DEFAULT_VIEW, View

HEIGHT = 330
SOURCE_MARKS = {
    "token": ("circle", "token", "●"),
    "position": ("triangle-up", "position", "▲"),
    "both": ("square", "token and position", "■"),
    "previous": ("diamond", "token and the one before", "◆"),
}
MOST_LAYERS_OF_FLOW = 12


def sources_figure(study: Study, view: View = DEFAULT_VIEW) -> go.Figure:
    """Share of the uncertainty of loops (left) and first experts (right) that each source removes, by layer."""
    c = THEMES[view.theme]
    if study.routing_sources.empty:
        return sentence_figure(
            view, "Each text is predicted from the others, so this figure needs at least two texts.", HEIGHT + 20
        )
    data, heads, legend = [], [], [swatch(c["ink"], name, sign) for _, name, sign in SOURCE_MARKS.values()]
    for axis, target, start, colour in (("", "loops", 0, c["depth"]), ("2", "expert", 0.53, c["width"])):
        table = study.routing_sources[study.routing_sources["target"] == target]
        head = {"loops": "<b>loops</b> (and with them λ), {n}", "expert": "<b>first expert</b>, {n}"}
        heads.append(
            note(head[target].format(n=counted(table)), x=start, y=1)
            | {"font": {"size": 12, "color": colour}, "yshift": 18}
        )
        for place, (source, (symbol, name, _)) in enumerate(SOURCE_MARKS.items()):
            rows = table[table["source"] == source]
            x = rows["layer"].to_numpy() + 0.19 * (place - 1.5)
            value = rows["explained"].to_numpy()
            data.append(
                {
                    "type": "scatter", "mode": "markers", "name": name, "x": x, "y": np.maximum(value, -0.1),
                    "xaxis": f"x{axis}", "yaxis": f"y{axis}", "cliponaxis": False,
                    "error_y": whiskers(rows, "explained", c["line"]),
                    "marker": filled_beyond_chance(rows, symbol, colour, c["bg"]),
                    "customdata": [[None, *row] for row in rows[["layer", "tokens", "unseen", "chance", "p_corrected"]]
                                   .itertuples(index=False, name=None)],
                    "hovertemplate": f"layer %{{customdata[1]}}, from {name}<br>explained %{{y:.2f}} "
                    "(chance %{customdata[4]:.2f})<br>%{customdata[2]} tokens, %{customdata[3]:.0%} not in the other "
                    "texts<br>p %{customdata[5]:.3f}<extra></extra>",
                }
            )  # fmt: skip
    y = {"range": [-0.1, 1], "tickvals": [0, 0.25, 0.5, 0.75, 1], "tickformat": ".0%", "showgrid": True}
    zero = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 0, "y1": 0}
    zero["line"] = {"width": 1, "color": c["line"]}
    return figure(
        view,
        data,
        clickable=False,
        height=HEIGHT + 20,
        margin={"t": 50, "b": 42, "l": 52, "r": 16},
        xaxis=study_layers(study, view) | {"domain": [0, 0.47]},
        yaxis=y | {"title": {"text": "uncertainty explained"}},
        xaxis2=study_layers(study, view) | {"domain": [0.53, 1], "anchor": "y2"},
        yaxis2=y | {"anchor": "x2", "showticklabels": False},
        shapes=[zero],
        annotations=[
            *heads,
            evidence(study),
            note("   ".join(legend), x=0.53),
        ],
    )


def together_figure(study: Study, view: View = DEFAULT_VIEW) -> go.Figure:
    """Adjusted information of loops and experts in a layer, and of each with its like in the next layer."""
    c = THEMES[view.theme]
    between = study.layer_to_layer
    series = [
        (study.loops_and_experts, 0.0, "loops and experts", "circle", c["ink"], "●"),
        (between[between["kind"] == "loops"], 0.5, "loops and the next layer's", "diamond", c["depth"], "◆"),
        (between[between["kind"] == "expert"], 0.5, "experts and the next layer's", "square", c["width"], "■"),
    ]
    data = []
    for rows, shift, name, symbol, colour, _ in series:
        data.append(
            {
                "type": "scatter", "mode": "lines+markers", "name": name, "cliponaxis": False,
                "x": rows["layer"].to_numpy() + shift, "y": rows["adjusted"].to_numpy(),
                "line": {"width": 1, "dash": "dot", "color": faded(colour, 0.6)},
                "marker": filled_beyond_chance(rows, symbol, colour, c["bg"]),
                "customdata": [[None, *row] for row in rows[["layer", "tokens", "information", "chance", "p_corrected"]]
                               .itertuples(index=False, name=None)],
                "hovertemplate": f"layer %{{customdata[1]}}, {name}<br>adjusted %{{y:.2f}}<br>"
                "%{customdata[3]:.3f} nats, by chance %{customdata[4]:.3f}<br>%{customdata[2]} tokens, "
                "p %{customdata[5]:.3f}<extra></extra>",
            }
        )  # fmt: skip
    left_out = int(study.loops_and_experts["left_out"].sum())
    legend = "   ".join(swatch(colour, name, sign) for *_, name, _, colour, sign in series)
    return figure(
        view,
        data,
        clickable=False,
        height=HEIGHT,
        margin={"t": 60, "b": 42, "l": 52, "r": 16},
        xaxis=study_layers(study, view),
        yaxis={"range": [-0.06, 1], "dtick": 0.25, "showgrid": True, "title": {"text": "shared information, adjusted"}},
        annotations=[
            note(legend) | {"yshift": 36},
            note(
                f"left out: {left_out:,} of {study.tokens * study.num_layers:,} pairs of token and layer did not route"
            )
            | {"yshift": 20},
            evidence(study),
        ],
    )


def loop_flow_figure(study: Study, view: View = DEFAULT_VIEW) -> go.Figure:
    """How many tokens go from each number of loops in a layer to each in the next: a Sankey diagram."""
    c = THEMES[view.theme]
    shown = min(study.num_layers, MOST_LAYERS_OF_FLOW)
    first = min(max(view.layer - shown // 2, 0), study.num_layers - shown)
    flows = study.loop_flows.query(f"{first} <= layer < {first + shown - 1}")
    if flows.empty:
        return sentence_figure(view, "This figure needs at least two layers and one token.", HEIGHT)
    most = study.max_loops
    ends = [
        (flows["layer"] - first + step) * most + flows[end] - 1 for step, end in ((0, "from_loops"), (1, "to_loops"))
    ]
    layer, loops = (axis.ravel() for axis in np.indices((shown, most)))
    used = np.isin(np.arange(shown * most), np.concatenate(ends))
    number = np.cumsum(used) - 1
    colours = loop_colours(most, view.theme)
    there = [f"layer {first + i}: {n + 1} loops" for i, n in zip(layer[used], loops[used], strict=True)]
    did_not = [text + (", did not route" if n == most - 1 else "") for text, n in zip(there, loops[used], strict=True)]
    data = [
        {
            "type": "sankey", "arrangement": "fixed", "valueformat": ",d", "valuesuffix": " tokens",
            "node": {
                "label": [str(n + 1) for n in loops[used]], "customdata": did_not, "pad": 14, "thickness": 16,
                "x": 0.001 + 0.998 * layer[used] / max(shown - 1, 1), "y": _heights(flows, shown, most, first)[used],
                "color": [colours[n] for n in loops[used]], "line": {"width": 0.7, "color": c["depth"]},
                "hovertemplate": "%{customdata}<br>%{value}<extra></extra>",
            },
            "link": {
                "source": number[ends[0].to_numpy()], "target": number[ends[1].to_numpy()],
                "value": flows["tokens"].to_numpy(),
                "color": [faded(mix(colours[n - 1], c["line"], 0.3), 0.45) for n in flows["from_loops"]],
                "hovertemplate": "%{source.customdata} → %{target.customdata}<br>%{value}<extra></extra>",
            },
            "textfont": {"size": 12, "color": c["ink"]},
        }
    ]  # fmt: skip
    heads = [
        note(f"<b>{i}</b>" if i == view.layer else str(i), x=(i - first) / max(shown - 1, 1), y=0, anchor="center")
        | {"yanchor": "top", "yshift": -8}
        for i in range(first, first + shown)
    ]
    return figure(
        view,
        data,
        clickable=False,
        height=HEIGHT,
        margin={"t": 30, "b": 44, "l": 24, "r": 24},
        annotations=[
            note(f"loops of every token; {most} loops: did not route"),
            evidence(study, x=1, anchor="right"),
            *heads,
            note("layer", x=0.5, y=0, anchor="center") | {"yanchor": "top", "yshift": -26, "font": {"size": 12}},
        ],
        xaxis={"visible": False},
        yaxis={"visible": False},
    )


def _heights(flows, shown: int, most: int, first: int) -> np.ndarray:
    """Middle of every node, 0 at the top: in each layer 1 loop at the bottom, apart by a little, [layer x loops]."""
    tokens = np.zeros((shown, most))
    for layer, column in ((flows["layer"] - first, "from_loops"), (flows["layer"] - first + 1, "to_loops")):
        seen = np.zeros((shown, most))
        np.add.at(seen, (layer, flows[column] - 1), flows["tokens"])
        tokens = np.maximum(tokens, seen)  # the layers between are reached from both sides
    gap = 0.05
    size = tokens / tokens.sum(axis=1, keepdims=True) * (1 - gap * (most - 1))
    below = np.cumsum(size, axis=1) - size + gap * np.arange(most)
    return np.clip(1 - (below + size / 2), 0.001, 0.999).ravel()


FIGURES = (
    FigureSpec(
        name="routing_sources",
        title="How well do token and position predict routing?",
        how_to_read=(
            "Each mark is one layer: how much less uncertain a token's loops and first expert are to one who knows "
            "the token, its position, or also the token before it, and what such tokens did in the other texts. "
            "At 100% no uncertainty is left, at 0% nothing is gained, and below 0% is worse than not knowing. Experts "
            "count the tokens that routed. Whiskers are 95% intervals over texts; filled marks are beyond chance (p "
            "below 0.05, corrected over layers)."
        ),
        details=(
            "Chance is what remains when the routing is reversed within texts or swapped between texts at equal "
            "positions (for position itself, only reversed), so a trend that all texts share does not count. If the "
            "texts also differ as a whole, it can still pass. The correction is Benjamini-Hochberg. Counts are mixed "
            f"with those of the next wider case, which weighs as much as {SMOOTHING:g} tokens. Position counts from "
            "the start of the text, also where it is read in windows, in bins that double: 0, 1, 2–3, 4–7, 8–15 and "
            "so on. Of the context, only the token before is drawn. Routing is determined by the text, so the "
            "uncertainty that is left comes from the rest of the context and from having so few texts to learn from."
        ),
        figure=sources_figure,
        table=lambda study: study.routing_sources,
        of=Study,
        follows=(),
    ),
    FigureSpec(
        name="together",
        title="Which choices go together?",
        how_to_read=(
            "Each dot is one layer: the information that two choices of the same token share, minus what chance "
            "gives. 1 means that one choice settles the other, 0 is chance. Filled dots have p below 0.05, "
            "corrected over layers. No cause is shown: both choices follow from the same state."
        ),
        details=(
            "For chance, one choice is read backwards within texts or exchanged between texts at equal positions. A "
            "trend that all texts share can still pass if the texts also differ as a whole. Experts count only where "
            "a token routed."
        ),
        figure=together_figure,
        table=together_table,
        of=Study,
        follows=(),
    ),
    FigureSpec(
        name="loop_flow",
        title="From layer to layer",
        how_to_read=(
            "A bar holds the tokens that took this number of loops in a layer; a band shows how many of them took "
            "which number in the next layer. Experts are only in the table, because those of two layers are "
            "different weights."
        ),
        figure=loop_flow_figure,
        table=lambda study: study.transitions,
        of=Study,
        follows=("layer",),
    ),
)
