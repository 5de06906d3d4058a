"""What exactly did a layer write into the residual stream, and which part of it wrote what?"""

import streamlit as st

from analysis.explain.attribution import Attribution
from app.parts.panel import heading, panel
from app.parts.target_picker import target_picker, target_problems
from app.session.results import can_draw, current, measure_removals

heading(
    "Write ledger",
    "What exactly did this layer write into the residual stream, and which part of it wrote what?",
    "residual stream",
    "write",
    "λ",
)
panel("write_stack", main=True)
left, right = st.columns(2)
with left:
    panel("write_waterfall", share=1 / 2)
with right:
    panel("stream_ledger", share=1 / 2)
if can_draw(Attribution):
    with st.container(horizontal=True, vertical_alignment="bottom"):
        target_picker("target", "against")
        done = current(Attribution).measured
        if st.button("Remove the writes one at a time", disabled=done, help="Runs the selected token again per write."):
            measure_removals()
            st.rerun()
    target_problems("target", "against")
left, right = st.columns(2)
with left:
    panel("logit_attribution", share=1 / 2)
with right:
    panel("attribution_by_layer", share=1 / 2)
