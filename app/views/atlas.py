"""Atlas page: a whole run, of which every panel shows the tokens that count."""

import streamlit as st

from analysis.figures.figure_spec import FigureSpec
from analysis.figures.fitting import fit
from analysis.figures.runs.atlas import ATLAS_FIGURES
from app.parts.own_run import own_run_panel
from app.parts.panel import chart, title
from app.parts.run_bar import run_bar
from app.parts.run_sql import sql_box
from app.parts.run_texts import texts_dialog, texts_panel
from app.server.runs import RunError
from app.session import drawings, run_choice, state
from app.texts.markdown import literal

SPECS = {spec.name: spec for spec in ATLAS_FIGURES}


def overview() -> None:
    """The bar of the run and the main figure."""
    if run_bar():
        _draw(SPECS["run_loops"], main=True)


def loops() -> None:
    """How often tokens loop in each layer."""
    _draw(SPECS["run_loops"])


def gate() -> None:
    """How each layer mixes its paths."""
    _draw(SPECS["run_gate"])


def experts() -> None:
    """The load of the experts."""
    _draw(SPECS["run_load"])
    _draw(SPECS["run_balance"])


def texts() -> None:
    """The tokens that count, in their texts."""
    if _run() is not None:
        texts_panel()


def own_file() -> None:
    """A run of the visitor's own file."""
    own_run_panel()


def sql() -> None:
    """Questions in SQL."""
    if (run := _run()) is not None:
        sql_box(run)


def behind() -> None:
    """The window with the tokens behind the part of a figure that was clicked."""
    if _run() is not None and run_choice.behind() is not None:
        texts_dialog()


def _draw(spec: FigureSpec, *, main: bool = False) -> None:
    """A figure of the run with its title and how to read it."""
    if _run() is None:
        return
    drawn, view = run_choice.current_atlas(), state.current_view()
    try:
        figure = spec.figure(drawn, view)  # asks the run
    except RunError as error:
        st.text(str(error))
        return
    title(spec.title)
    if lacking := spec.why_lacking(drawn.meta):
        st.caption(literal(lacking))
        return
    fit(figure, drawings.figure_width())
    chart(f"figure-{spec.name}", figure, name=spec.name, alt=spec.title)
    st.caption(f"**How to read.** {spec.how_to_read}" if main else spec.how_to_read, help=spec.details or None)


def _run():
    """The chosen run; None if there is none, or none that can be shown, which the bar has told."""
    try:
        return run_choice.current_run()
    except RunError:
        return None


__all__ = ["behind", "experts", "gate", "loops", "overview", "own_file", "sql", "texts"]
