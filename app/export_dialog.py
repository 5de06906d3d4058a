"""Everything that leaves the app: a figure with its caption, its data, and the trace of the whole text."""

import streamlit as st

from analysis.catalogue import CATALOGUE, spec
from analysis.export import figure_html, finished_figure, table_csv, trace_parquet
from app import state
from app.components.picture_buttons import picture_buttons
from app.panel import chart, chosen_options

PREVIEW = "figure-export"


@st.dialog("Export", width="large")
def export_dialog(page: str) -> None:
    """Preview of the finished figure (light, with caption and model), and downloads of it, its data and the trace."""
    trace, view = state.current_trace(), state.current_view()
    name = st.selectbox(
        "Figure of this page",
        [found.name for found in CATALOGUE if found.page == page and state.can_draw(found.of)],
        format_func=lambda name: spec(name).title,
    )
    found = spec(name)
    drawn = state.current(found.of)
    figure = finished_figure(found, drawn, view, **chosen_options(found))
    chart(PREVIEW, figure, name=name, alt=found.title)
    pictures, data, whole = st.columns([3, 1, 3])
    with pictures, st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Figure**", width="content")
        picture_buttons(PREVIEW)
        # Callable: five megabytes of plotly.js are only made when somebody wants them.
        st.download_button("HTML", lambda: figure_html(figure, name), f"{name}.html", "text/html", on_click="ignore")
    with data, st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Its data**", width="content")
        st.download_button("CSV", table_csv(found.table(drawn)), f"{name}.csv", "text/csv", on_click="ignore")
    with whole, st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Whole text**", width="content")
        st.download_button("Trace file", trace.to_bytes(), "text.trace.safetensors", on_click="ignore")
        st.download_button("Parquet", lambda: trace_parquet([trace]), "routing.parquet", on_click="ignore")
    st.caption(
        "Pictures are made by your browser. The trace file holds every number of this text and opens without a model: "
        "`RoutingTrace.load(path)`."
    )
