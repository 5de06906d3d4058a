"""Recursion page: why the selected token loops so often in the selected layer, in sentences."""

import streamlit as st

from analysis.explain.near_miss import TwoPrecisions
from analysis.parts import why_lacking_result
from app.components.answer_line import answer_rows
from app.parts.panel import title
from app.session.answers import answer_of_choice, follow
from app.session.results import can_draw, trace_half_precision
from app.session.state import current_trace, why_no_model


def why_so_many_loops() -> None:
    """What is known of the choice of the depth head, and the button that measures whether bfloat16 flips it."""
    if not (rows := answer_of_choice()):
        return
    with title("Why does the selected token loop this often?"):
        able = why_lacking_result(TwoPrecisions, current_trace().meta) is None
        if (
            able
            and not can_draw(TwoPrecisions)
            and st.button(
                "Trace in bfloat16",
                disabled=bool(why_no_model()),
                help=why_no_model() or "Would rounding flip the choice?",
            )
        ):
            trace_half_precision()
            st.rerun()
    answer_rows(rows, page="Recursion", on_follow=follow)
