"""The schematic of one layer with the selected token's numbers: the head of the Walkthrough and of a first Overview."""

import streamlit as st

from analysis.catalogue import spec
from analysis.explain.schematic import MOST_LOOP_STEPS, layer_run, layer_steps, summary
from app.components.schematic_steps import schematic_steps
from app.parts.data_and_code import data_and_code
from app.parts.panel import chart, title
from app.session.drawings import drawing
from app.session.put_away import is_put_away, put_away
from app.session.state import current_trace, current_view

NAME = "layer_schematic"
SCHEMATIC = "schematic"


def first_schematic() -> None:
    """The schematic for a visitor who has not put it away."""
    if not is_put_away(SCHEMATIC):
        schematic(can_be_put_away=True)


def schematic(*, can_be_put_away: bool = False) -> None:
    """The drawing, the buttons that show it step by step, and its data and code."""
    figure_spec, trace, view = spec(NAME), current_trace(), current_view()
    with title(figure_spec.title):
        if can_be_put_away:
            st.button(
                "Put away",
                key="put_schematic_away",
                on_click=put_away,
                args=(SCHEMATIC,),
                type="tertiary",
                help="The drawing stays at the top of the page Walkthrough.",
            )
    st.caption(figure_spec.how_to_read)
    key = f"figure-{NAME}"
    run = layer_run(trace, view.layer, view.token)
    drawn = drawing(key, figure_spec, trace, {}, 1.0)
    chart(key, drawn.given_figure, name=NAME, alt=f"{figure_spec.title}: a drawing, told in words below it")
    schematic_steps(key, whole=summary(run), steps=layer_steps(run), most_loops=min(run.max_loops, MOST_LOOP_STEPS))
    data_and_code(figure_spec, {})
