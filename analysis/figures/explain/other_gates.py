"""What other gates cost and lose, and what lambda does when it is moved by hand."""

import numpy as np
import plotly.graph_objects as go

from analysis.explain.frontier import RULE_WORDS, curve, frontier_table, gate_sweep_table
from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.template import figure, note, quoted, sentence_figure, swatch
from analysis.palette import THEMES, gate_colour
from analysis.view import DEFAULT_VIEW, View
from analysis.words.numbers import number
from hooks.frontier_record import RULES, SCOPES, Frontier, GateSweep, Scope

HEIGHT = 400
SWEEP_HEIGHT = 320
SHORT = {
    "learned": ("◆", "learned gate"),
    "random": ("×", "shuffled"),
    "always": ("●", "always the same"),
    "threshold": ("▲", "thresholds moved"),
    "change": ("■", "short step"),
    "entropy": ("▼", "low entropy"),
    "oracle": ("★", "oracle"),
}
"""Rule -> its mark and name in the legend."""
SYMBOLS = ("diamond", "x", "circle", "triangle-up", "square", "triangle-down", "star")


def frontier_figure(found: Frontier, view: View = DEFAULT_VIEW) -> go.Figure:
    """Loss against mean loops of the learned gate and of all others, a line per rule."""
    c = THEMES[view.theme]
    colours = {
        "learned": c["depth"],
        "random": c["ink"],
        "always": c["ink"],
        "threshold": c["depth"],
        "change": c["muted"],
        "entropy": c["muted"],
        "oracle": c["change"][-1],
    }
    dashes = {"change": "dot", "entropy": "dash", "oracle": "dashdot"}
    data = [
        {
            "type": "scatter", "mode": "lines+markers", "name": RULE_WORDS[rule], "x": loops, "y": loss,
            "line": {"width": 1.4, "color": colours[rule], "dash": dashes.get(rule, "solid")},
            "marker": {
                "size": 14 if rule == "learned" else 9, "symbol": symbol, "color": colours[rule], "opacity": 1,
                "line": {"width": 1, "color": c["bg"]},
            },
            "hovertemplate": f"{RULE_WORDS[rule]}<br>%{{x:.2f}} loops, %{{y:.3f}} nats per token<extra></extra>",
        }
        for rule, symbol in sorted(zip(RULES, SYMBOLS, strict=True), key=lambda each: each[0] == "learned")
        for loops, loss in [curve(found, rule)]
    ]  # fmt: skip
    dealt = found.loss[[rule == "random" for rule in found.rule]]
    spread = {"type": "line", "x0": found.loops[0], "x1": found.loops[0], "y0": dealt.min(), "y1": dealt.max()}
    legend = "   ".join(swatch(colours[rule], name, mark) for rule, (mark, name) in SHORT.items())
    return figure(
        view,
        data,
        clickable=False,
        height=HEIGHT,
        xaxis={
            "range": [0.9, found.routing.max_loops + 0.1],
            "dtick": 1,
            "tick0": 1,
            "showgrid": True,
            "title": {"text": "mean FFN passes of a token in a layer"},
        },
        yaxis={"showgrid": True, "title": {"text": "loss (nats per token)"}},
        shapes=[spread | {"line": {"width": 1.4, "color": c["ink"]}}],
        annotations=[note(legend)],
    )


def gate_sweep_figure(found: GateSweep, view: View = DEFAULT_VIEW, *, scope: Scope = "cell") -> go.Figure:
    """Change of the loss as lambda goes from 0 to 1 in one cell, its layer or the model; what was chosen is marked."""
    c, trace = THEMES[view.theme], found.routing
    lines = [(found.loss[SCOPES.index(scope)], "solid", "this and all later predictions")]
    if scope == "cell":
        lines.append((found.own, "dot", "next prediction alone"))
        if np.isnan(found.own).all():
            return sentence_figure(view, "After the last token nothing is predicted.", SWEEP_HEIGHT)
    chosen = {
        "cell": trace.gate[found.layer, found.token],
        "layer": trace.gate[found.layer, ~trace.special],
        "model": trace.gate[:, ~trace.special],
    }[scope]
    if not chosen.size:
        return sentence_figure(view, "This text has only tokens that the tokenizer added.", SWEEP_HEIGHT)
    where = {
        "cell": f"{quoted(trace, found.token)} in layer {found.layer}",
        "layer": f"all tokens in layer {found.layer}",
        "model": "all tokens in all layers",
    }[scope]
    data = [
        {
            "type": "scatter", "mode": "lines+markers", "x": found.gate, "y": values, "name": name,
            "line": {"width": 1.6, "color": c["line"], "dash": dash},
            "marker": {
                "size": 9, "color": [gate_colour(gate, view.theme) for gate in found.gate], "opacity": 1,
                "line": {"width": 1, "color": c["line"]},
            },
            "hovertemplate": f"λ %{{x:.1f}}<br>{name} %{{y:+.4f}} nats<extra></extra>",
        }
        for values, dash, name in lines
    ]  # fmt: skip
    mean = float(np.mean(chosen))
    mark = {"type": "line", "yref": "y domain", "y0": 0, "y1": 1, "x0": mean, "x1": mean}
    mark["line"] = {"width": 1.4, "dash": "dot", "color": c["ink"]}
    told = f"┊ chosen λ {number(mean)}" if scope == "cell" else f"┊ mean of the chosen λ {number(mean)}"
    kinds = "   ━ this and all later predictions   ┈ next prediction alone" if scope == "cell" else ""
    return figure(
        view,
        data,
        clickable=False,
        height=SWEEP_HEIGHT,
        xaxis={"range": [-0.03, 1.03], "dtick": 0.25, "title": {"text": "λ, the share of the width path"}},
        yaxis={
            "title": {"text": "change of the loss (nats)"},
            "showgrid": True,
            "zeroline": True,
            "zerolinecolor": c["ink"],
        },
        shapes=[mark],
        annotations=[note(f"{where}   {told}{kinds}")],
    )


FIGURES = (
    FigureSpec(
        name="gate_sweep",
        title="What if λ had another value?",
        how_to_read=(
            "Each point is the text read again with this λ, forced for one token in one layer, for all tokens of "
            "that layer, or everywhere. Its height is the change of the mean loss, over the predictions that can "
            "change; zero is the text as the model reads it. The dotted line is the λ that the model chose, or its "
            "mean."
        ),
        details=(
            "The loops of the forced cells stay what they were; later cells choose anew. λ = 1 leaves only the "
            "experts, λ = 0 only the loops. The model was never trained with most of these mixtures, which alone may "
            "cost something. Where the line falls below zero, a better λ was found by trying on this text; that says "
            "nothing about other texts."
        ),
        figure=gate_sweep_figure,
        table=gate_sweep_table,
        choice=Choice("scope", {"cell": "Token in layer", "layer": "Layer", "model": "Model"}, "Where"),
        of=GateSweep,
        follows=(),
    ),
    FigureSpec(
        name="frontier",
        title="Does the learned gate buy quality with its loops?",
        how_to_read=(
            "Each mark is the whole text read under one gate: lower is better, further left is cheaper. The learned "
            "gate earns its place if it lies below “always the same” and below its own loops, shuffled. The "
            "oracle chooses the loops of each cell by their effect on the text that follows, which no gate can see."
        ),
        details=(
            "λ follows the loops everywhere. Shuffled: among the tokens of each layer, the mean of eight shuffles, and "
            "the bar their range. Thresholds moved: E[L] plus a constant, rounded. Short step: a token leaves a layer "
            "after the first loop whose step is short relative to the state; low entropy: after the first state whose "
            "logit lens has an entropy below a threshold. The oracle is greedy per cell: each cell takes the loops "
            "whose effect, forced alone, is best for all later predictions, minus a price per loop; together they "
            "need not be best. Cost counts loops only, since the experts reuse the first one."
        ),
        figure=frontier_figure,
        table=frontier_table,
        of=Frontier,
        follows=(),
    ),
)
