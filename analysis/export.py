"""Files: finished figures, tables and the routing table. The only module here that writes."""

import io
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from analysis.catalogue import CATALOGUE, Drawn, FigureSpec, routing_of
from analysis.figures.palette import THEMES
from analysis.figures.template import config
from analysis.labels import plotly_text, token_labels
from analysis.view import DEFAULT_VIEW, View
from hooks.trace import RoutingTrace

FORMATS = ("html", "csv", "parquet")
ROUTING_COLUMNS = [
    "prompt", "layer", "token", "text", "loops", "gate", "width_ran", "expert_ids", "expert_weights",
    "difficulty_hard", "difficulty_soft", "logprob",
]  # fmt: skip
TITLE_PX, LINE_PX, CAPTION_WIDTH = 44, 17, 150


def finished_figure(spec: FigureSpec, drawn: Drawn, view: View = DEFAULT_VIEW, **options: str) -> go.Figure:
    """The figure as it stands alone: light, with title, caption, and where its numbers come from."""
    view = View(layer=view.layer, token=view.token, window=view.window, theme="light")
    fig, trace = spec.figure(drawn, view, **options), routing_of(drawn)
    lines = [*textwrap.wrap(spec.how_to_read, CAPTION_WIDTH), *textwrap.wrap(_numbers(trace, view), CAPTION_WIDTH)]
    lines.append(_source(trace))
    top = (fig.layout.margin.t or 30) + TITLE_PX
    bottom = fig.layout.margin.b or 40
    fig.update_layout(
        title={
            "text": spec.title, "x": 0, "xref": "container", "xanchor": "left", "pad": {"l": 12},
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


def figure_html(fig: go.Figure, name: str = "figure") -> bytes:
    """One HTML file with plotly.js inside: opens offline and sends nothing anywhere."""
    page = fig.to_html(include_plotlyjs=True, full_html=True, config=config(name))
    return page.encode("utf-8")


def table_csv(table: pd.DataFrame) -> bytes:
    """CSV in UTF-8 with a byte order mark, lists as JSON, missing values empty.

    Without the mark, Excel takes the tokens' characters for another encoding; pandas, R and polars skip it. Token
    text is written exactly as it is, so load the file as data: do not let a spreadsheet evaluate cells such as "=".
    """
    plain = table.copy()
    for column in filter(lambda name: pd.api.types.is_object_dtype(plain[name]), plain.columns):
        plain[column] = [json.dumps(v) if isinstance(v, list) else v for v in plain[column]]
    return plain.to_csv(index=False).encode("utf-8-sig")


def trace_parquet(traces: list[RoutingTrace]) -> bytes:
    """The routing table: one row per prompt x layer x token. Experts are null where the token did not route."""
    tables = [trace.to_frame().assign(prompt=index) for index, trace in enumerate(traces)]
    buffer = io.BytesIO()
    pd.concat(tables, ignore_index=True)[ROUTING_COLUMNS].to_parquet(buffer, index=False)
    return buffer.getvalue()


def export_trace(trace: RoutingTrace, out: Path, formats: Sequence[str]) -> list[Path]:
    """Write the trace's figures (html), their data (csv) and the routing table (parquet) into `out`; the files.

    Figures that need more than a trace (`FigureSpec.of`) leave through their page or `finished_figure`.
    """
    unknown = [each for each in formats if each not in FORMATS]
    if unknown:
        raise ValueError(f"unknown format {', '.join(unknown)}; known formats are {', '.join(FORMATS)}")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    files: dict[str, bytes] = {}
    for each in (found for found in CATALOGUE if found.of is RoutingTrace):
        if "html" in formats:
            files[f"{each.name}.html"] = figure_html(finished_figure(each, trace), each.name)
        if "csv" in formats:
            files[f"{each.name}.csv"] = table_csv(each.table(trace))
    if "parquet" in formats:
        files["routing.parquet"] = trace_parquet([trace])
    for name, content in files.items():
        (out / name).write_bytes(content)
    return [out / name for name in files]


def _numbers(trace: RoutingTrace, view: View) -> str:
    label = token_labels(trace)[view.token]
    text = f"{trace.num_tokens} tokens, {trace.num_layers} layers. "
    text += f"Selected: token {view.token} “{label}”, layer {view.layer}."
    if trace.special.any():
        text += f" Means leave out {int(trace.special.sum())} token(s) that the tokenizer added."
    return text


def _source(trace: RoutingTrace) -> str:
    weights = str(trace.meta.get("weights_sha256") or "unknown")[:12]
    untrained = " Gates untrained: routing is noise." if trace.meta.get("gates_trained") is False else ""
    return f"Model {trace.meta.get('model', 'unknown')}, weights {weights}.{untrained}"


__all__ = ["FORMATS", "export_trace", "figure_html", "finished_figure", "table_csv", "trace_parquet"]
