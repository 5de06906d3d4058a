"""Expert cards page: what an expert of a layer, or a number of loops in it, serves in a run."""

from collections.abc import Callable

import streamlit as st

from analysis.figures.runs.cards import CARD_FIGURES, TOP
from analysis.figures.runs.contrasts import CONTRAST_FIGURES, KINDS, DomainContrast, Saturated, Specialised
from analysis.runs.cards import Card
from analysis.runs.choices import Choice
from analysis.runs.filters import ALL_TOKENS
from analysis.runs.run import Run
from analysis.runs.schema import Sizes
from analysis.words.labels import short_label
from app.parts.panel import title
from app.parts.run_panel import run_panel
from app.server import run_cards
from app.server.runs import RunError
from app.session import card_choice, run_choice
from app.session.widgets import selected_point

BUTTONS = 16
"""Most values that are chosen by buttons in a row; more are chosen from a list."""
_SPECS = {each.name: each for each in (*CARD_FIGURES, *CONTRAST_FIGURES)}


def _of_run(draw: Callable[[Run], None]) -> Callable[[], None]:
    """A part of the page that needs a run: without one it draws nothing, and what is wrong with one it tells."""

    def part() -> None:
        try:
            if run := run_choice.current_run():
                draw(run)
        except RunError as error:
            st.text(str(error))

    return part


def choose_card() -> None:
    """The choice of layer, and of an expert or a number of loops in it; and which tokens count."""
    try:
        run = run_choice.current_run()
    except RunError as error:
        st.text(str(error))
        return
    if run is None:
        st.markdown("There is no run to show yet: the page Atlas says how to make one.")
        return
    names = run_choice.run_names()
    card_choice.keep_offered(run.sizes)
    kinds = card_choice.offered_kinds(run.sizes)
    with st.container(horizontal=True, vertical_alignment="bottom", key="card-choice"):
        if len(names) > 1:
            st.selectbox("Run", names, key=run_choice.RUN_KEY, persist_state="session", width=210)
        if not kinds:
            return
        st.selectbox("Layer", range(run.sizes.num_layers), key=card_choice.LAYER, persist_state="session", width=110)
        if len(kinds) > 1:
            st.segmented_control(
                "Card of",
                list(kinds),
                default=next(iter(kinds)),
                required=True,
                format_func=kinds.get,
                key=card_choice.KIND,
                persist_state="session",
            )
        _value(card_choice.chosen_card(run.sizes), run.sizes)
    _what_counts()


def _value(choice: Choice, sizes: Sizes) -> None:
    """The choice of the expert, or of the number of loops."""
    if choice.loops is None:
        label, key, values, default = "Expert", card_choice.EXPERT, range(sizes.num_experts), 0
    else:
        label, key, values, default = "Loops", card_choice.LOOPS, range(1, sizes.max_loops + 1), sizes.max_loops
    if len(values) <= BUTTONS:
        st.segmented_control(label, values, default=default, required=True, key=key, persist_state="session")
    else:
        st.selectbox(label, values, index=values.index(default), key=key, persist_state="session", width=110)


def _what_counts() -> None:
    """Whether a filter leaves out tokens, and how to remove it."""
    if run_choice.chosen_filter() == ALL_TOKENS:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Only the tokens that the filter of the page Atlas leaves are counted here.", width="content")
        st.button("Count all tokens", type="tertiary", on_click=run_choice.choose_filter, args=(ALL_TOKENS,))


def _draw_card(run: Run) -> None:
    """The four figures of a card, two beside each other, and occurrences in their texts."""
    if not (card := card_choice.current_card()):
        st.markdown("The model of this run chooses neither experts nor loops, so there is no card.")
        return
    for row in (("card_tokens", "card_classes"), ("card_loops", "card_experts")):
        for column, name in zip(st.columns(2), row, strict=True):
            with column:
                shown = _shows_token(card) if name == "card_tokens" else None
                run_panel(_SPECS[name], card, share=0.5, on_point=shown)
    _occurrences(card)


def _shows_token(card: Card) -> Callable[[], None]:
    """What a click on a token of the first figure does."""

    def shown() -> None:
        if (at := selected_point("figure-card_tokens-chart")) is not None and at < len(card.tokens):
            card_choice.choose_token(int(card.tokens["token_id"].iloc[at]))

    return shown


def _occurrences(card: Card) -> None:
    """Occurrences of what made the choice, of one token or of any, in the text around them."""
    card_choice.keep_token(card)
    names = dict(zip(card.tokens["token_id"].tolist(), map(short_label, card.tokens["text"]), strict=True))
    offered = {card_choice.ANY: "any token", **{each: names[each] for each in list(names)[:TOP]}}
    token = card_choice.chosen_token(card)
    with title(f"Where does it occur? {card.choice.words.capitalize()}"):
        offered |= {token: names[token]} if token is not None else {}
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
            on_click=run_choice.narrow,
            kwargs={"token_ids": (token,)},
            help="The filter then leaves only its occurrences, here and on the page Atlas.",
        )
    found = run_cards.contexts_of(
        run_choice.run_folder(), run_choice.chosen_filter(), card.choice, () if token is None else (token,)
    )
    st.dataframe(
        found,
        hide_index=True,
        column_order=[
            "before",
            "text",
            "after",
            "loops",
            *(["weight"] if card.choice.loops is None else []),
            "prompt_id",
        ],
        column_config={
            "before": st.column_config.TextColumn("before it", alignment="right"),
            "text": st.column_config.TextColumn("token"),
            "after": st.column_config.TextColumn("after it"),
            "weight": st.column_config.NumberColumn("weight", format="%.2f"),
            "prompt_id": st.column_config.TextColumn("prompt"),
        },
        placeholder="–",
    )
    of = "occurrences of this token" if token is not None else "tokens"
    st.caption(f"At most 12 {of} that made the choice, drawn at random, with 8 tokens of text on both sides.")


def _draw_domains(run: Run) -> None:
    """The choice of two domains, and what they choose differently."""
    columns = run_cards.columns_of(run_choice.run_folder())
    if not columns:
        st.caption("This run has one source, and no column that parts its prompts into 2 to 50 kinds.")
        return
    card_choice.keep_domains(columns)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        column = st.selectbox("Domains by", list(columns), key=card_choice.COLUMN, persist_state="session", width=190)
        values = columns[column]
        first = st.selectbox("First domain", values, key=card_choice.FIRST, persist_state="session", width=240)
        others = [each for each in values if each != first]
        second = st.selectbox("Second domain", others, key=card_choice.SECOND, persist_state="session", width=240)
    table = run_cards.difference_of(run_choice.run_folder(), run_choice.chosen_filter(), column, first, second)
    drawn = DomainContrast(column, first, second, card_choice.chosen_card(run.sizes).layer, table)
    kinds = {kind: name for kind, name in KINDS.items() if kind in set(table["kind"])}
    for column_of_page, name in zip(st.columns(2), ("domain_map", "domain_intervals"), strict=True):
        with column_of_page:
            run_panel(_SPECS[name], drawn, kinds=kinds if name == "domain_map" else None, share=0.5)


def _draw_specialisation(run: Run) -> None:
    """What the layers follow, in a sample of the run."""
    columns = run_cards.columns_of(run_choice.run_folder())
    column = next(iter(columns), None)
    chosen = card_choice.chosen_column(columns) or column
    with st.spinner("Comparing with chance…", show_time=True):
        table = run_cards.specialisation_of(run_choice.run_folder(), run_choice.chosen_filter(), chosen)
    run_panel(_SPECS["specialisation"], Specialised(chosen, table))


def _draw_saturation(run: Run) -> None:
    """How early other runs of the same texts agree with this one."""
    table = run_cards.saturation_of(run_choice.run_folder())
    if table is None:
        st.markdown(
            "This takes runs of the same texts at several steps of a training. Make them with "
            "`python -m app run FILE --step N --out RUN`, start the explorer with "
            "`python -m app serve --run EARLY ... LAST`, and choose the last one above."
        )
        return
    kinds = {kind: name for kind, name in KINDS.items() if kind in set(table["choice"])}
    run_panel(_SPECS["saturation"], Saturated(run.name, table), kinds=kinds)
    st.caption("All ordinary tokens count here: the filter does not apply.")


card_of_choice, domains, specialised, saturated = map(
    _of_run, (_draw_card, _draw_domains, _draw_specialisation, _draw_saturation)
)
"""What the page draws of a run."""
