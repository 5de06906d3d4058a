"""Overview page: four numbers, and the table of the tokens with the highest and the lowest difficulty."""

import numpy as np
import streamlit as st

from analysis.difficulty import difficulty_extremes, surprisal
from analysis.overview import overview_numbers
from app.parts.panel import difficulty_column, panel, title
from app.session.state import current_trace, model_facts, select
from app.session.widgets import selected_row
from app.texts.glossary import explained
from app.texts.markdown import literal


def numbers_of_the_text() -> None:
    """Four numbers over the whole text."""
    trace = current_trace()
    numbers = overview_numbers(trace)
    loops, gate, depth_only, compute = st.columns(4)
    loops.metric("Loops per token and layer", f"{numbers.mean_loops:.2f} of {trace.max_loops}", help=explained("loop"))
    gate.metric("Width share (mean λ)", f"{numbers.mean_gate:.2f}", help=explained("λ"))
    depth_only.metric("Skipped the experts", f"{numbers.did_not_route:.0%}", help=explained("did not route"))
    compute.metric(
        "Compute, dense FFN = 1",
        f"{numbers.ffn_equivalents:.2f}×",
        help=f"{explained('FFN-equivalent')} This is the paper's nominal count per token and layer.",
    )


def other_family() -> None:
    """What there is to count of a text in a model of another family, and what readers must know about the model."""
    trace, facts = current_trace(), model_facts()
    read = surprisal(trace)
    columns = st.columns(3)
    columns[0].metric("Tokens", f"{trace.num_tokens:,}")
    surprise = f"{np.nanmean(read):.2f} nats" if np.isfinite(read).any() else "–"
    columns[1].metric("Mean surprisal of a token", surprise, help=explained("surprisal"))
    if "width" in trace.parts:
        columns[2].metric(
            "Experts of a token", f"{trace.own_k} of {trace.num_experts}", help=explained("router", parts=trace.parts)
        )
    elif "depth" in trace.parts:
        told = explained("loop", parts=trace.parts)
        columns[2].metric("Loops of a token", f"{trace.loops.mean():.2f} of {trace.max_loops}", help=told)
    for note in facts.notes:
        st.caption(literal(note))
    if "width" in trace.parts:
        panel("expert_load_by_layer", main=True)


def extremes() -> None:
    """A table of the tokens with the highest and the lowest difficulty, whose rows select the token."""
    title("Highest and lowest difficulty")
    table = difficulty_extremes(current_trace())

    def chosen() -> None:
        if (row := selected_row("extremes")) is not None:
            select(token=table.token.iloc[row])

    st.dataframe(
        table,
        hide_index=True,
        key="extremes",
        on_select=chosen,
        selection_mode="single-row",
        column_order=["text", "token", "difficulty", "surprisal"],
        column_config={
            "difficulty": difficulty_column("difficulty"),
            "surprisal": st.column_config.NumberColumn("surprisal, nats", format="%.1f"),
        },
        placeholder="–",
    )
    st.caption(
        "Difficulty is soft difficulty, averaged over layers: the depth that the depth head expected to assign, not "
        "how hard the token is. Ranking tokens by the loops that ran can give another order. Click the box before a "
        "row to select its token."
    )
