"""The row of the export dialog for the report of the text or, on the page Compare, of what is compared."""

from collections.abc import Callable

import streamlit as st

from analysis.catalogue import CATALOGUE
from analysis.compare.pair import TracePair
from analysis.export.pictures import NO_BROWSER_FOR_PDF, browser_path
from analysis.export.printing import pdf
from analysis.export.report import report_of
from analysis.export.report_page import Report
from analysis.export.snippet import trace_file_name
from app.frame.export_rows import MadeFile, made_button, make_button, row
from app.parts.page import Page
from app.server import queues
from app.session import choices, comparing, results, state
from hooks.trace import RoutingTrace

HELP = (
    "Tokens, answers, tables, figures, where the numbers come from and how to make them again, in one file of 5 MB or "
    "more. It opens offline and sends nothing."
)


def report_row(page: Page) -> None:
    """Buttons for the report as HTML, made by the click, and as a PDF, made first."""
    compared = page.url_path == "compare" and results.can_draw(TracePair)
    of, what = (TracePair, "comparison") if compared else (RoutingTrace, "text")
    file = trace_file_name(state.current_prompt().name).replace(".trace.safetensors", f".{what}")
    why_not = None if browser_path() else NO_BROWSER_FOR_PDF
    report = _report(of)
    with row("Report"):
        label = f"Report of the {what} (HTML)"
        made_by_click = f"{file}.html", "text/html"
        st.download_button(label, lambda: report().html(), *made_by_click, on_click="ignore", help=HELP)
        printed = MadeFile("Make report (PDF)", _label, f"{file}.pdf", "application/pdf")
        wanted, place = make_button(printed, why_not=why_not)
        of_what = state.current_trace(), state.current_view(), comparing.beside() if compared else None
        key = "report", *of_what, str(_options()), choices.shown_colouring()
        made_button(printed, wanted, place, key, lambda: _printed(report))


def _label(made: bytes) -> str:
    return f"Download report (PDF, {len(made) / 1e6:.1f} MB)"


def _report(of: type) -> Callable[[], Report]:
    """Makes the report of what the page shows now; it asks the session for nothing, because a click runs it later."""
    drawn, view, options = results.current_result(of), state.current_view(), _options()
    name = "" if of is TracePair else state.current_prompt().name
    quantity, scope = choices.shown_colouring()
    return lambda: report_of(drawn, view, name=name, options=options, colour_by=quantity, of_layer=scope == "layer")


def _options() -> dict[str, dict[str, str]]:
    """The options of figures that the visitor chose otherwise than they are by default."""
    chosen = {each.name: (each, choices.chosen_options(each)) for each in CATALOGUE if each.choice}
    return {
        name: taken
        for name, (each, taken) in chosen.items()
        if taken and each.choice.chosen(taken) != each.choice.default
    }


def _printed(report: Callable[[], Report]) -> bytes:
    with st.spinner("Printing…", show_time=True), queues.browser_turn():
        return pdf(report())
