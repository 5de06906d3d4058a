"""Schematic of one layer: which parts ran for the selected token, from the input H to the output Y.

Few paths and texts per step make the drawing: Plotly draws them quickly, and their names say in which step they appear
(`layer_steps` in analysis.explain.schematic), so that a page can show the drawing step by step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go

from analysis.explain.schematic import MOST_NAMED, LayerRun, layer_run, schematic_table
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.fitting import figure_px
from analysis.figures.schematic_places import Box, Places, cells, places
from analysis.figures.template import figure, note, quoted
from analysis.palette import THEMES, mix, text_on
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import plotly_text
from analysis.words.numbers import number, significant
from hooks.trace import RoutingTrace

MARGIN, TOP = 8, 30
INPUT, DECISION, WIDTH = 1, 2, 3
"""Steps of the parts that every layer has."""
NUMBERED_PX, WEIGHT_PX, WORDED_PX = 18, 32, 46
"""Least width of a cell that holds a number, of one with its weight below, and of one that holds "loop 1"."""
WORDS_PX = 64
"""Width of "did not run"."""
Paint = tuple[str, str, float, str]
"""Fill, colour of the line, its width in pixels, its dash."""
Text = tuple[float, float, str, str, str]
"""x, y, the text, its colour, and where it lies from the point."""
CLEAR = "rgba(0,0,0,0)"


@dataclass
class Sheet:
    """The drawing while it is made: paths by step and paint, texts by step."""

    paths: dict[tuple[int, Paint], list[str]] = field(default_factory=dict)
    texts: dict[int, list[Text]] = field(default_factory=dict)

    def path(self, step: int, points: Sequence[tuple[float, float]], paint: Paint, *, closed: bool = True) -> None:
        """A polygon, or an open line."""
        drawn = "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.paths.setdefault((step, paint), []).append(f"M{drawn}{'Z' if closed else ''}")

    def box(self, step: int, box: Box, paint: Paint) -> None:
        """A rectangle."""
        self.path(step, [(box.left, box.top), (box.right, box.top), (box.right, box.low), (box.left, box.low)], paint)

    def arrow(self, step: int, points: Sequence[tuple[float, float]], colour: str, *, dashed: bool = False) -> None:
        """A line through the points with a head at its end; the last piece is horizontal or vertical."""
        self.path(step, points, (CLEAR, colour, 1.5, "4px,3px" if dashed else "solid"), closed=False)
        (x0, y0), (x, y) = points[-2:]
        along = ((x > x0) - (x < x0), (y > y0) - (y < y0))
        base, across = (x - 8 * along[0], y - 8 * along[1]), (4 * along[1], 4 * along[0])
        sides = [(base[0] + sign * across[0], base[1] + sign * across[1]) for sign in (1, -1)]
        self.path(step, [(x, y), *sides], (colour, colour, 0, "solid"))

    def text(self, step: int, x: float, y: float, text: str, colour: str, at: str = "middle center") -> None:
        """A line of text; `at` says where it lies from the point."""
        self.texts.setdefault(step, []).append((x, y, text, colour, at))

    def lines(self, step: int, box: Box, lines: Sequence[str], colour: str) -> None:
        """Lines of text, centred in a box."""
        x, y = box.centre
        for row, line in enumerate(lines):
            self.text(step, x, y + 16 * (row - (len(lines) - 1) / 2), line, colour)


def layer_schematic_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """What the selected layer did with the selected token: its two paths, what of them ran, and how they were mixed.

    The sizes are those of the model's configuration. What ran has a solid outline, what did not run a dashed one. Every
    shape and trace is named "step n" after the step in which it appears.
    """
    run = layer_run(trace, view.layer, view.token)
    width = figure_px(view.room) - 2 * MARGIN
    where, sheet, c = places(width), Sheet(), THEMES[view.theme]
    _ends(sheet, where, run, c)
    _heads(sheet, where, run, c)
    _slices(sheet, where, run, c)
    _loops(sheet, where, run, c)
    _mixture(sheet, where, run, c)
    hidden = {"visible": False, "showgrid": False}
    return figure(
        view,
        [_text_trace(step, texts) for step, texts in sheet.texts.items()],
        clickable=False,
        height=round(where.height) + TOP + MARGIN,
        margin={"t": TOP, "b": MARGIN, "l": MARGIN, "r": MARGIN, "pad": 0},
        xaxis=hidden | {"range": [0, width]},
        yaxis=hidden | {"range": [where.height, 0]},
        hovermode=False,
        annotations=[note(f"{quoted(trace, view.token)}, layer {view.layer}   solid: ran   dashed: did not run")],
        shapes=[
            {
                "type": "path", "name": f"step {step}", "path": "".join(paths), "layer": "below",
                "fillcolor": fill, "line": {"color": colour, "width": px, "dash": dash},
            }
            for (step, (fill, colour, px, dash)), paths in sheet.paths.items()
        ],
    )  # fmt: skip


def _text_trace(step: int, texts: list[Text]) -> dict:
    x, y, text, colour, at = zip(*texts, strict=True)
    return {
        "type": "scatter", "mode": "text", "name": f"step {step}", "hoverinfo": "skip", "cliponaxis": False,
        "x": x, "y": y, "text": text, "textposition": at, "textfont": {"size": 12, "color": colour},
    }  # fmt: skip


def _ends(sheet: Sheet, where: Places, run: LayerRun, c: dict) -> None:
    """The input H, the output Y, and the lines from H to the two heads."""
    end = (c["bg"], c["ink"], 1.5, "solid")
    size = [f"{run.hidden_size:,} numbers"] if run.hidden_size else []
    sheet.box(INPUT, where.input, end)
    sheet.lines(INPUT, where.input, [f"<b>“{plotly_text(run.label)}”</b>", "<b>H</b>", *size], c["ink"])
    sheet.box(run.step_of_mixture, where.output, end)
    goes = "prediction" if run.last_layer else f"to layer {run.layer + 1}"
    sheet.lines(run.step_of_mixture, where.output, ["<b>Y</b>", goes], c["ink"])
    sheet.arrow(DECISION, where.to_depth_head, c["muted"])
    sheet.arrow(WIDTH, where.to_router, c["muted"], dashed=not run.width_ran)


def _heads(sheet: Sheet, where: Places, run: LayerRun, c: dict) -> None:
    """Depth head and router, with what they decided."""
    rule = f" = ({run.max_loops} − {run.loops}) / {run.max_loops}" if run.by_rule else ""
    decided = [f"{run.loops} of {run.max_loops} loops", f"difficulty {number(run.difficulty)}"]
    if where.tall_heads:
        decided += [f"λ{rule} = {significant(run.gate)}"]
    else:
        decided = [", ".join(decided), f"λ{rule} = {significant(run.gate)}"]
    sheet.box(DECISION, where.depth_head, (c["bg"], c["depth"], 1.5, "solid"))
    sheet.lines(DECISION, where.depth_head, ["<b>Depth head</b>", *decided], c["ink"])
    ran, ink = run.width_ran, c["ink" if run.width_ran else "muted"]
    picks = (
        f"picks {run.top_k} of {run.num_experts:,} slices" if ran else "not used: λ = 0" if run.gate <= 0 else "dropped"
    )
    sheet.box(WIDTH, where.router, (c["bg"], c["width"], 1.5, "solid") if ran else _idle(c))
    sheet.lines(WIDTH, where.router, ["<b>Router</b>", picks], ink)
    sheet.arrow(WIDTH, where.router_to_slices, c["width"] if ran else c["line"], dashed=not ran)
    sheet.arrow(run.step_of_loop(1), where.depth_head_to_loops, c["depth"])


def _idle(c: dict) -> Paint:
    """Paint of what did not run."""
    return c["bg"], c["line"], 1.2, "4px,3px"


def _slices(sheet: Sheet, where: Places, run: LayerRun, c: dict) -> None:
    """The width path: the FFN in slices, the chosen ones solid with their weights below."""
    lane, ran = where.slices, (mix(c["bg"], c["width"], 0.25), c["width"], 2.0, "solid")
    size = f" ({run.slice_units:,} units each)" if run.slice_units else ""
    title = f"<b>Width path</b>: slices of the FFN{size}, once"
    sheet.text(WIDTH, where.titles_left, lane.top - 12, title, c["width"], "middle right")
    each = cells(lane, run.num_experts, gap=4)
    numbered = each[0].width >= NUMBERED_PX
    if not numbered:
        sheet.box(WIDTH, lane, _idle(c))
        each = cells(lane, run.num_experts, gap=0)
    for expert, cell in enumerate(each):
        chosen = expert in run.experts
        if numbered or chosen:
            sheet.box(WIDTH, cell, ran if chosen else _idle(c))
        if numbered:
            name = f"<b>{expert}</b>" if chosen else str(expert)
            sheet.text(WIDTH, *cell.centre, name, c["ink" if chosen else "muted"])
    if not run.width_ran:
        sheet.text(WIDTH, lane.centre[0] - 6, lane.low + 11, "did not run", c["muted"], "middle left")
    elif lane.width / run.num_experts >= WEIGHT_PX:
        for expert, weight in zip(run.experts, run.weights, strict=True):
            x = each[expert].centre[0]
            sheet.text(WIDTH, x + 4, lane.low + 11, number(weight), c["ink"], "middle right")
    else:
        pairs = list(zip(run.experts, run.weights, strict=True))[:MOST_NAMED]
        named = ", ".join(f"{expert} ({number(weight)})" for expert, weight in pairs)
        more = f" and {len(run.experts) - len(pairs)} more" if len(run.experts) > len(pairs) else ""
        sheet.text(WIDTH, lane.left, lane.low + 34, f"ran: {named}{more}", c["ink"], "middle right")
    _collect(sheet, where, run, [each[expert].centre[0] for expert in run.experts], c)


def _collect(sheet: Sheet, where: Places, run: LayerRun, chosen: list[float], c: dict) -> None:
    """Lines from the chosen slices to the level below them, and on to the mixture."""
    end, lane = where.slices_to_mixture[0], where.slices
    colour, dash = (c["width"], "solid") if run.width_ran else (c["line"], "4px,3px")
    falls = chosen or [lane.centre[0]]
    for x in falls:
        sheet.path(WIDTH, [(x, lane.low), (x, end[1])], (CLEAR, colour, 1.5, dash), closed=False)
    way = [(min(falls), end[1]), *where.slices_to_mixture]
    sheet.arrow(run.step_of_mixture, way, colour, dashed=not run.width_ran)


def _loops(sheet: Sheet, where: Places, run: LayerRun, c: dict) -> None:
    """The depth path: one cell per loop, each a run of the whole FFN; those after the last are dashed."""
    lane, ran = where.loops, (mix(c["bg"], c["depth"], 0.25), c["depth"], 2.0, "solid")
    size = f" ({run.units:,} units)" if run.units else ""
    title = f"<b>Depth path</b>: the whole FFN{size}, again and again"
    sheet.text(run.step_of_loop(1), where.titles_left, lane.top - 12, title, c["depth"], "middle right")
    gap = 20 if lane.width / run.max_loops > 60 else 3
    each = cells(lane, run.max_loops, gap=gap)
    for loop, cell in enumerate(each, 1):
        step, here = run.step_of_loop(loop), loop <= run.loops
        sheet.box(step, cell, ran if here else _idle(c))
        word = f"loop {loop}" if cell.width >= WORDED_PX else str(loop)
        if cell.width >= NUMBERED_PX:
            sheet.text(step, *cell.centre, f"<b>{word}</b>" if here else word, c["ink" if here else "muted"])
        if gap == 20 and loop > 1:
            y = cell.centre[1]
            line = c["depth"] if here else c["line"]
            sheet.arrow(step, [(each[loop - 2].right, y), (cell.left, y)], line, dashed=not here)
    leaves, last, level = each[run.loops - 1].centre[0], run.step_of_loop(run.loops), where.loops_to_mixture[0][1]
    beside = -1 if run.loops < run.max_loops and lane.right - leaves < 2 * WORDS_PX else 1
    at = "middle left" if beside < 0 else "middle right"
    sheet.text(last, leaves + 4 * beside, lane.low + 11, f"H({run.loops})", c["ink"], at)
    if run.loops < run.max_loops:
        sheet.text(last, lane.right, lane.low + 11, "did not run", c["muted"], "middle left")
    way = [(leaves, lane.low), (leaves, level), *where.loops_to_mixture]
    sheet.arrow(run.step_of_mixture, way, c["depth"])


def _mixture(sheet: Sheet, where: Places, run: LayerRun, c: dict) -> None:
    """The bar in which both paths have their weights, the weights beside it, and the line to the output."""
    step, share = run.step_of_mixture, min(max(run.gate, 0.0), 1.0)
    sheet.arrow(step, where.to_output, c["muted"])
    x, y, at = where.width_weight
    sheet.text(step, x, y, f"λ = {significant(run.gate)}" if run.gate > 0 else "λ = 0", c["ink"], at)
    x, y, at = where.depth_weight
    sheet.text(step, x, y, f"1 − λ = {significant(1 - run.gate)}", c["ink"], at)
    parts = [("width", share), ("depth", 1 - share)]
    parts = parts if where.width_first else parts[::-1]
    for box, (name, part) in zip(where.mixture.split(parts[0][1]), parts, strict=True):
        if part <= 0:
            continue
        sheet.box(step, box, (c[name], c[name], 1.0, "solid"))
        if box.height >= 15 and box.width >= 36:
            sheet.text(step, *box.centre, name, text_on(c[name]))


FIGURES = (
    FigureSpec(
        name="layer_schematic",
        title="One layer, step by step",
        how_to_read=(
            "The drawing shows what one layer did with the selected token. The layer uses one feed-forward "
            "network (FFN) in two ways: the width path runs a few slices of it once, the depth path runs all of "
            "it, again and again. For every token, a small depth head chooses the number of loops, which also "
            "sets how the two outputs are mixed."
        ),
        figure=layer_schematic_figure,
        table=schematic_table,
    ),
)
