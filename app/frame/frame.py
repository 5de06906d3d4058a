"""The frame of all pages: the model in the sidebar; prompt, colouring, search, export, token strip above pages."""

from collections.abc import Collection
from functools import partial
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from analysis.export.captions import generation, reading, worse_than_guessing
from analysis.models.facts import ModelFacts
from analysis.palette import THEMES
from analysis.words.numbers import millions
from analysis.words.strip import quantities, strip
from app.components.figure_bridge import figure_bridge
from app.components.narrow_window import close_sidebar_of_narrow_window
from app.components.token_strip import token_strip
from app.frame.export_dialog import export_dialog
from app.frame.intervention_banner import intervention_banner
from app.frame.notes_dialog import notes_dialog
from app.frame.prompt_picker import prompt_picker
from app.frame.refused_model import told_to_choose
from app.frame.token_search import token_search
from app.frame.tour import tour_button
from app.parts.page import Page
from app.server.models import ModelError
from app.session import card_choice, choices, drawings, pending, results, state, what_if_form
from app.session.search_form import clear_search, found_tokens
from app.texts.glossary import glossary_dialog
from app.texts.markdown import literal
from hooks.trace_checks import PARTS


def styles() -> None:
    """The app's own CSS, with the colours of the theme filled in; in a narrow window the sidebar is closed."""
    colors = THEMES[st.context.theme.type or "light"]
    css = (Path(__file__).parent / "frame.css").read_text(encoding="utf-8")
    for word, name in (("BG", "bg"), ("INK", "ink"), ("MUTED", "muted"), ("HAIR", "hair")):
        css = css.replace(f"var({word})", colors[name])
    st.html(f"<style>{css}</style>")
    close_sidebar_of_narrow_window()


def sidebar() -> None:
    """The sidebar: `model_choice`, notes, and facts about the model."""
    row = model_choice()
    with told_to_choose(), row:
        if st.button("Notes", icon=":material/bookmark:"):
            notes_dialog()
    with told_to_choose(), st.sidebar:
        _facts()


def model_choice() -> DeltaGenerator:
    """Tour and glossary, whose row is returned, and the choice of the model; drawn whatever the model is."""
    with st.sidebar:
        row = st.container(horizontal=True)
        with row:
            tour_button()
            if st.button("Glossary", icon=":material/dictionary:"):
                glossary_dialog(_decided())
        why_not = state.why_no_model()
        st.selectbox(
            "Model",
            state.model_names(),
            key=state.PICKED_KEY,
            persist_state="session",  # else a message that a second click overtakes leaves the first model chosen
            on_change=pending.callback(state.choose_model),
            disabled=why_not is not None,
            help=why_not,
        )
    return row


def _decided() -> Collection[str]:
    """What the current model decides; while none can be run, what a VersatileFFN decides."""
    try:
        return state.current_trace().parts
    except ModelError:
        return PARTS


def _facts() -> None:
    """The open trace file, if there is one, and facts about the model."""
    facts = state.model_facts()
    if why_not := state.why_no_model():
        weights = f", weights {facts.weights_sha256[:12]}" if facts.weights_sha256 else ""
        st.markdown(f"**Trace file** of {literal(facts.name or 'an unnamed model')}{literal(weights)}")
        st.caption(f"{why_not}")
        if state.model_names():
            st.button("Close the trace file", on_click=state.close_trace)
    st.caption(_sentences(facts))


def _sentences(facts: ModelFacts) -> str:
    """The known facts about a model, as sentences."""
    sentences = [literal(facts.made_of)]
    if facts.parameters:
        heads = f", {facts.heads_share:.2%} of them in {facts.heads}" if facts.heads_share else ""
        sentences.append(f"{millions(facts.parameters)} parameters{heads}.".replace(" M", "\u00a0M", 1))
    if facts.precision:
        sentences.append(f"It ran in {literal(facts.precision)}.")
    if facts.context:
        sentences.append(f"Trained on texts of up to {facts.context} tokens.")
    if facts.gates_trained is not None:
        sentences.append(
            "The gates are trained." if facts.gates_trained else "The gates are untrained, so the routing is noise."
        )
    sentences += map(literal, facts.notes)
    if facts.reads_ids and facts.vocabulary:
        sentences.append(f"There is no tokenizer: type token ids from 0 to {facts.vocabulary - 1:,}.")
    return " ".join(sentences)


def frame(page: Page) -> None:
    """The bar with prompt, colouring, search and export, the token strip, and notices about this text."""
    state.clamp_selection()
    trace, view = state.current_trace(), state.current_view()
    choices.set_colouring(page.colour_by, entered=drawings.enter_page(page.name), offered=quantities(trace))
    with st.container(key="frame"):
        with st.container(key="framebar", horizontal=True, vertical_alignment="center"):
            prompt_picker(trace.num_tokens)
            st.space("stretch")
            quantity = st.segmented_control(
                "Colour tokens by",
                quantities(trace),
                key=choices.QUANTITY_KEY,
                required=True,
                label_visibility="collapsed",
                on_change=choices.remember_colouring,
                persist_state="session",
            )
            scope = st.segmented_control(
                "Layers",
                choices.SCOPES,
                key=choices.SCOPE_KEY,
                required=True,
                label_visibility="collapsed",
                format_func=lambda name: "all layers" if name == "all" else f"layer {view.layer}",
                on_change=choices.remember_scope,
                persist_state="session",
            )
            token_search(trace)
            why_not = _why_no_export(page)
            if st.button("Export", icon=":material/download:", disabled=why_not is not None, help=why_not):
                export_dialog(page)
        drawn = strip(
            trace,
            quantity,
            layer=view.layer if scope == "layer" else None,
            token=view.token,
            at_layer=view.layer,
            theme=view.theme,
            level=view.level,
        )
        matches, query = found_tokens(trace)
        token_strip(
            drawn,
            page=page.name,
            token=view.token,
            layer=view.layer,
            layers=trace.num_layers,
            found=matches,
            query=query,
            on_select=_select_in_strip,
            on_clear=clear_search,
            level=view.level,
            on_level=state.show_level,
        )
        _notices(page, trace)


def _why_no_export(page: Page) -> str | None:
    """Why nothing of a page can be exported; None if something can."""
    if not (figures := page.exported(state.current_trace().meta)):
        return "This page has no figure. Open the text in the explorer, and the other pages export it."
    reasons = [results.why_not_exported(figure_spec) for figure_spec in figures]
    return None if None in reasons else f"No figure of this page is drawn yet. {reasons[0]}"


def connect_figures(page: Page) -> None:
    """Draw the selection over the page's figures and let clicks on them select. Call this after the page is drawn."""
    view = state.current_view()
    figure_bridge(
        page=page.name,
        on_select=partial(_select_in_figure, page),
        marks=drawings.take_marks(),
        redrawn=drawings.redrawings(),
        token=view.token,
        layer=view.layer,
        theme=view.theme,
        room=drawings.measured_room(),
        on_room=drawings.set_room,
        on_part=card_choice.part_clicked,
    )


def _select_in_figure(page: Page, token: int | None, layer: int | None) -> None:
    state.select(token=token, layer=layer)
    what_if_form.clicked(page.name, layer, token)


def _select_in_strip(token: int, layer: int) -> None:
    state.select(token=token, layer=layer)


def _notices(page: Page, trace) -> None:
    """Warnings about this text and model, and the current problem."""
    facts = state.model_facts()
    if sentence := reading(trace):
        st.caption(f"{trace.num_tokens:,} tokens, {sentence}. A token sees only the earlier tokens of its own window.")
    elif facts.context and trace.num_tokens > facts.context:  # a trace file of one pass
        st.caption(
            f"This text has {trace.num_tokens:,} tokens, but the model was trained on texts of up to {facts.context}. "
            f"From token {facts.context} on, the model extrapolates."
        )
    intervention_banner(page, trace)
    if trace.meta.get("chat") is True:
        st.caption("The text stands in the model's chat template, as a user's message.")
    if sentence := generation(trace):
        st.caption(sentence)
    if sentence := worse_than_guessing(trace):
        st.caption(sentence)
    if facts.gates_trained is False:
        st.markdown("**The gates of this model are untrained, so its loops and experts are noise.**")
    if problem := state.problem():
        with st.container(border=True, key="problem", horizontal=True, vertical_alignment="center"):
            kept = "" if state.problem_is_from_link() else "\nNothing has changed."
            st.text(f"{problem}{kept}", width="stretch")
            st.button("Dismiss", on_click=state.dismiss_problem)
