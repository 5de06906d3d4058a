"""The UMAP map of the recursion on its page: the figure once it is made, and below it what makes it."""

import streamlit as st

from app.parts.panel import panel
from app.session import umap_maps
from app.session.results import can_draw, current
from app.session.state import current_view, without_model
from hooks.path_trace import PathTrace


def umap_panel() -> None:
    """The map of the current text, or the button that makes it, or how far it is."""
    running = umap_maps.making()
    if can_draw(PathTrace) and not running:
        umap_maps.look_up(current(PathTrace))
    panel("neighbourhoods")
    if without_model():
        return
    if running:
        st.fragment(_progress, run_every=0.3)()
        return
    paths = current(PathTrace)
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
    """How far the map in the making is, and the button that stops it."""
    found = umap_maps.making()
    if found is None:
        st.rerun()  # the whole page: it shows the map now, and ends the fragment's own clock
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(found.share, text=f"{found.said} {found.seconds:.0f} s")
        st.button("Stop", key="stop-umap", on_click=umap_maps.stop)
