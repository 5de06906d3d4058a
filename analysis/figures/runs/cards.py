"""Figures of a card: what an expert of a layer, or a number of loops in it, serves in a run."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.figures.cells import numbers
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.runs.atlas import TO_PART
from analysis.figures.template import figure, height_of_rows, note, sentence_figure, swatch
from analysis.figures.texts.evidence import filled_beyond_chance, whiskers
from analysis.palette import THEMES, colour_at, loop_colours, mix, ramp, text_on
from analysis.runs.cards import Card
from analysis.texts.chance import BEYOND
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import LONGEST, plotly_text, short_label
from analysis.words.numbers import number

TOP = 10
"""Tokens that are drawn."""
TOKENS_PX, CLASSES_PX, LOOPS_PX = 280, 280, 250
MOST_LIFT = 2
"""End of the colours of log2 lift, as in the figure of pairs of experts."""
MOST_NAMED = 16
"""Experts with a number in their cell."""
NOTHING = "No token that counts made this choice."


def card_tokens_figure(card: Card, view: View = DEFAULT_VIEW) -> go.Figure:
    """The tokens of the largest lift, with intervals over prompts; filled: beyond chance."""
    table = card.tokens[card.tokens["lift"] > 1].head(TOP)
    if table.empty:
        why = "No token that is frequent enough made it more often than the others."
        return sentence_figure(view, why if card.counts["made"].iloc[0] else NOTHING, TOKENS_PX)
    c, colour = THEMES[view.theme], _colour(card, view)
    names = list(map(plotly_text, token_names(table["text"])))
    place = np.arange(len(table))
    told = table[["token_id", "made", "had", "lift_low", "lift_high", "p_corrected"]]
    data = [
        {
            "type": "scatter", "mode": "markers", "x": table["lift"].to_numpy(), "y": place, "cliponaxis": False,
            "error_x": whiskers(table.assign(low=table["lift_low"], high=table["lift_high"]), "lift", c["line"]),
            "marker": filled_beyond_chance(table, "circle", colour, c["bg"]), "hovertext": names,
            "customdata": [[_token_part(card, row.token_id), card.choice.layer, *row[2:]] for row in told.itertuples()],
            "hovertemplate": "<b>%{hovertext}</b><br>%{customdata[2]:,} of %{customdata[3]:,} occurrences<br>lift "
            "%{x:.2f}, 95% %{customdata[4]:.2f} to %{customdata[5]:.2f}<br>p %{customdata[6]:.3f}<extra></extra>",
        },
    ]  # fmt: skip
    most = max(2.0, float(np.nanmax(table[["lift", "lift_high"]].to_numpy())))
    return figure(
        view,
        data,
        meta=TO_PART,
        height=TOKENS_PX,
        margin={"t": 30, "b": 44, "l": 110, "r": 92},
        xaxis={"range": [0, 1.04 * most], "showgrid": True, "title": {"text": f"lift over the base, {_base(card)}"}},
        yaxis={
            "range": [TOP - 0.5, -0.5], "tickvals": place, "ticktext": names,
            "tickfont": {"size": 12, "color": c["ink"]},
        },
        shapes=[_chance_line(1.0, c["line"])],
        annotations=[
            note(f"{swatch(colour, 'beyond chance', '●')}   {swatch(colour, 'not', '○')}"),
            *_told_at_the_end([f"{row.made:,} of {row.had:,}" for row in table.itertuples()], place, c["muted"]),
        ],
    )  # fmt: skip


def card_classes_figure(card: Card, view: View = DEFAULT_VIEW) -> go.Figure:
    """The classes of token of what made the choice, beside those of all tokens that could."""
    table = card.classes
    if table.empty or not card.counts["made"].iloc[0]:
        return sentence_figure(view, NOTHING, CLASSES_PX)
    c, colour, place = THEMES[view.theme], _colour(card, view), np.arange(len(table))
    beyond = (table["p_corrected"] < BEYOND).to_numpy()
    lifts = [f"×{number(lift, 1 if lift < 10 else 0)}" for lift in table["lift"]]
    hover = (
        "<b>%{hovertext}</b><br>%{customdata[0]:,} of %{customdata[1]:,} such tokens, lift %{customdata[2]:.2f} "
        "(95% %{customdata[3]:.2f} to %{customdata[4]:.2f})<br>p %{customdata[5]:.3f}<extra></extra>"
    )
    fields = table[["made", "had", "lift", "lift_low", "lift_high", "p_corrected"]].to_numpy(float)
    data = [
        {
            "type": "bar", "orientation": "h", "x": table["of_made"].to_numpy(), "y": place, "width": 0.62,
            "marker": {"color": colour}, "hovertext": table["class"].tolist(), "customdata": fields,
            "hovertemplate": hover,
        },
        {
            "type": "scatter", "mode": "markers", "x": table["of_had"].to_numpy(), "y": place, "hoverinfo": "skip",
            "cliponaxis": False,
            "marker": {"symbol": "line-ns", "size": 17, "line": {"width": 2.5, "color": c["ink"]}},
        },
    ]  # fmt: skip
    most = float(table[["of_made", "of_had"]].to_numpy().max())
    return figure(
        view,
        data,
        clickable=False,
        height=CLASSES_PX,
        margin={"t": 30, "b": 44, "l": 96, "r": 52},
        xaxis={"range": [0, 1.05 * most], "tickformat": ".0%", "showgrid": True, "title": {"text": "share of tokens"}},
        yaxis={
            "range": [len(table) - 0.5, -0.5], "tickvals": place, "ticktext": table["class"].tolist(),
            "tickfont": {"size": 12, "color": c["ink"]},
        },
        annotations=[
            note(f"{swatch(colour, card.choice.words)}   {swatch(c['ink'], 'all that could', '┃')}"),
            *_told_at_the_end(
                [f"<b>{lift}</b>" if far else lift for lift, far in zip(lifts, beyond, strict=True)], place, c["ink"]
            ),
        ],
    )  # fmt: skip


def card_loops_figure(card: Card, view: View = DEFAULT_VIEW) -> go.Figure:
    """The mix of loops of the card's tokens in every layer; above it their mean, and that of all that could."""
    table, layers = card.loops, card.sizes.num_layers
    if table.empty or not table["made"].sum():
        return sentence_figure(view, NOTHING if "depth" in card.sizes.parts else "This model has no loops.", LOOPS_PX)
    c, colours = THEMES[view.theme], loop_colours(card.sizes.max_loops, view.theme)
    outline = {"width": 0.7, "color": mix(c["bg"], c["depth"], 0.45)}
    data = []
    for loops, colour in enumerate(colours, start=1):
        rows = table[table["loops"] == loops].set_index("layer").reindex(range(layers))
        data.append(
            {
                "type": "bar", "x": np.arange(layers), "y": 100 * rows["of_made"].fillna(0).to_numpy(),
                "name": f"loops {loops}", "marker": {"color": colour, "line": outline},
                "customdata": np.stack([rows["made"].fillna(0), 100 * rows["of_had"].fillna(0)], axis=1),
                "hovertemplate": f"layer %{{x}}, loops {loops}<br>%{{y:.1f}}% of these tokens (%{{customdata[0]:,}}), "
                "%{customdata[1]:.1f}% of all that could<extra></extra>",
            }
        )  # fmt: skip
    means = {name: (table["loops"] * table[f"of_{name}"]).groupby(table["layer"]).sum() for name in ("made", "had")}
    at = np.arange(0, layers, -(-layers // 12))
    for height, name, ink in ((113.0, "made", c["ink"]), (104.0, "had", c["muted"])):
        texts = [number(means[name].get(layer, np.nan), 1) for layer in at.tolist()]
        data += numbers(at, np.full(len(at), height), texts, np.full(len(at), ink))
    legend = "  ".join(
        swatch(mix(colour, c["depth"], 0.2), str(loops)) for loops, colour in enumerate(colours, start=1)
    )
    return figure(
        view,
        data,
        clickable=False,
        height=LOOPS_PX,
        barmode="stack",
        xaxis=_layers(card) | {"title": {"text": "layer of the model"}},
        yaxis={"range": [0, 119], "tickvals": [0, 50, 100], "ticktext": ["0%", "50%", "100%"]},
        annotations=[note(f"loops {legend}   above: their mean, in grey that of all")],
    )


def card_experts_figure(card: Card, view: View = DEFAULT_VIEW) -> go.Figure:
    """Log2 lift of every expert of every layer among the card's tokens; the card's own layer has pairs."""
    layers, experts = card.sizes.num_layers, card.sizes.num_experts
    height = height_of_rows(layers, 250)
    if card.experts.empty or not card.experts["made"].sum():
        return sentence_figure(view, NOTHING if "width" in card.sizes.parts else "This model has no experts.", height)
    c, own = THEMES[view.theme], card.choice.layer
    table = card_mix_table(card)
    grid = {name: np.full((layers, experts), np.nan) for name in ("lift_log2", "made", "expected")}
    for name, values in grid.items():
        values[table["layer"], table["expert"]] = table[name]
    data = [
        {
            "type": "heatmap", "x": np.arange(experts), "y": np.arange(layers), "z": grid["lift_log2"], "xgap": 1,
            "ygap": 1, "colorscale": ramp(c["change"]), "zmin": -MOST_LIFT, "zmax": MOST_LIFT, "showscale": False,
            "customdata": [
                [[["card", e], i, grid["made"][i, e], grid["expected"][i, e]] for e in range(experts)]
                for i in range(layers)
            ],
            "hoverongaps": False,
            "hovertemplate": "layer %{y}, expert %{x}<br>%{customdata[2]:,.0f} of these tokens, %{customdata[3]:,.1f} "
            "expected<br>log<sub>2</sub> lift %{z:.2f}<extra></extra>",
        },
    ]  # fmt: skip
    known = table[table["lift_log2"].notna()]
    if experts <= MOST_NAMED:
        on = np.array([text_on(colour_at(c["change"], (v + MOST_LIFT) / (2 * MOST_LIFT))) for v in known["lift_log2"]])
        texts = [number(value, 1, signed=True) for value in known["lift_log2"]]
        texts = [f"<b>{text}</b>" if far else text for text, far in zip(texts, known["beyond"], strict=True)]
        data += numbers(known["expert"].to_numpy(), known["layer"].to_numpy(), texts, on)
    frame = {"type": "rect", "x0": -0.5, "x1": experts - 0.5, "y0": own - 0.5, "y1": own + 0.5}
    bold = "   <b>bold</b>: beyond chance" if card.choice.loops is None else ""
    return figure(
        view,
        data,
        meta=TO_PART,
        height=height,
        xaxis={"range": [-0.5, experts - 0.5], "dtick": -(-experts // MOST_NAMED), "title": {"text": "expert"}},
        yaxis=_layers(card) | {"title": {"text": "layer of the model"}},
        shapes=[frame | {"line": {"width": 2, "color": c["ink"]}}],
        annotations=[note(f"log<sub>2</sub> of how often / expected; framed: layer {own}{bold}")],
    )


def card_mix_table(card: Card) -> pd.DataFrame:
    """One row per layer x expert: what `card_experts_figure` shows. The layer of an expert's card has its neighbours,
    with what the loads alone make of them; `beyond` says that this is beyond chance."""
    table = card.experts.copy()
    table["expected"] = table["of_had"] * table.groupby("layer")["made"].transform("sum")
    table["beyond"] = False
    if card.choice.loops is None:
        pairs = card.neighbours.rename(columns={"together": "made"})
        pairs = pairs.assign(layer=card.choice.layer, beyond=pairs["p_corrected"] < BEYOND)
        table = pd.concat([table[table["layer"] != card.choice.layer], pairs[[*_MIX]]], ignore_index=True)
    return table[[*_MIX]].sort_values(["layer", "expert"], ignore_index=True)


_MIX = ("layer", "expert", "made", "expected", "lift_log2", "beyond")


def token_names(texts: pd.Series) -> list[str]:
    """Short names of tokens; those that differ in white space alone keep their signs of it."""
    names = [short_label(text) for text in texts]
    return [text[:LONGEST] if names.count(name) > 1 else name for name, text in zip(names, texts, strict=True)]


def _token_part(card: Card, token_id: int) -> list:
    """What a click on a token names: its id, and the choice."""
    kind = "expert" if card.choice.loops is None else "loops"
    return ["token", [int(token_id), kind, card.choice.value]]


def _colour(card: Card, view: View) -> str:
    return THEMES[view.theme]["width" if card.choice.loops is None else "depth"]


def _base(card: Card) -> str:
    return f"{number(100 * card.base, 1)}% of the tokens that {'could' if card.choice.loops else 'routed'}"


def _chance_line(at: float, colour: str) -> dict:
    line = {"width": 1, "color": colour, "dash": "dot"}
    return {"type": "line", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1, "line": line}


def _told_at_the_end(texts: list[str], places: np.ndarray, colour: str) -> list[dict]:
    """Words at the right end of rows."""
    return [
        {
            "text": text, "xref": "paper", "x": 1, "xanchor": "left", "xshift": 8, "y": y, "showarrow": False,
            "font": {"size": 11, "color": colour},
        }
        for y, text in zip(places.tolist(), texts, strict=True)
    ]  # fmt: skip


def _layers(card: Card) -> dict:
    """Axis of the layers, the card's own in bold."""
    count, own = card.sizes.num_layers, card.choice.layer
    shown = range(0, count, -(-count // 16))
    return {
        "range": [-0.5, count - 0.5], "tickvals": list(shown), "tickangle": 0,
        "ticktext": [f"<b>{each}</b>" if each == own else str(each) for each in shown],
    }  # fmt: skip


CARD_FIGURES = (
    FigureSpec(
        name="card_tokens",
        title="Which tokens does it serve most?",
        how_to_read=(
            "Each dot is a token: the share of its occurrences that made this choice, divided by the share of all "
            "tokens that did, with a 95% interval over prompts. Filled dots are beyond chance. Click one for its "
            "texts."
        ),
        details=(
            "Tokens are sorted by the lower end of their interval. Beyond chance means p below 0.05, corrected over "
            "all tokens compared: those with 10 occurrences or more that had the choice. Prompts are the unit, "
            "because tokens of one prompt depend on each other; more than 256 prompts are put into 256 random "
            "groups. Tokens found in fewer than five prompts have no interval and no p. The share of all tokens is "
            "taken as known exactly."
        ),
        figure=card_tokens_figure,
        table=lambda card: card.tokens,
        of=Card,
        follows=(),
    ),
    FigureSpec(
        name="card_classes",
        title="Which classes of token are they?",
        how_to_read=(
            "Each bar is a class's share of the tokens that made this choice, the stroke its share of all tokens "
            "that could have made it. The number at the right divides the first by the second; bold is beyond "
            "chance."
        ),
        details=(
            "“Inside a word” means letters that continue the token before. Lifts have 95% intervals over prompts, and "
            "p is corrected over classes."
        ),
        figure=card_classes_figure,
        table=lambda card: card.classes,
        of=Card,
        follows=(),
    ),
    FigureSpec(
        name="card_loops",
        title="How many loops do they take?",
        how_to_read=(
            "Each bar is one layer, split by the number of loops that these tokens took there. Above it stands their "
            "mean, and in grey that of all tokens that could have made the choice."
        ),
        figure=card_loops_figure,
        table=lambda card: card.loops,
        of=Card,
        follows=(),
    ),
    FigureSpec(
        name="card_experts",
        title="Which other experts serve them?",
        how_to_read=(
            "Each cell is an expert of a layer: above 0 (green) it serves these tokens more often than expected, below "
            "0 less often. Click one for its card."
        ),
        details=(
            "An expert of another layer is expected as often as it serves all tokens that could make the choice. "
            "Experts with the same number in different layers have nothing in common. In the framed layer of an "
            "expert's card, pairs are compared with what the loads alone predict (quasi-independence, since no "
            "expert is paired with itself), and bold is beyond chance: p over prompts below 0.05, corrected over the "
            "other experts. The other cells are counts of this run without a test. Where fewer than 5 are expected "
            "the cell is empty."
        ),
        figure=card_experts_figure,
        table=card_mix_table,
        of=Card,
        follows=(),
    ),
)
"""They are drawn on the page of the card and are not in the catalogue, whose figures readers make without a choice."""

__all__ = [
    "CARD_FIGURES", "card_classes_figure", "card_experts_figure", "card_loops_figure", "card_mix_table",
    "card_tokens_figure",
]  # fmt: skip
