"""How exact is this? One quiet line under every page: where its numbers come from, and on demand how exact they are."""

import pandas as pd
import streamlit as st

from analysis.faithfulness import provenance, summary
from app import results, state
from app.markdown import literal

MARKS = {"exact": "✓ exact", "rounding": "✓ up to rounding", "not faithful": "✗ not faithful"}
DIGITS = 12
"""Of a digest, in the line; the panel shows all."""


def exactness() -> None:
    """The line, for the model and the text that the frame shows."""
    trace = state.current_trace()
    where = provenance(trace)
    weights, text = where["weights"][:DIGITS], where["text"][:DIGITS]
    st.divider()
    st.caption(literal(f"Model {where['model']}, weights {weights}, {where['precision']}, text {text}"))
    _panel(where)


@st.fragment
def _panel(where: dict[str, str]) -> None:
    """Opening runs this fragment alone."""
    opener = st.expander("How exact is this?", key="exactness", type="compact", on_change="rerun")
    if not opener.open:
        return
    with opener:
        st.caption("  \n".join(f"**{name.capitalize()}** {literal(value)}" for name, value in where.items()))
        if why_not := state.without_model():
            st.caption(f"How exact the numbers are can be measured with the model alone. {why_not}")
            return
        place = st.empty()
        if (found := results.measured_exactness()) is None:
            with place.container():
                st.caption(
                    "The button runs this text again without hooks, with every token told to leave where it left, with "
                    "every path computed in full and apart, and beside another text; it compares logits, choices and "
                    "layers, and adds up what every layer wrote."
                )
                if not st.button("Measure"):
                    return
            with place, st.spinner("Running the text in every way that must agree…", show_time=True):
                results.measure_exactness()
            place.empty()
            found = results.measured_exactness()
        st.markdown(f"**{summary(found)}**")
        rows = [(each.name, MARKS[each.verdict], each.figure, each.meaning) for each in found]
        table = pd.DataFrame(rows, columns=["comparison", "verdict", "measured", "what was compared"])
        st.table(table.set_index("comparison"))
        st.caption("About this model and this text on this machine.")
