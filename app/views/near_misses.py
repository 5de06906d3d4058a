"""Where would a small change have flipped a choice?"""

import streamlit as st

from analysis.explain.near_miss import precision_flips, precision_numbers
from analysis.figures import precision_map_figure
from analysis.figures.fitting import fit
from analysis.figures.template import take_selection
from app.parts.panel import chart, heading, panel, title
from app.session.drawings import figure_width, page_view, remember_marks
from app.session.results import trace_half_precision, traced_half_precision
from app.session.state import current_trace, select, without_model
from app.session.widgets import selected_row


def decided_otherwise(trace, other) -> None:
    """What the same text decided otherwise in bfloat16: counts, map, and the flips as rows that select."""
    found = precision_numbers(trace, other)
    figure = precision_map_figure(trace, other, page_view())
    fit(figure, figure_width())
    remember_marks("figure-precision_map", take_selection(figure))
    chart("figure-precision_map", figure, name="precision_map", alt="Where bfloat16 decides otherwise")
    widest = f" The widest margin that flipped was {found.widest_margin:.3f} logits." if found.loops_differ else ""
    st.caption(
        f"bfloat16 ran other loops for {found.loops_differ} of {found.pairs} pairs of token and layer, and other "
        f"experts for {found.experts_differ} of the {found.routed_in_both} that routed both times.{widest} In layer 0 "
        "the difference is rounding alone; above, a token may also differ because a layer below did."
    )
    flips = precision_flips(trace, other)
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
        st.caption("A row selects its token and layer.")


heading("Near misses", "Where would a small change have flipped a choice?", "margin", "near miss", "logit")
panel("near_miss_map", main=True)
panel("flip_distance")
with title("Does half precision decide alike?"):
    why_not = without_model()
    if st.button("Trace in bfloat16", disabled=bool(why_not or traced_half_precision()), help=why_not):
        trace_half_precision()
        st.rerun()
if other := traced_half_precision():
    decided_otherwise(current_trace(), other)
else:
    st.caption(
        "Rounding alone can decide a near miss. The button runs the same weights over the same text once more, in "
        f"bfloat16, and shows which choices come out otherwise. {why_not or ''}"
    )
