"""What exactly did a layer write into the residual stream, and which part of it wrote what?"""

import streamlit as st

from analysis.explain.attribution import Attribution
from app.parts.target_picker import target_picker, target_problems
from app.session.results import can_draw, current, measure_removals


def targets_and_removals() -> None:
    """Choice of the logit that is explained, and the button that removes every write."""
    if not can_draw(Attribution):
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        target_picker("target", "against")
        done = current(Attribution).measured
        if st.button("Remove the writes one at a time", disabled=done, help="Runs the selected token again per write."):
            measure_removals()
            st.rerun()
    target_problems("target", "against")
