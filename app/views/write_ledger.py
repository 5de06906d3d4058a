"""What exactly did a layer write into the residual stream, and which part of it wrote what?"""

import streamlit as st

from app.panel import heading, panel

heading("Write ledger", "What exactly did this layer write into the residual stream, and which part of it wrote what?")
panel("write_stack", main=True)
left, right = st.columns(2)
with left:
    panel("write_waterfall")
with right:
    panel("stream_ledger")
