"""The export dialog: a figure as picture, HTML or data, pictures for a paper, a zip of everything, and links."""

from contextlib import nullcontext
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from analysis.catalogue import CATALOGUE, FigureSpec, OfTexts, routing_of
from analysis.export.bundle import bundle
from analysis.export.captions import caption
from analysis.export.files import Export, figure_html, figure_json, finished_figure, texts_json
from analysis.export.paper import COLUMNS_MM, FONTS, WIDTH_MM, Paper, unnamed, width_for_names
from analysis.export.pictures import NO_BROWSER, REMEDY, PictureFormat, browser_path, pictures
from analysis.export.routing_table import trace_parquet
from analysis.export.snippet import trace_file_name
from analysis.export.snippet_of_result import TEXTS_FILE
from analysis.export.tables import table_csv, table_parquet
from analysis.texts.study import SAMPLES
from app.components.copy_link import copy_link
from app.components.picture_buttons import picture_buttons
from app.frame.export_rows import MadeFile, made_button, make_button, row
from app.frame.report_row import report_row
from app.limits import LONGEST
from app.parts.page import Page
from app.parts.panel import chart
from app.server import queues
from app.session import comparing, results, state
from app.session.choices import chosen_options
from app.session.kept_choices import choices_to_link
from app.texts.text_link import text_to_link
from hooks.trace import RoutingTrace
from sample_models.registry import available_models

PREVIEW = "figure-export"
TO_STOP = "Close this window to stop."
SIZES_PT = (6, 7, 8, 9, 10)
FOR_A_PAPER: tuple[PictureFormat, ...] = ("pdf", "svg", "png")
ZIP_PICTURES: tuple[PictureFormat, ...] = ("svg", "pdf")
MIME = {"pdf": "application/pdf", "svg": "image/svg+xml", "png": "image/png"}


@st.dialog("Export", width="large", on_dismiss="rerun")  # so that closing it stops a running export
def export_dialog(page: Page) -> None:
    """A preview of the figure as it is exported (light theme, with caption and model), and all download buttons."""
    trace, view = state.current_trace(), state.current_view()
    specs = {each.name: each for each in page.exported(trace.meta) if results.why_not_exported(each) is None}
    titles = {name: each.title_of(trace.meta) for name, each in specs.items()}
    name = st.selectbox("Figure of this page", list(specs), format_func=titles.get)
    figure_spec = specs[name]
    drawn, options = results.current_result(figure_spec.of), chosen_options(figure_spec)
    figure = finished_figure(figure_spec, drawn, view, **options)
    chart(PREVIEW, figure, name=name, alt=titles[name])
    with row("Figure"):
        picture_buttons(PREVIEW)
        # A callable, so that the five megabytes with plotly.js are made only on a click.
        st.download_button("HTML", lambda: figure_html(figure, name), f"{name}.html", "text/html", on_click="ignore")
    with row("Its data"):
        table = figure_spec.table(drawn)
        st.download_button("CSV", table_csv(table), f"{name}.csv", "text/csv", on_click="ignore")
        st.download_button("Parquet", table_parquet(table), f"{name}.parquet", on_click="ignore")
        made = figure_json(figure_spec, drawn, view, **options)
        st.download_button("JSON", made, f"{name}.json", "application/json", on_click="ignore")
        if isinstance(drawn, OfTexts) and drawn.name != SAMPLES and not getattr(drawn, "code", ""):
            st.download_button("Texts", texts_json(drawn), TEXTS_FILE, "application/json", on_click="ignore")
    chosen = _for_a_paper(figure_spec, options)
    with row("Whole text"):
        file = trace_file_name(state.current_prompt().name)
        st.download_button("Trace file", trace.to_bytes(), file, on_click="ignore")
        st.download_button("Routing table", trace_parquet([trace]), "routing.parquet", on_click="ignore")
        _everything(chosen)
    report_row(page)
    _links()
    st.caption(
        "Your browser makes the SVG and PNG. The trace file holds every number about this text and opens without a "
        "model: `RoutingTrace.load(path)`."
    )


@dataclass(frozen=True)
class _Choices:
    """What the reader chose for pictures in a paper, and the button that makes one."""

    paper: Paper
    kind: PictureFormat
    wanted: bool
    """Whether the button was pressed."""
    place: DeltaGenerator
    """Where it stands, and the download after it."""
    beside: DeltaGenerator
    """Where the caption of the picture is offered."""


def _paper_choices(name: str) -> _Choices:
    """The widgets for width, letters, format and marks, and the button; they count for the zip too."""
    browser = browser_path()
    one, two = COLUMNS_MM.values()
    with row("For a paper", align="bottom"):
        width = st.number_input(
            "Width in mm",
            *map(int, WIDTH_MM),
            value=int(one),
            step=5,
            help=f"{one:g} mm is one column of most papers, {two:g} mm is two.",
            width=130,
        )
        font = st.selectbox("Letters", list(FONTS), width=90)
        size = st.selectbox("Size", SIZES_PT, 1, format_func="{} pt".format, width=90)
        kind = st.selectbox("Format", FOR_A_PAPER, format_func=str.upper, width=90)
        marked = st.toggle(
            "Mark the selection", help="Draws lines around the selected token and layer, as on the page."
        )
        wanted, place = make_button(_picture_file(name, kind), why_not=None if browser else f"{NO_BROWSER} {REMEDY}")
        beside = st.empty()
    if browser is None:
        st.caption("The server has no Chrome or Chromium to draw this picture with.")
    return _Choices(Paper(float(width), font, float(size), selection=marked), kind, wanted, place, beside)


def _for_a_paper(figure_spec: FigureSpec, options: dict[str, str]) -> _Choices:
    """A picture for a paper and its caption, once they are made; what was chosen for it."""
    chosen = _paper_choices(figure_spec.name)
    paper, kind = chosen.paper, chosen.kind
    drawn, view = results.current_result(figure_spec.of), state.current_view()
    export = Export(state.current_trace(), view, (drawn,), options={figure_spec.name: options}, paper=paper)
    if told := _names_told(figure_spec, export):
        st.caption(told)
    key = ("picture", figure_spec.name, tuple(options.items()), routing_of(drawn), view, paper, kind)
    file = _picture_file(figure_spec.name, kind)
    if made_button(file, chosen.wanted, chosen.place, key, lambda: _picture(export, figure_spec, kind)):
        words = caption(figure_spec, routing_of(drawn), view, marked=paper.selection, **options)
        chosen.beside.download_button(
            "Download caption", words, f"{figure_spec.name}.caption.txt", "text/plain", on_click="ignore"
        )
    return chosen


def _picture_file(name: str, kind: PictureFormat) -> MadeFile:
    return MadeFile(f"Make {kind.upper()}", lambda made: f"Download {kind.upper()}", f"{name}.{kind}", MIME[kind])


def _names_told(figure_spec: FigureSpec, export: Export) -> str | None:
    """How the tokens are named in a picture that has no room for all their names, and the width that has."""
    paper, tokens = export.paper, export.trace.num_tokens
    step = unnamed(figure_spec, export.drawn(figure_spec), export.view, paper)
    if step is None:
        return None
    first, end = export.view.span(tokens)
    least = width_for_names(end - first, paper)
    how = f"one token in {step} has its name" if step else "tokens have numbers instead of names"
    room = (
        f"from {least:g} mm on there is room for all names"
        if least <= WIDTH_MM[1]
        else "no available width has room for all names"
    )
    return f"At {paper.width_mm:g} mm {how}; {room}."


def _picture(export: Export, figure_spec: FigureSpec, kind: PictureFormat) -> bytes:
    with st.spinner("Drawing…", show_time=True), queues.browser_turn(), pictures() as draw:
        return export.picture(figure_spec, kind, draw)


def _everything(chosen: _Choices) -> None:
    """The zip of all figures and tables of this text, made with a progress bar after a click."""
    trace, view = state.current_trace(), state.current_view()
    options = {figure_spec.name: taken for figure_spec in CATALOGUE if (taken := chosen_options(figure_spec))}
    kinds = [kind for kind in dict.fromkeys(figure_spec.of for figure_spec in CATALOGUE) if results.can_draw(kind)]
    file = MadeFile("Make everything (zip)", lambda made: "Download everything", "everything.zip", "application/zip")
    wanted, place = make_button(file, help="Its pictures follow the choices above under For a paper.")
    formats = tuple(dict.fromkeys((*ZIP_PICTURES, chosen.kind)))

    def make() -> bytes:
        bar = st.progress(0.0, f"Making figures and tables… {TO_STOP}")
        more = tuple(results.current_result(kind) for kind in kinds if kind is not RoutingTrace)
        shipped = trace.meta.get("model") in dict(available_models())
        with queues.browser_turn() if browser_path() else nullcontext():
            content = bundle(
                Export(trace, view, more, options=options, paper=chosen.paper),
                prompt=state.current_prompt().name,
                shipped=shipped,
                from_file=state.trace_file() is not None,
                picture_formats=formats,
                progress=lambda done, of, name: bar.progress(done / of, f"{done} of {of}: {name}. {TO_STOP}"),
            )
        bar.empty()
        return content

    key = ("zip", trace, view, str(options), kinds, results.chosen_inputs(), chosen.paper, formats)
    made_button(file, wanted, place, key, make)


def _links() -> None:
    """Links to this view with its choices; a text of the visitor's own is only in the second link."""
    prompt, view = state.current_prompt(), state.current_view()
    choices = {"choices": value} if (value := choices_to_link()) else {}
    with row("Link"):
        copy_link("Copy link", choices)
        if state.trace_file() is not None:
            st.caption("The link does not contain the trace file that you opened.")
        elif (prompt.example or len(prompt.text) <= LONGEST) and comparing.fits_into_link():
            text = {} if prompt.example else {"text": text_to_link(prompt.text), "own": None}
            if text := text | comparing.link_with_text():
                copy_link("Copy link with my text", text | {"token": str(view.token)} | choices)
                st.caption("Only the second link contains your own text; anyone who has that link can read it.")
        else:
            st.caption(f"The link does not contain your own text, which is longer than {LONGEST:,} characters.")
