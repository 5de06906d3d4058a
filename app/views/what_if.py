"""What if page: setting interventions by questions, by clicks and in words; the active ones; what became of words."""

from collections.abc import Callable
from functools import partial

import streamlit as st

from analysis.what_if.comparison import Comparison, token_table
from analysis.what_if.in_words import MOST_CHARACTERS, examples_of
from analysis.what_if.questions import first_questions
from app.session import pending, what_if, what_if_form
from app.session.intervened import sizes_of_trace
from app.session.results import current_result
from app.session.state import current_trace, current_view, select, why_no_model
from app.session.what_if_form import WHAT, WHERE
from app.session.widgets import selected_row
from app.texts.markdown import literal
from hooks.interventions import Intervention, in_words
from hooks.trace_checks import PARTS

ELSEWHERE = "In Python and in a file for `trace --intervene`, `UseRouting` gives a text the routing of another one."
ON_COMPARE = "To use the routing of another text, see the page Compare, which gives each text the routing of the other."
MOST_ROWS = 50
"""Of the table of predictions."""


def editor() -> None:
    """First questions while nothing is set, the form, and the interventions that are active."""
    if why_no_model():
        return  # every figure says why
    if not what_if.chosen_interventions():
        _first_questions()
    _form()
    _words_and_steps()
    _active()


def _first_questions() -> None:
    """Buttons that each ask one question about the selected token, in columns that keep their place."""
    questions = first_questions(current_trace(), current_view())
    if not questions:
        return
    for column, (question, intervention) in zip(st.columns(len(questions)), questions, strict=True):
        column.button(literal(question), width="stretch", on_click=_later(what_if.add, intervention))


def _form() -> None:
    """What to decide, where, and the button and the switch that set it."""
    trace, view = current_trace(), current_view()
    elsewhere = f"{ON_COMPARE} {ELSEWHERE}" if trace.parts == PARTS else ELSEWHERE
    with st.container(horizontal=True, vertical_alignment="bottom", key="what-if-form"):
        what = st.selectbox(
            "Decide", what_if_form.offered(trace), key=WHAT, width=190, persist_state="session", help=elsewhere
        )
        _value(what)
        st.segmented_control(
            "Where",
            list(what_if_form.PLACES),
            format_func=what_if_form.PLACES.get,
            key=WHERE,
            required=True,
            default=what_if_form.CELL,
            persist_state="session",
        )
        now = what_if_form.brush()
        made = now and now.intervention(view.layer, view.token)
        st.button("Set", type="primary", disabled=made is None, on_click=_later(what_if.add, made))
        st.toggle(
            "Set with every click",
            key=what_if_form.PAINTING,
            help="While this is on, a click on a cell of the map selects it and sets it too.",
            persist_state="session",
        )


def _value(what: str) -> None:
    """The widget for the value of a decision."""
    trace, key = current_trace(), what_if_form.value_key(what)
    experts = list(range(trace.num_experts))
    if what == what_if_form.LOOPS:
        loops = list(range(1, trace.max_loops + 1))
        st.segmented_control("Loops", loops, key=key, required=True, default=loops[-1], persist_state="session")
    elif what == what_if_form.GATE:
        st.number_input("λ", 0.0, 1.0, 0.5, step=0.05, key=key, width=120, persist_state="session")
    elif what == what_if_form.TOP_K:
        st.number_input("How many", 1, trace.num_experts, 1, key=key, width=120, persist_state="session")
    elif what == what_if_form.EXPERTS:
        st.multiselect("Experts", experts, key=key, width=190, persist_state="session")
    elif what == what_if_form.WITHOUT_EXPERT:
        st.selectbox("Expert", experts, key=key, width=110, persist_state="session")
    elif what == what_if_form.WITHOUT_PATH:
        paths = ["width", "depth"]
        st.segmented_control("Path", paths, key=key, required=True, default="width", persist_state="session")


def _words_and_steps() -> None:
    """The field for interventions in words, what is wrong with what stands in it, and the buttons for steps."""
    examples = examples_of(sizes_of_trace(current_trace()))
    with st.container(horizontal=True, vertical_alignment="bottom", key="what-if-steps"):
        st.text_input(
            "Or in words",
            key=what_if_form.WORDS,
            placeholder=examples[0],
            max_chars=MOST_CHARACTERS,
            on_change=_later(what_if_form.set_in_words),
            help="Write where, a colon, and what; separate several by semicolons. For example:\n\n"
            + "\n".join(f"- {literal(example)}" for example in examples),
        )
        st.button("Set in words", on_click=_later(what_if_form.set_in_words))
        for label, icon, work, possible in (
            ("Undo", "undo", what_if.undo, what_if.can_undo()),
            ("Redo", "redo", what_if.redo, what_if.can_redo()),
            ("Reset", "restart_alt", what_if.switch_off, bool(what_if.chosen_interventions())),
            ("Pin", "keep", what_if.pin, bool(what_if.active())),
        ):
            why = (
                "Keep these interventions to compare others with them. Two can be pinned; a third replaces the first."
                if label == "Pin"
                else None
            )
            st.button(label, icon=f":material/{icon}:", on_click=_later(work), disabled=not possible, help=why)
        _history()
    if problem := what_if_form.problem_of_words():
        st.error(literal(problem))


def _active() -> None:
    """The interventions that were set, with buttons that remove them, and the pinned ones."""
    idle = what_if.idle_interventions()
    if chosen := what_if.chosen_interventions():
        with st.container(key="active-interventions", gap="xxsmall"):
            for number, each in enumerate(chosen):
                with st.container(horizontal=True, vertical_alignment="center"):
                    does_not_fit = (
                        f". Not active, since it does not fit this text: {idle[each]}." if each in idle else ""
                    )
                    st.text(f"{each.words(current_trace().parts)}{does_not_fit}", width="content")
                    st.button(
                        "Remove",
                        key=f"remove-{number}",
                        type="tertiary",
                        icon=":material/close:",
                        on_click=_later(what_if.remove, each),
                    )
    if kept := what_if.pinned():
        _pins(kept)


def _history() -> None:
    earlier = what_if.history()
    popover = st.popover("History", icon=":material/history:", disabled=not earlier)
    with popover:
        for number, each in enumerate(earlier):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.button("Back to this", key=f"back-{number}", on_click=_later(what_if.set_all, each))
                st.text(_told(each))


def _pins(kept: list[tuple[Intervention, ...]]) -> None:
    """What the active ones are compared with, and the pinned ones with buttons that show and remove them."""
    names = {what_if.OWN: "the model's own choices"}
    names |= {key: f"pin {number}" for number, (key, _) in enumerate(zip(what_if.PINS, kept, strict=False), start=1)}
    what_if.fill_choice()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.segmented_control(
            "Compared with",
            list(names),
            format_func=names.get,
            key=what_if.AGAINST_KEY,
            required=True,
            persist_state="session",
        )
        if len(kept) > 1:
            st.button(
                "Compare both pins",
                icon=":material/compare_arrows:",
                on_click=_later(what_if.compare_pins),
                help="Pin 2 becomes active and is compared with pin 1.",
            )
    with st.container(key="pinned-interventions", gap="xxsmall"):
        for number, each in enumerate(kept):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.text(f"Pin {number + 1}", width="content")
                now = each == what_if.active()
                show = _later(what_if.set_all, each)
                st.button("Make active", key=f"show-pin-{number}", type="tertiary", disabled=now, on_click=show)
                unpin = _later(what_if.unpin, number)
                st.button("Unpin", key=f"unpin-{number}", type="tertiary", icon=":material/close:", on_click=unpin)
                st.text(in_words(each, current_trace().parts) or "Nothing of it fits this text in this model.")


def predictions() -> None:
    """A table of the tokens after which the prediction changed most; a row selects its token."""
    if why_no_model():
        return
    table = token_table(current_result(Comparison)).sort_values("kl", ascending=False, kind="stable")
    table = table[(table["kl"] > 0) & ~table["special"]].head(MOST_ROWS)
    if table.empty:
        st.caption("No prediction changed.")
        return

    def chosen() -> None:
        if (row := selected_row("what-if-predictions")) is not None:
            select(token=table["token"].iloc[row])

    st.dataframe(
        table,
        hide_index=True,
        key="what-if-predictions",
        height="content" if len(table) <= 7 else 280,
        on_select=chosen,
        selection_mode="single-row",
        column_order=[
            *("text", "token", "kl", "next_before", "probability_before", "next_after", "probability_after"),
            *("gained", "lost"),
        ],
        column_config={
            "kl": st.column_config.NumberColumn("KL, nats", format="%.3f"),
            "next_before": "likeliest before",
            "next_after": "likeliest after",
            "probability_before": st.column_config.NumberColumn("p before", format="%.3f"),
            "probability_after": st.column_config.NumberColumn("p after", format="%.3f"),
            "gained": "new among the likeliest",
            "lost": "no longer among them",
        },
    )
    st.caption("The next tokens after each token. Click the box before a row to select its token.")


def _told(interventions: tuple[Intervention, ...]) -> str:
    return in_words(interventions, current_trace().parts) or "nothing: the model's own choices"


def _later(work: Callable, *arguments) -> Callable[[], None]:
    """A callback that has this done at the start of the next run."""
    return pending.callback(partial(work, *arguments))
