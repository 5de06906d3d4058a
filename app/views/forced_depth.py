"""Forced depth page: the buttons that start its sweeps, their progress, and what is known of the shipped models."""

from functools import partial

import streamlit as st

from analysis.texts.gate_placement import MOST_TOKENS, GatePlacement, placement_table, told
from analysis.words.labels import how_many
from app.parts.panel import panel, title
from app.parts.stop_button import stop_button
from app.parts.study_picker import choose_texts
from app.server.forced_depth import DEPTH, GATE, GATES, TEXTS
from app.session import forced_depth, pending, state, text_study
from app.texts.markdown import literal
from hooks.depth_effects import DepthEffects

CHOICES = {text_study.SAMPLE: "Sample texts", text_study.OWN: "Your list"}


def depths() -> None:
    """The button that forces every depth, its progress, and how far an ended sweep came."""
    _sweep(DEPTH)
    effects = forced_depth.current_sweep(DepthEffects)
    if effects is not None and not effects.complete and not forced_depth.running_job(DEPTH):
        ran, able = int(effects.ran.sum()), effects.routing.num_tokens - 1
        kept = "was run and is" if ran == 1 else "were run and are"
        st.caption(f"{ran:,} of {how_many(able, 'token')} {kept} kept; the button goes on from there.")


def other_texts() -> None:
    """Where the learned gate lies in the sample texts or in the visitor's list, and the button that measures it."""
    title("Over several texts, is the learned gate better than others?")
    if state.why_no_model():
        _placement(forced_depth.shipped())
        return
    if text_study.run_chosen():
        text_study.choose_texts(text_study.SAMPLE)  # a run holds no effects of other depths
    if not choose_texts("Texts measured", CHOICES):
        return
    if why_not := text_study.why_no_texts() or forced_depth.why_no_other_depth():
        st.caption(why_not)
        return
    if known := forced_depth.shipped():
        _placement(known)
        return
    _measure_texts()
    if known := forced_depth.placed():
        for sentence in known.left_out:
            st.caption(literal(f"Left out: {sentence}"))
        _placement(known.found)


def _measure_texts() -> None:
    """The button that measures the chosen texts, or its progress."""
    if forced_depth.running_job(TEXTS):
        st.fragment(_progress, run_every=0.3)(TEXTS)
        return
    if not (left := forced_depth.texts_to_run()):
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        start = pending.callback(partial(forced_depth.start, TEXTS))
        st.button(forced_depth.BUTTONS[TEXTS], key="start-texts", on_click=start)
        st.caption(
            f"Of {how_many(left, 'text')} the first {MOST_TOKENS} tokens are forced to every depth and read under "
            "other gates, which takes some seconds each in a small model. What was run is kept if you stop it.",
            width="stretch",
        )


def _placement(found: GatePlacement | None) -> None:
    if found:
        st.caption(literal(told(found)))
        st.table(placement_table(found).set_index("other gate"))  # wraps: in a narrow window nothing is cut


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
            on_click=pending.callback(partial(forced_depth.start, kind)),
        )
        if why_not:  # as text: a disabled button has no focus, so its help is not read to everybody
            st.caption(literal(why_not), width="stretch")
        elif kind == DEPTH:
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
