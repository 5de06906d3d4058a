"""Near misses page: the comparison with bfloat16."""

import streamlit as st

from analysis.catalogue import spec
from analysis.explain.near_miss import TwoPrecisions, precision_flips, precision_numbers
from app.parts.panel import panel, title
from app.session.results import can_draw, current_result, trace_half_precision
from app.session.state import select, why_no_model
from app.session.widgets import selected_row


def half_precision() -> None:
    """Which choices differ in bfloat16, computed on demand."""
    if can_draw(TwoPrecisions):
        panel("precision_map")
        decided_otherwise(current_result(TwoPrecisions))
        return
    with title(spec("precision_map").title):
        why_not = why_no_model()
        if st.button("Trace in bfloat16", disabled=bool(why_not), help=why_not):
            trace_half_precision()
            st.rerun()
    st.caption(
        "Rounding alone can flip a near miss. **Trace in bfloat16** runs the same weights on the same text again in "
        f"bfloat16 and shows which choices change. {why_not or ''}"
    )


def decided_otherwise(traces: TwoPrecisions) -> None:
    """How many choices differ, and a table of them whose rows select token and layer."""
    numbers = precision_numbers(traces)
    widest = f" The largest margin that flipped was {numbers.widest_margin:.3f} logits." if numbers.loops_differ else ""
    st.caption(
        f"In bfloat16 the number of loops changed for {numbers.loops_differ} of {numbers.pairs} token and layer "
        f"pairs, and the experts changed for {numbers.experts_differ} of the {numbers.routed_in_both} pairs that "
        f"routed both times.{widest}"
    )
    flips = precision_flips(traces)
    flips = flips[(flips["loops_differ"] | flips["experts_differ"].fillna(False)) & ~flips["special"]]

    def chosen() -> None:
        if (row := selected_row("flips")) is not None:
            select(token=flips["token"].iloc[row], layer=flips["layer"].iloc[row])

    if len(flips):
        st.dataframe(
            flips,
            hide_index=True,
            key="flips",
            height="content" if len(flips) <= 7 else 250,
            on_select=chosen,
            selection_mode="single-row",
            column_order=["text", "token", "layer", "loops", "other_loops", "experts_differ", "margin"],
            column_config={
                "other_loops": "loops in bfloat16",
                "experts_differ": "other experts",
                "margin": st.column_config.NumberColumn("margin of the loops, logits", format="%.3f"),
            },
        )
        st.caption("Click the box before a row to select its token and layer.")
