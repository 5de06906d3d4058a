"""Write ledger page: the choice of the explained logit, and the measured removals."""

import streamlit as st

from analysis.explain.attribution import Attribution
from app.parts.target_picker import target_picker, target_problems
from app.session.results import can_draw, current_result, measure_removals


def targets_and_removals() -> None:
    """The choice of the logit to explain, and the button that removes each write in turn."""
    if not can_draw(Attribution):
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        target_picker("target", "against")
        done = current_result(Attribution).measured
        if st.button(
            "Remove the writes one at a time", disabled=done, help="Runs the selected token once more for each write."
        ):
            measure_removals()
            st.rerun()
    target_problems("target", "against")
