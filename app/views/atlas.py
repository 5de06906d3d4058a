"""Atlas page: a whole run, of which every panel shows the tokens that count."""

from analysis.figures.runs.atlas import ATLAS_FIGURES
from app.parts.own_run import own_run_panel
from app.parts.run_bar import run_bar
from app.parts.run_panel import of_a_run, run_figure
from app.parts.run_sql import sql_box
from app.parts.run_texts import texts_dialog, texts_panel
from app.session import run_choice

SPECS = {spec.name: spec for spec in ATLAS_FIGURES}


def overview() -> None:
    """The bar of the run and the main figure."""
    if run_bar():
        _draw("run_loops", main=True)


def loops() -> None:
    """How often tokens loop in each layer."""
    _draw("run_loops")


def gate() -> None:
    """How each layer mixes its paths."""
    _draw("run_gate")


def experts() -> None:
    """The load of the experts."""
    _draw("run_load")
    _draw("run_balance")


@of_a_run
def texts() -> None:
    """The tokens that count, in their texts."""
    texts_panel()


def own_file() -> None:
    """A run of the visitor's own file."""
    own_run_panel()


@of_a_run
def sql() -> None:
    """Questions in SQL."""
    sql_box(run_choice.current_run())


@of_a_run
def behind() -> None:
    """The window with the tokens behind the part of a figure that was clicked."""
    if run_choice.behind() is not None:
        texts_dialog()


@of_a_run
def _draw(name: str, *, main: bool = False) -> None:
    run_figure(SPECS[name], run_choice.current_atlas(), main=main)


__all__ = ["behind", "experts", "gate", "loops", "overview", "own_file", "sql", "texts"]
