"""Exports: finished figures with their captions and tables, as files. The only module of analysis that writes."""

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from analysis.catalogue import CATALOGUE, Drawn, FigureSpec, OfTexts, routing_of
from analysis.export.captions import caption, numbers, source
from analysis.export.paper import Paper, paper_figure
from analysis.export.pictures import PICTURE_FORMATS, Draw, pictures
from analysis.export.routing_table import trace_parquet, trace_table, write_routing
from analysis.export.tables import (
    TABLE_FORMATS,
    table_csv,
    table_parquet,
    table_records,
)
from analysis.figures.template import MINUS_SCRIPT, config
from analysis.palette import THEMES
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import plotly_text
from hooks.files import whole_file
from hooks.trace import RoutingTrace

FORMATS = (*PICTURE_FORMATS, "html", *TABLE_FORMATS)
TITLE_PX, LINE_PX, CAPTION_WIDTH = 44, 17, 150
TRACE_ENDING = ".trace.safetensors"
ROUTING_TABLE = "routing.parquet"
PLOTLY_JS = "plotly.min.js"
FINISHED_PX = 1000
"""Width of a finished figure as a picture, in pixels of 1/96 inch."""


@dataclass(frozen=True)
class Export:
    """What is exported of a text, and how: figures of the catalogue, the view, the options of the figures."""

    trace: RoutingTrace
    view: View = DEFAULT_VIEW
    more: tuple[Drawn, ...] = ()
    """Other data than the trace, for figures that need it."""
    figures: tuple[FigureSpec, ...] | None = None
    """None = all that can be drawn from the given data (`left_out` says which cannot)."""
    options: dict[str, dict[str, str]] = field(default_factory=dict)
    """Name of a figure -> the options of its function."""
    paper: Paper | None = None
    """With it, pictures have the width and font of the paper, and captions are separate text files. None = finished
    figures, with title and caption inside."""

    def __post_init__(self) -> None:
        if missing := [spec.name for spec in self.figures or () if spec.of not in self._drawn]:
            raise ValueError(f"{', '.join(missing)} cannot be drawn from a trace alone: export it from its page")
        for spec in self.figures or ():
            if reason := spec.why_not(self.drawn(spec)):
                raise ValueError(f"{spec.name} cannot be drawn. {reason}")

    @property
    def specs(self) -> tuple[FigureSpec, ...]:
        """The figures exported."""
        return self.figures or tuple(
            spec for spec in CATALOGUE if spec.of in self._drawn and spec.name not in self.left_out
        )

    @property
    def left_out(self) -> dict[str, str]:
        """Name of a figure -> why it cannot be drawn, for figures whose kind of data is given."""
        given = [spec for spec in CATALOGUE if spec.of in self._drawn]
        return {spec.name: reason for spec in given if (reason := spec.why_not(self.drawn(spec)))}

    def drawn(self, spec: FigureSpec) -> Drawn:
        """The data of a figure."""
        return self._drawn[spec.of]

    def picture(self, spec: FigureSpec, format: str, draw: Draw) -> bytes:
        """One picture of a figure; `draw` is that of `pictures.pictures()`."""
        options, drawn = self.options.get(spec.name, {}), self.drawn(spec)
        if self.paper:
            return draw(paper_figure(spec, drawn, self.view, self.paper, **options), format, scale=self.paper.scale)
        return draw(finished_figure(spec, drawn, self.view, **options).update_layout(width=FINISHED_PX), format)

    @property
    def _drawn(self) -> dict[type, Drawn]:
        return {type(result): result for result in (self.trace, *self.more)}


def finished_figure(spec: FigureSpec, drawn: Drawn, view: View = DEFAULT_VIEW, **options: str) -> go.Figure:
    """The figure to be shown on its own: light, with title, caption, and the source of its numbers."""
    view = replace(view, theme="light")
    fig, trace = spec.figure(drawn, view, **options), routing_of(drawn)
    lines = [*textwrap.wrap(spec.whole_caption_of(trace.meta, **options), CAPTION_WIDTH)]
    for told in (numbers(spec, trace, view, **options), source(trace)):
        lines += textwrap.wrap(told, CAPTION_WIDTH)
    top = (fig.layout.margin.t or 30) + TITLE_PX
    bottom = fig.layout.margin.b or 40
    fig.update_layout(
        title={
            "text": spec.title_of(trace.meta), "x": 0, "xref": "container", "xanchor": "left", "pad": {"l": 12},
            "y": 1, "yref": "container", "yanchor": "top", "pad.t": 14, "font": {"size": 18},
        },
        margin={"t": top, "b": bottom + LINE_PX * len(lines) + 12},
        height=fig.layout.height + TITLE_PX + LINE_PX * len(lines) + 12,
    )  # fmt: skip
    fig.add_annotation(
        text="<br>".join(plotly_text(line) for line in lines), align="left", xref="paper", yref="paper",
        x=0, xanchor="left", y=0, yanchor="top", yshift=-bottom - 4,
        font={"size": 12, "color": THEMES["light"]["muted"]},
    )  # fmt: skip
    return fig


def figure_html(fig: go.Figure, name: str = "figure", *, plotlyjs: bool | str = True) -> bytes:
    """One HTML file with plotly.js inside: opens offline and sends nothing anywhere.

    `plotlyjs="directory"` expects plotly.min.js beside the file instead, so that many figures share one.
    """
    page = fig.to_html(
        include_plotlyjs=plotlyjs, full_html=True, config=config(name), div_id=name, post_script=MINUS_SCRIPT
    )
    return page.encode("utf-8")


def figure_json(spec: FigureSpec, drawn: Drawn, view: View = DEFAULT_VIEW, **options: str) -> bytes:
    """The figure's data as a JSON object: figure, title, how_to_read, numbers, source and records."""
    trace = routing_of(drawn)
    content = {
        "figure": spec.name,
        "title": spec.title_of(trace.meta),
        "how_to_read": spec.whole_caption_of(trace.meta, **options),
        "numbers": numbers(spec, trace, view, **options),
        "source": {key: trace.meta.get(key) for key in ("model", "weights_sha256", "text")}
        | {key: trace.meta[key] for key in ("interventions",) if key in trace.meta},
        "records": table_records(spec.table(drawn)),
    }
    return _json(content)


def export_files(export: Export, formats: Sequence[str], *, plotlyjs: bool | str = True) -> Iterator[tuple[str, bytes]]:
    """Yield (file name, content) of every file of an export.

    Per figure: pictures, `.html`, and its data as `.csv`, `.parquet`, `.json`; for a paper also `.caption.txt`. Once:
    `routing.parquet` and `routing.json`, one row per layer x token. Raises ValueError for an unknown format, and
    `PictureError` (a ValueError too) before the first file if pictures are asked for and no browser can draw them.
    `plotlyjs` as in `figure_html`.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise ValueError(f"unknown format {', '.join(unknown)}; known formats are {', '.join(FORMATS)}")
    wanted = [picture_format for picture_format in PICTURE_FORMATS if picture_format in formats]
    trace, view = export.trace, export.view
    with pictures() if wanted else nullcontext() as draw:
        for spec in export.specs:
            options, drawn = export.options.get(spec.name, {}), export.drawn(spec)
            for picture_format in wanted:
                yield f"{spec.name}.{picture_format}", export.picture(spec, picture_format, draw)
            if wanted and export.paper:
                words = caption(spec, routing_of(drawn), view, marked=export.paper.selection, **options)
                yield f"{spec.name}.caption.txt", words.encode("utf-8")
            if "html" in formats:
                yield (
                    f"{spec.name}.html",
                    figure_html(finished_figure(spec, drawn, view, **options), spec.name, plotlyjs=plotlyjs),
                )
            if "csv" in formats:
                yield f"{spec.name}.csv", table_csv(spec.table(drawn))
            if "parquet" in formats:
                yield f"{spec.name}.parquet", table_parquet(spec.table(drawn))
            if "json" in formats:
                yield f"{spec.name}.json", figure_json(spec, drawn, view, **options)
    if "parquet" in formats:
        yield ROUTING_TABLE, trace_parquet([trace])
    if "json" in formats:
        yield "routing.json", _json(table_records(trace_table(trace)))


def texts_json(study: OfTexts) -> bytes:
    """The texts of a study as a JSON list, which the code of its figures reads."""
    return _json(study.read)


def write_export(export: Export, out: Path, formats: Sequence[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Write the files of `export_files` into the folder `out`, created if missing; yield each path after writing it.

    HTML files of several figures share one plotly.min.js beside them; that of a single figure has it inside. With
    `overwrite`, the `exported_files` of an earlier export are removed before the first file is written.
    """
    shared = "html" in formats and len(export.specs) > 1
    files = export_files(export, formats, plotlyjs="directory" if shared else True)
    for number, (name, content) in enumerate(files):
        if number == 0:
            out.mkdir(parents=True, exist_ok=True)
            for path in exported_files(out) if overwrite else ():
                path.unlink()
            if shared:
                yield write_file(out / PLOTLY_JS, get_plotlyjs().encode("utf-8"))
        yield write_file(out / name, content)


def write_file(path: Path, content: bytes) -> Path:
    """Write a file that appears only when it is complete; returns its path."""
    with whole_file(path) as part:
        part.write_bytes(content)
    return path


def exported_files(folder: Path) -> list[Path]:
    """Files in a folder that have a name that `write_export` gives."""
    endings = (*FORMATS, "caption.txt")
    names = {f"{spec.name}.{ending}" for spec in CATALOGUE for ending in endings}
    names |= {PLOTLY_JS, ROUTING_TABLE, "routing.json"}
    return sorted(path for path in folder.iterdir() if path.name in names and path.is_file())


def remove_files(folder: Path, pattern: str) -> int:
    """Remove the files of a folder whose whole names match a pattern, and say how many. A missing folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    found = [path for path in folder.iterdir() if re.fullmatch(pattern, path.name) and path.is_file()]
    for path in found:
        path.unlink()
    return len(found)


def numbered_trace(folder: Path, number: int) -> Path:
    """The trace file of a prompt in a folder of many."""
    return folder / f"{number:04d}{TRACE_ENDING}"


def traced_files(folder: Path) -> list[Path]:
    """Files in a folder that have a name that a run of `trace` or `generate` gives: numbered traces, and the table."""
    numbered = rf"\d{{4,}}{re.escape(TRACE_ENDING)}|{re.escape(ROUTING_TABLE)}"
    return sorted(path for path in folder.iterdir() if re.fullmatch(numbered, path.name) and path.is_file())


def remove_traced_files(folder: Path) -> int:
    """Remove the `traced_files` of an earlier run, so that runs do not mix; returns their number."""
    earlier = traced_files(folder)
    for path in earlier:
        path.unlink()
    return len(earlier)


def write_routing_table(path: Path, traces: Iterable[RoutingTrace]) -> None:
    """`write_routing` into a file that appears only when it is complete: if interrupted, there is none."""
    path.unlink(missing_ok=True)  # an earlier run's
    with whole_file(path) as part, part.open("wb") as sink:
        write_routing(sink, traces)


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1).encode("utf-8")


__all__ = [
    "FORMATS", "ROUTING_TABLE", "Export", "export_files", "exported_files", "figure_html", "figure_json",
    "finished_figure", "numbered_trace", "remove_files", "remove_traced_files", "texts_json", "traced_files",
    "write_export", "write_file", "write_routing_table",
]  # fmt: skip
