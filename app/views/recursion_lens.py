"""Recursion lens page: the choice of the target token, and the rounding error."""

import streamlit as st

from analysis.words.numbers import significant
from app.parts.target_picker import target_picker, target_problems
from app.session.results import can_draw, shown_result
from hooks.lens_trace import LensTrace


def target() -> None:
    """The choice of the token whose rank and probability the figures follow."""
    if can_draw(LensTrace):
        target_picker("target")
        target_problems("target")


def rounding() -> None:
    """The rounding error of the readings."""
    if can_draw(LensTrace):
        lens = shown_result(LensTrace)
        error = lens.rounding
        if "depth" not in lens.routing.parts:
            how = f"differ from the model's by up to {significant(error, 1)}" if error else "are exactly the model's"
            st.caption(f"Read after the last layer, the logits {how}.")
            return
        st.caption(
            "At the token's actual exit, the result is exactly the model's own run. For the other exits the token "
            "runs again by itself, with other rounding: if nothing is changed, its logits then differ from the "
            f"model's by up to {significant(error, 1)}."
        )
