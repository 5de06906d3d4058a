"""The paper's figures of the chosen run, on the page Atlas: Fig. 4, 5 and 6 and Table 2, and all of them as files."""

from contextlib import nullcontext
from html import escape

import streamlit as st

from analysis.export.paper_run import cloud_name, paper_files, paper_zip
from analysis.export.pictures import browser_path
from analysis.figures.runs.paper import COSINE, COST, LOOPS, WORDS
from analysis.figures.runs.paper_clouds import svg_source
from analysis.runs.atlas import Atlas
from analysis.runs.paper import cloud_levels
from analysis.runs.paper_paths import SAMPLE
from analysis.words.numbers import significant
from app.frame.export_rows import made_file
from app.parts.panel import title
from app.parts.run_panel import of_a_run, run_figure
from app.server import queues
from app.session import run_choice, run_paper

PICTURES = ("svg", "pdf")


@of_a_run
def paper_figures() -> None:
    """All figures, and the button that makes their files."""
    drawn = run_choice.current_atlas()
    run_figure(LOOPS, drawn)
    levels = cloud_levels(drawn.sizes) if "gate" in drawn.sizes.parts and drawn.tokens else []
    if levels:
        title("Word clouds at two values of λ (the paper's Fig. 5)")
        for column, level in zip(st.columns(len(levels)), levels, strict=True):
            with column:
                _cloud(level)
        run_figure(WORDS, drawn)
    _cosines()
    run_figure(COST, drawn)
    _files(drawn)


def _cloud(level: float) -> None:
    svg, caption = run_paper.cloud(level)
    st.markdown(f"λ {significant(level)}")
    if svg:
        with st.container(key=cloud_name(level).replace(".", "-")):
            st.html(_picture(svg, f"Word cloud of λ {significant(level)}; the same words stand in the table below it."))
    st.caption(caption if svg else "No word has this λ.")


def _picture(svg: str, alt: str) -> str:
    """An image with words for who does not see it, which `st.image` has no place for."""
    return f'<img src="{svg_source(svg)}" alt="{escape(alt)}" style="width: 100%">'


def _cosines() -> None:
    """Fig. 6, once prompts were read again."""
    found, problem = run_paper.measured()
    if problem:
        st.text(problem)
    if found:
        run_figure(COSINE, found)
        return
    with title(COSINE.title):
        why_not = run_paper.why_not_measured()
        label = f"Read {SAMPLE} prompts again"
        st.button(label, on_click=run_paper.ask, disabled=why_not is not None, help=why_not)
    st.caption("A run does not hold the outputs of the paths: its model must read some of the prompts again.")


def _files(drawn: Atlas) -> None:
    """One click for all figures as files."""
    pictures = PICTURES if browser_path() else ()
    formats, (found, _) = (*pictures, "html", "csv", "json"), run_paper.measured()

    def make() -> bytes:
        with st.spinner("Making the figures…", show_time=True), queues.browser_turn() if pictures else nullcontext():
            return paper_zip(paper_files(drawn, found, formats=formats))

    told = "as pictures one column wide (85 mm), " if pictures else ""
    wanted = st.button(
        "Make the paper's figures (zip)",
        help=f"The figures above {told}as HTML and data, with captions. Fig. 6 is among them once prompts were read "
        "again.",
    )
    key = "paper-zip", drawn.name, drawn.chosen, run_choice.current_run().counts, found
    if made := made_file(wanted, key, make):
        label = f"Download the paper's figures ({len(made) / 1e6:.1f} MB)"
        st.download_button(label, made, "paper_figures.zip", "application/zip", on_click="ignore")


__all__ = ["paper_figures"]
