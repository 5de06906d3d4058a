"""The UMAP map on the Geometry page: the figure once it is computed, and below it the button and the progress."""

import streamlit as st

from app.parts.panel import panel
from app.parts.stop_button import stop_button
from app.session import umap_maps
from app.session.results import can_draw, current_result
from app.session.state import current_view, why_no_model
from hooks.path_trace import PathTrace


def umap_panel() -> None:
    """The map of the current text, the button that starts it, or its progress."""
    running = umap_maps.running_job()
    if can_draw(PathTrace) and not running:
        umap_maps.load_from_disk(current_result(PathTrace))
    panel("neighbourhoods")
    if why_no_model():
        return
    if running:
        st.fragment(_progress, run_every=0.3)()
        return
    paths = current_result(PathTrace)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.segmented_control(
            "Layers of the map",
            [umap_maps.ONE, umap_maps.ALL],
            default=umap_maps.ONE,
            required=True,
            format_func=lambda which: "All layers" if which == umap_maps.ALL else f"Layer {current_view().layer}",
            key=umap_maps.LAYERS_KEY,
            label_visibility="collapsed",
            persist_state="session",
        )
        if umap_maps.current_map() is None:
            why_not = umap_maps.too_short(paths)
            st.button("Draw the map", on_click=umap_maps.start, args=(paths,), disabled=bool(why_not), help=why_not)


def _progress() -> None:
    """Progress of the running job, and the button that stops it."""
    job = umap_maps.running_job()
    if job is None:
        st.rerun()  # the whole page, which shows the map and ends the fragment's timer
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(job.share, text=f"{job.message} {job.seconds:.0f} s")
        stop_button("stop-umap", on_click=umap_maps.stop)
