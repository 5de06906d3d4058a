"""Forced depth page: the buttons that start its sweeps, their progress, and what is known of the shipped models."""

from functools import partial

import streamlit as st

from analysis.texts.gate_placement import placement_table, told
from app.parts.panel import panel, title
from app.parts.stop_button import stop_button
from app.server.forced_depth import DEPTH, GATE, GATES
from app.session import forced_depth, pending
from app.session.state import current_trace
from app.texts.gate_placements import shipped_placement
from app.texts.markdown import literal
from hooks.depth_effects import DepthEffects


def depths() -> None:
    """The button that forces every depth, its progress, and how far an ended sweep came."""
    _sweep(DEPTH)
    effects = forced_depth.current_sweep(DepthEffects)
    if effects is not None and not effects.complete and not forced_depth.running_job(DEPTH):
        ran, able = int(effects.ran.sum()), effects.routing.num_tokens - 1
        st.caption(f"{ran:,} of {able:,} tokens were run and are kept; the button goes on from there.")


def other_texts() -> None:
    """What was measured of this model over the sample texts."""
    placement = shipped_placement(current_trace().meta.get("weights_sha256"))
    if not placement:
        st.caption(
            "How this model's gate compares with other gates over several texts was measured only for the models "
            "that come with the explorer."
        )
        return
    title("Over several texts, is the learned gate better than others?")
    st.caption(literal(told(placement)))
    st.dataframe(placement_table(placement), hide_index=True, key="gate-placement")


def moved_gate() -> None:
    """The figure of lambda moved by hand, for the selected token and layer, and its button."""
    panel("gate_sweep")
    _sweep(GATE)


def other_gates() -> None:
    """The figure of all gates, and the button that runs them."""
    panel("frontier")
    _sweep(GATES)


def _sweep(kind: str) -> None:
    """The button that starts a sweep, or its progress and the button that stops it."""
    if forced_depth.running_job(kind):
        st.fragment(_progress, run_every=0.3)(kind)
        return
    if not forced_depth.needs_run(kind):
        return
    why_not = forced_depth.why_not_started(kind)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            forced_depth.BUTTONS[kind],
            key=f"start-{kind}",
            type="primary" if kind == DEPTH else "secondary",
            disabled=bool(why_not),
            help=why_not,
            on_click=pending.callback(partial(forced_depth.start, kind)),
        )
        if kind == DEPTH and not why_not:
            st.caption(
                "Runs every number of loops for every token in every layer, one at a time. It continues while you "
                "look at other pages, and if you stop it, what was run is kept.",
                width="stretch",
            )


def _progress(kind: str) -> None:
    """Progress of the running sweep, and the button that stops it."""
    job = forced_depth.running_job(kind)
    if job is None:
        st.rerun()  # the whole page, which shows what was found and ends the fragment's timer
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(min(job.share, 1.0), text=f"{job.told} {job.seconds:.0f} s")
        stop_button(f"stop-{kind}", on_click=forced_depth.stop, args=(kind,))
