"""Expert cards page: what an expert of a layer, or a number of loops in it, serves in a run."""

import streamlit as st

from analysis.figures.runs.cards import CARD_FIGURES, TOP, token_names
from analysis.figures.runs.contrasts import CONTRAST_FIGURES
from analysis.runs.cards import Card
from analysis.runs.choices import Choice
from analysis.runs.contexts import AROUND, COUNT, contexts
from analysis.runs.schema import Sizes
from app.parts.data_and_code import table_height
from app.parts.panel import title
from app.parts.run_bar import run_bar
from app.parts.run_panel import of_a_run, run_panel
from app.server import runs
from app.session import card_choice, pending, run_choice

BUTTONS = 16
"""Most values that are chosen by buttons in a row; more are chosen from a list."""
TALLEST_PX = 250
_SPECS = {each.name: each for each in (*CARD_FIGURES, *CONTRAST_FIGURES)}
HOW_TO_SATURATE = (
    "This needs runs of the same texts at several steps of one training. Make them with `python -m app run FILE "
    "--step N --out RUN`, start the explorer with `python -m app serve --run EARLY ... LAST`, and choose the last "
    "one above."
)


def card_of_choice() -> None:
    """The bar of the run, the choice of a card, and the card."""
    if not (run := run_bar()):
        return
    if (choice := card_choice.chosen_card(run.sizes)) is None:
        st.markdown("The model of this run chooses neither experts nor loops, so there is no card.")
        return
    _choose(choice, run.sizes)
    _card()


def _choose(choice: Choice, sizes: Sizes) -> None:
    """The choice of layer, and of an expert or a number of loops in it."""
    card_choice.keep_offered(sizes)
    kinds = card_choice.offered_kinds(sizes)
    shown = {"required": True, "persist_state": "session"}
    with st.container(horizontal=True, vertical_alignment="bottom", key="card-choice"):
        st.selectbox("Layer", range(sizes.num_layers), key=card_choice.LAYER, persist_state="session", width=90)
        if len(kinds) > 1:
            st.segmented_control("Card of", list(kinds), format_func=kinds.get, key=card_choice.KIND, **shown)
        if choice.loops is None:
            label, key, values = "Expert", card_choice.EXPERT, range(sizes.num_experts)
        else:
            label, key, values = "Number of loops", card_choice.LOOPS, range(1, sizes.max_loops + 1)
        if len(values) <= BUTTONS:
            st.segmented_control(label, values, key=key, **shown)
        else:
            st.selectbox(label, values, key=key, persist_state="session", width=120)


@of_a_run
def _card() -> None:
    """Three figures of the card and occurrences in their texts, two beside each other."""
    card = card_choice.current_card()
    for column, name in zip(st.columns(2), ("card_tokens", "card_classes"), strict=True):
        with column:
            run_panel(_SPECS[name], card, share=0.5, main=name == "card_tokens")
    loops, texts = st.columns(2)
    with loops:
        run_panel(_SPECS["card_loops"], card, share=0.5)
    with texts:
        _occurrences(card)


@of_a_run
def other_experts() -> None:
    """The experts that serve the tokens of the card, too."""
    if card := card_choice.current_card():
        run_panel(_SPECS["card_experts"], card)


def _occurrences(card: Card) -> None:
    """Occurrences of what made the choice, of one token or of any, in the text around them."""
    card_choice.keep_token(card)
    top = card.tokens.head(TOP)
    offered = {
        card_choice.ANY: "any token",
        **dict(zip(top["token_id"].tolist(), token_names(top["text"]), strict=True)),
    }
    token = card_choice.chosen_token(card)
    with title("In their texts"):
        st.selectbox(
            "Occurrences of",
            list(offered),
            format_func=offered.get,
            key=card_choice.TOKEN,
            label_visibility="collapsed",
            persist_state="session",
            width=170,
        )
        st.button(
            "Count only this token",
            disabled=token is None,
            on_click=pending.callback(lambda: run_choice.narrow(token_ids=(token,))),
            help="Add it to the filter of the run.",
        )
    ids = () if token is None else (token,)
    found = runs.answer(run_choice.run_folder(), contexts, card.choice, card.chosen, ids)
    weight = ["weight"] if card.choice.loops is None else []
    st.dataframe(
        found,
        hide_index=True,
        column_order=["before", "text", "after", "loops", *weight, "prompt_id"],
        column_config={
            "before": st.column_config.TextColumn("before", alignment="right", width=150),
            "text": st.column_config.TextColumn("token", alignment="center"),
            "after": st.column_config.TextColumn("after", width=150),
            "weight": st.column_config.NumberColumn("weight", format="%.2f"),
            "prompt_id": st.column_config.TextColumn("prompt"),
        },
        height=table_height(COUNT, TALLEST_PX),
        placeholder="–",
    )
    st.caption(
        f"At most {COUNT} tokens of this card, drawn at random, with {AROUND} tokens on both sides.",
        help="A click on a token of the first figure shows all of its occurrences, to be opened in the explorer.",
    )


@of_a_run
def domains() -> None:
    """The choice of two domains, and what they choose differently."""
    columns = card_choice.domain_values()
    if not columns:
        st.caption("This run has one source and no column that divides its prompts into 2 to 50 kinds.")
        return
    card_choice.keep_domains(columns)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        column = st.selectbox("Domains by", list(columns), key=card_choice.COLUMN, persist_state="session", width=190)
        values = columns[column]
        first = st.selectbox("First domain", values, key=card_choice.FIRST, persist_state="session", width=240)
        others = [each for each in values if each != first]
        st.selectbox("Second domain", others, key=card_choice.SECOND, persist_state="session", width=240)
    if drawn := card_choice.current_contrast():
        for place, name in zip(st.columns(2), ("domain_map", "domain_intervals"), strict=True):
            with place:
                run_panel(_SPECS[name], drawn, share=0.5)


@of_a_run
def specialised() -> None:
    """What the layers follow, in a sample of the run."""
    with st.spinner("Comparing with chance…", show_time=True):
        drawn = card_choice.current_specialised()
    run_panel(_SPECS["specialisation"], drawn)


@of_a_run
def saturated() -> None:
    """How early other runs of the same texts agree with this one."""
    drawn = card_choice.current_saturated()
    run_panel(_SPECS["saturation"], drawn)
    st.caption(HOW_TO_SATURATE if drawn.table is None else "All tokens of the texts count here: no filter applies.")


__all__ = ["card_of_choice", "domains", "other_experts", "saturated", "specialised"]
