"""The report of the chosen run under its filter, on the page Atlas."""

from functools import partial

import streamlit as st

from analysis.export.pictures import NO_BROWSER_FOR_PDF, browser_path
from analysis.export.printing import pdf
from analysis.export.report import report_of
from analysis.export.report_page import Report
from analysis.export.snippet import trace_file_name
from app.frame.export_rows import MadeFile, made_button, make_button, row
from app.parts.run_panel import of_a_run
from app.server import queues
from app.server.runs import told
from app.session import run_choice, run_paper

HELP = (
    "What the run is of, figures, tables, some texts, where the numbers come from and how to make them again, in one "
    "file of 5 MB or more. It opens offline and sends nothing."
)


@of_a_run
def report_row() -> None:
    """Buttons for the report as HTML and as a PDF, each made after a click."""
    run, chosen, folder = run_choice.current_run(), run_choice.chosen_filter(), run_choice.run_folder()
    cosines, _ = run_paper.measured()
    name, why_not = run_choice.run_name(), None if browser_path() else NO_BROWSER_FOR_PDF

    def report() -> Report:
        with told(folder):
            return report_of(run, chosen=chosen, cosines=cosines, name=name)

    def printed() -> bytes:
        with st.spinner("Printing…", show_time=True), queues.browser_turn():
            return pdf(report())

    file = f"{trace_file_name(name).partition('.')[0]}.run"
    with row("Report"):
        of_what = folder, run.counts, chosen, cosines
        html = MadeFile("Make report (HTML)", partial(_label, "HTML"), f"{file}.html", "text/html")
        pages = MadeFile("Make report (PDF)", partial(_label, "PDF"), f"{file}.pdf", "application/pdf")
        asked = make_button(html, help=HELP), make_button(pages, why_not=why_not)
        made_button(html, *asked[0], ("run-report-html", *of_what), lambda: report().html())
        made_button(pages, *asked[1], ("run-report", *of_what), printed)


def _label(kind: str, made: bytes) -> str:
    return f"Download report ({kind}, {len(made) / 1e6:.1f} MB)"


__all__ = ["report_row"]
