"""Reports as one HTML file: its blocks, and the page around them.

The file needs nothing else and can reach nothing else. Its own policy forbids every address, and every script but the
two that stand in it, by their hashes. What a block holds is text wherever it stands: the template escapes all of it.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jinja2
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from analysis.export.paper import Paper
from analysis.export.pictures import as_vectors
from analysis.figures.runs.paper_clouds import svg_source
from analysis.figures.template import MINUS_SCRIPT, config
from analysis.words.labels import how_many
from analysis.words.numbers import NOTHING, column
from analysis.words.strip import EMPTY, HATCHED, Strip

HERE = Path(__file__).parent
PAPER = Paper(180.0, "sans", 7.0)
"""How the figures of a report are laid out: as wide as a page of paper, on which they are drawn at this size."""


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    text: str
    lead: str = ""
    """Bold words before it."""
    muted: bool = False
    kind: Literal["words"] = "words"


@dataclass(frozen=True)
class Code:
    """Commands or code, with a sentence above."""

    text: str
    caption: str = ""
    kind: Literal["code"] = "code"


@dataclass(frozen=True)
class Table:
    """Rows of texts."""

    columns: list[str]
    rows: list[list[str]]
    right: tuple[int, ...] = ()
    """Columns that are set at their right edge, such as numbers."""
    caption: str = ""
    folded: str = ""
    """Words behind which it is folded away; "" for a table that is open."""
    beside: bool = False
    """Whether it stands beside the tables before and after it where there is room."""
    kind: Literal["table"] = "table"


@dataclass(frozen=True)
class Cell:
    """A token of a text as it stands in the report."""

    label: str
    told: str
    """What a reader learns of it under the pointer."""
    badge: str = ""
    fill: str = ""
    ink: str = ""
    look: str = ""
    breaks: bool = False
    indent: int = 0


@dataclass(frozen=True)
class Text:
    """A text as its coloured tokens, with the legend of the colours."""

    cells: list[Cell]
    legend: list[tuple]
    """(kind, value, colour of letters): a text, a swatch, a bar of colours, or hatching."""
    caption: str = ""
    kind: Literal["strip"] = "strip"


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure with its title and caption, drawn by the one Plotly of the page."""

    name: str
    """Of letters, digits and underscores, and of no other drawing of the report."""
    title: str
    caption: str
    figure: go.Figure
    """With its width and height in pixels."""
    kind: Literal["drawing"] = "drawing"

    @property
    def width(self) -> int:
        """Pixels."""
        return round(self.figure.layout.width)

    @property
    def height(self) -> int:
        """Pixels."""
        return round(self.figure.layout.height)


@dataclass(frozen=True)
class Picture:
    """An SVG with its title and caption. It stands in the page as an image, so nothing in it can run."""

    name: str
    title: str
    caption: str
    svg: str
    alt: str
    width: int
    height: int
    """Pixels."""
    kind: Literal["picture"] = "picture"

    @property
    def source(self) -> str:
        """The picture as the address of an image."""
        return svg_source(self.svg)


Block = Words | Code | Table | Text | Drawing | Picture


@dataclass(frozen=True)
class Section:
    """Blocks under a heading."""

    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Report:
    """What a report says, before it is a file."""

    title: str
    about: tuple[str, ...]
    """Lines below the title."""
    sections: tuple[Section, ...] = field(default_factory=tuple)

    @property
    def drawings(self) -> list[Drawing]:
        """Its figures."""
        return [block for section in self.sections for block in section.blocks if isinstance(block, Drawing)]

    def html(self, *, vectors: bool = False) -> bytes:
        """The report as one HTML file. With `vectors`, maps are drawn as shapes instead of images, for print."""
        scripts = (get_plotlyjs(), _script())
        figures = {each.name: _figure_json(each, vectors) for each in self.drawings}
        css = f":root {{ --print-zoom: {PAPER.scale:.4f} }}\n{(HERE / 'report.css').read_text('utf-8')}"
        page = _template().render(
            report=self,
            css=css,
            figures=figures,
            allowed=" ".join(map(_hash, scripts)),
            scripts=scripts,
            size=_size_told(len(figures), sum(map(len, figures.values())), len(scripts[0])),
        )
        return page.encode("utf-8")


def table(
    frame: pd.DataFrame, names: dict[str, str] | None = None, *, digits: int = 3, caption: str = "", folded: str = ""
) -> Table:
    """A table of a frame: `names` chooses its columns and names them. What is missing is a dash, never 0."""
    names = names or {str(each): str(each).replace("_", " ") for each in frame.columns}
    cells, right = [], []
    for place, name in enumerate(names):
        values = frame[name]
        if pd.api.types.is_bool_dtype(values):
            cells.append(["yes" if value else "no" for value in values])
        elif pd.api.types.is_float_dtype(values):
            right.append(place)
            cells.append(column(values.to_numpy(dtype=float, na_value=np.nan), digits))
        elif pd.api.types.is_integer_dtype(values):
            right.append(place)
            cells.append([NOTHING if pd.isna(value) else f"{value:,}" for value in values])
        else:
            cells.append([NOTHING if value is None or value is pd.NA else str(value) for value in values])
    rows = [list(row) for row in zip(*cells, strict=True)]
    return Table(list(names.values()), rows, tuple(right), caption, folded)


def text_block(strip: Strip, caption: str = "") -> Text:
    """The coloured tokens of a strip."""
    cells = []
    for place, label in enumerate(strip.labels):
        fill = strip.fill[place]
        coloured = strip.palette[fill] if fill >= 0 else ("", "")
        looks = [
            *(["hatched"] if fill == HATCHED else ["empty"] if fill == EMPTY else []),
            *(["white"] if strip.white[place] else []),
            *(["generated"] if strip.starts[place] >= strip.first_generated else []),
        ]
        told = f"token {strip.starts[place]}, {strip.quantity} {strip.values[place]}".replace(": ", " ")
        told += f", surprisal {strip.surprisal[place]}"
        badge, breaks, indent = strip.badges[place], strip.breaks[place], strip.indents[place]
        cells.append(Cell(label, told, badge, *coloured, " ".join(looks), breaks, indent))
    legend = [(kind, *(rest if len(rest) > 1 else (*rest, ""))) for kind, *rest in strip.legend]
    return Text(cells, legend, caption)


def model_line(meta: Mapping[str, Any]) -> str:
    """Which model it was, in a sentence."""
    return f"Model {meta.get('model', 'unknown')}, weights {str(meta.get('weights_sha256') or 'unknown')[:12]}."


def provenance(meta: Mapping[str, Any]) -> tuple[Block, ...]:
    """Model, weights, number format, configuration and versions."""
    told = {
        "model": meta.get("model", "unknown"),
        "SHA-256 of the weights": meta.get("weights_sha256") or "unknown",
        "weights changed since they were loaded": "yes" if meta.get("weights_changed") else None,
        "gates": {True: "trained", False: "untrained, so the routing is noise"}.get(meta.get("gates_trained")),
        "parameters": f"{meta['parameters']:,}" if meta.get("parameters") else None,
        "number format": meta.get("dtype"),
        "family": meta.get("family"),
        "what the model decides": ", ".join(sorted(meta["parts"])) if "parts" in meta else None,
        "versions": ", ".join(f"{name} {each}" for name, each in (meta.get("versions") or {}).items()) or None,
    }
    rows = [[name, str(value)] for name, value in told.items() if value is not None]
    config = [
        [str(name), each if isinstance(each, str) else json.dumps(each, ensure_ascii=False)]
        for name, each in (meta.get("config") or {}).items()
    ]
    folded = (Table(["setting", "value"], config, folded=f"Configuration: {how_many(len(config), 'setting')}"),)
    return (Table(["what", "value"], rows), *(folded if config else ()))


def _figure_json(drawing: Drawing, vectors: bool) -> str:
    fig = as_vectors(drawing.figure) if vectors else drawing.figure
    content = go.Figure(fig).to_json().rstrip().removesuffix("}")
    content = f'{content}, "config": {json.dumps(config(drawing.name))}}}'
    # Nothing of a text can end the script element that the JSON stands in.
    return content.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _script() -> str:
    minus = MINUS_SCRIPT.replace('"{plot_id}"', "place").strip()
    return (HERE / "report.js").read_text("utf-8").replace("/* MINUS */", minus.replace("\n", "\n  "))


def _hash(script: str) -> str:
    """The script as a source that the page's policy allows."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode()}'"


def _size_told(figures: int, figures_size: int, plotly_size: int) -> str:
    if not figures:
        return "This file needs no other, and it sends nothing."
    return (
        f"This file needs no other, and it sends nothing. About {(figures_size + plotly_size) / 1e6:.1f} MB of it draw "
        f"its {figures} figures; {plotly_size / 1e6:.1f} MB of that are Plotly."
    )


@cache
def _template() -> jinja2.Template:
    found = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    return found.from_string((HERE / "report.html.jinja").read_text("utf-8"))


__all__ = [
    "PAPER", "Block", "Cell", "Code", "Drawing", "Picture", "Report", "Section", "Table", "Text", "Words", "model_line",
    "provenance", "table", "text_block",
]  # fmt: skip
