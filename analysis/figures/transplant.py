"""Routing transplant: the loss of both texts with their own routing and with that of the other one."""

import numpy as np
import plotly.graph_objects as go

from analysis.compare.transplants import OWN, TAKEN, transplant_table, transplant_tokens
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.fitting import row_names
from analysis.figures.template import figure, note, sentence_figure, swatch
from analysis.palette import THEMES
from analysis.view import DEFAULT_VIEW, View
from analysis.words.numbers import number
from hooks.transplant_trace import TransplantTrace

HEIGHT, LEFT_PX = 300, 230


def routing_transplant_figure(found: TransplantTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Loss of A and of B with its own routing, and with the other's: all of it, loops and lambda, experts."""
    c, table = THEMES[view.theme], transplant_table(found)
    if table["loss"].isna().any():
        return sentence_figure(view, "A text without a predicted token has no loss to compare.", HEIGHT)
    names = []
    for row in table.itertuples():
        other = "B" if row.trace == "A" else "A"
        names.append(
            f"{row.trace}, own routing" if row.routing == OWN else f"{row.trace} with {other}’s {TAKEN[row.routing]}"
        )
    y = np.arange(len(table))[::-1] + np.where(table["trace"] == "A", 0.4, 0)
    names, left, height = row_names(names, view.room, LEFT_PX, HEIGHT)
    own = (table["routing"] == OWN).to_numpy()
    told = [
        f"{loss}" if mine else f"{loss} ({change}), {flips} of {of} predictions different"
        for loss, change, mine, flips, of in zip(
            [number(each, 3) for each in table["loss"]],
            [number(each, 3, signed=True) for each in table["change"]],
            own,
            table["other_predictions"],
            table["of"],
            strict=True,
        )
    ]
    most = float(table["loss"].max())
    return figure(
        view,
        [
            {
                "type": "bar", "orientation": "h", "x": table["loss"].to_numpy(), "y": y, "width": 0.78,
                "marker": {"color": np.where(own, c["line"], c["ink"]).tolist()}, "text": told,
                "textposition": "outside", "cliponaxis": False, "hoverinfo": "skip",
            }
        ],
        clickable=False,
        height=height,
        margin={"t": 30, "b": 44, "l": left, "r": 24},
        xaxis={"range": [0, most * 1.6], "showgrid": True, "title": {"text": "loss (nats per token)"}},
        yaxis={"tickvals": y, "ticktext": names, "range": [-0.6, len(table) - 0.1]},
        annotations=[note(f"{swatch(c['line'], 'own routing')}   {swatch(c['ink'], 'routing of the other one')}")],
    )  # fmt: skip


FIGURES = (
    FigureSpec(
        name="routing_transplant",
        title="Own routing and the other's",
        how_to_read=(
            "Each bar is the loss of a text: grey with its own routing, dark with that of the other trace. Every "
            "token then takes the loops and λ, the experts, or all of these, from the token at the same position "
            "there. The words stay, so any change of the loss comes from the routing alone."
        ),
        details=(
            "Both must have the same number of tokens: positions are matched, even where the words differ. The "
            "losses of A and B are means over their own tokens, so compare only bars of the same letter. Experts of "
            "two models share nothing but their numbers. A prediction is different if another next token is the "
            "likeliest."
        ),
        figure=routing_transplant_figure,
        table=transplant_tokens,
        of=TransplantTrace,
        follows=(),
    ),
)
