"""Experts page: the list of the tokens that one expert of the selected layer serves."""

import streamlit as st

from analysis.experts import routed, served_tokens
from analysis.palette import THEMES
from analysis.words.labels import how_many
from app.parts.panel import title
from app.session.expert_list import EXPERT_KEY, expert_follows
from app.session.state import current_trace, current_view, select
from app.session.widgets import selected_row

BUTTONS = 16
"""Most experts that are chosen by buttons in a row; more are chosen from a list."""
TABLE_PX = 285
"""The same for every expert, so that nothing below moves with the selected token."""


def tokens_of_expert() -> None:
    """The choice of an expert and the table of its tokens. A newly selected token brings its first expert."""
    trace, view = current_trace(), current_view()
    first = int(trace.expert_ids[view.layer, view.token, 0]) if trace.width_ran[view.layer, view.token] else None
    selection = (trace.meta.get("model"), trace.meta.get("text"), view.layer, view.token)
    expert_follows(selection, first, trace.num_experts)
    with title(f"Tokens of one expert of layer {view.layer}"):
        words = {"options": list(range(trace.num_experts)), "label_visibility": "collapsed", "key": EXPERT_KEY}
        if trace.num_experts <= BUTTONS:
            expert = st.segmented_control("Expert", required=True, persist_state="session", **words)
        else:
            expert = st.selectbox("Expert", persist_state="session", width=120, **words)
    served = served_tokens(trace, view.layer)
    served = served[(served["expert"] == expert) & ~served["special"]]
    tokens = int(routed(trace)[view.layer].sum())
    ahead = int((served["rank"] == 0).sum())
    st.markdown(
        f"Expert {expert} of layer {view.layer} serves **{len(served)}** of the {how_many(tokens, 'token')} that "
        f"routed there, **{ahead}** of them as their first choice."
    )

    def chosen() -> None:
        if (row := selected_row("served")) is not None:
            select(token=served["token"].iloc[row])

    st.dataframe(
        served.assign(choice=served["rank"] + 1),
        hide_index=True,
        key="served",
        height=TABLE_PX,
        on_select=chosen,
        selection_mode="single-row",
        column_order=["text", "token", "choice", "weight"],
        column_config={
            "weight": st.column_config.ProgressColumn(
                "weight", min_value=0, max_value=1, format="%.2f", color=THEMES[view.theme]["width"]
            )
        },
        placeholder="–",
    )
    st.caption("The largest weight comes first. Click the box before a row to select its token.")
