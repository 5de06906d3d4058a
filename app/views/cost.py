"""Cost page: what is not counted, and the measured time."""

import streamlit as st

from analysis.explain.cost import counted_and_measured, heads_share
from app.parts.panel import title
from app.session.ffn_times import ffn_times, measure_ffn
from app.session.state import current_trace, why_no_model

RUNS = {
    "dense": "one pass for all",
    "as chosen": "as chosen, with experts",
    "deepest": "all as deep as the deepest",
    "all loops": "all loops for all",
}


def not_counted() -> None:
    """A line on what the counted cost leaves out."""
    share = heads_share(current_trace())
    st.caption(f"Routers and depth heads are not counted: they add {share:.2%} of a pass for every token and layer.")


def by_the_clock() -> None:
    """The FFNs' time on this machine, measured on demand, beside the counted cost."""
    with title("Measured time"):
        why_not = why_no_model()
        if st.button("Measure", disabled=why_not is not None, help=why_not):
            with st.spinner("Measuring…", show_time=True):
                measure_ffn()
            st.rerun()
    if not (seconds := ffn_times()):
        st.caption(
            "**Measure** runs the FFNs of all layers on this text several times, on the machine that serves this "
            f"page, and shows the measured time beside the count. {why_not or ''}"
        )
        return
    table = counted_and_measured(current_trace(), seconds)
    st.dataframe(
        table.assign(run=table["run"].map(RUNS)),
        hide_index=True,
        column_config={
            "counted": st.column_config.NumberColumn(format="%.2f×"),
            "measured": st.column_config.NumberColumn(format="%.2f×"),
            "milliseconds": st.column_config.NumberColumn("ms", format="%.2f"),
        },
    )
    st.caption(
        "One pass for all tokens is 1. The times are medians of alternating runs of the FFNs alone, without "
        "attention and output head; “deepest” and “all loops” run without experts. With a small model and a short "
        "text, much of the time goes into starting operations, which FLOPs do not count. A busy machine adds noise, "
        "so compare ratios and measure again."
    )
