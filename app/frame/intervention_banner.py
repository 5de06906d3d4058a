"""The banner of the interventions: on every page while any is active, since no number there is the model's own then."""

import streamlit as st

from analysis.export.captions import intervention
from app.parts.page import Page
from app.session import navigation, pending, state, what_if
from app.session.what_if_form import PAGE
from hooks.trace import RoutingTrace

RAN = {"depth": "loops", "gate": "λ", "width": "experts and weights"}
"""Part that a model decides -> what of it ran."""
SAID = "Logits, probabilities and margins are what the model's heads said there."
OTHER_TEXTS = "The texts studied or listed on this page are read without them."


def intervention_banner(page: Page, trace: RoutingTrace) -> None:
    """What is decided otherwise than the model would, what of it does not fit this text, and the switch."""
    told = []
    if sentence := intervention(trace):
        told = [sentence, OTHER_TEXTS if page.about != "text" else _what_ran(trace)]
    told += [_not_active(idle)] if (idle := what_if.idle_interventions()) else []
    if not told:
        return
    with st.container(border=True, key="intervened", horizontal=True, vertical_alignment="center"):
        st.text("\n".join(told), width="stretch")
        if not what_if.chosen_interventions() or state.trace_file() is not None:
            return  # those of a trace file cannot be switched off
        if page.name != PAGE:
            st.button("Change", on_click=pending.callback(lambda: navigation.open_next(PAGE)))
        st.button("Switch off", on_click=pending.callback(what_if.switch_off))


def _what_ran(trace: RoutingTrace) -> str:
    """Which numbers under interventions are of the pass, and which the model's own choice."""
    ran = ", ".join(words for part, words in RAN.items() if part in trace.parts)
    return f"{ran[0].upper()}{ran[1:]} are what ran in that pass. {SAID}"


def _not_active(idle: dict) -> str:
    why = next(iter(idle.values()))
    one = len(idle) == 1
    count = "One intervention is" if one else f"{len(idle)} interventions are"
    return f"{count} not active, since {'it does' if one else 'they do'} not fit this text: {why}."
