"""Prompts page: the visitor's list of prompts, traced in batches, as one picture and as a table."""

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.elements.lib.column_config_utils import ColumnConfig

from analysis.export.tables import table_csv
from analysis.figures.fitting import fit
from analysis.figures.texts.prompts import MEASURES, prompt_picture
from analysis.palette import THEMES
from analysis.texts.summary import grouping_columns
from analysis.words.labels import how_many
from app.parts.data_and_code import table_height
from app.parts.panel import chart, title
from app.parts.stop_button import stop_button
from app.server import models
from app.session import drawings, pending, prompt_list, state, text_study
from app.session.widgets import selected_row
from app.texts.markdown import literal

BAR_STEP = 0.05
"""Bars begin and end at a multiple of this."""
TALLEST_PX = 560
BARS = {"difficulty": "difficulty", "gate": "width share"}
"""Columns drawn as bars -> their names in a sentence."""


def list_of_prompts() -> None:
    """The progress, the picture and the table of the list, and how to read them."""
    st.fragment(_list, run_every=0.2 if prompt_list.tracing_list() else None)()
    versatile = (
        "Difficulty is soft difficulty and width share is λ, both means over layers too. “Did not route” is the share "
        "of token and layer pairs that used only the depth path. "
    )
    told = versatile if "gate" in prompt_list.measures() else ""
    st.caption(
        "**How to read.** Each prompt has one dot and one row, and each number is a mean over its tokens; loss is "
        f"the mean surprisal. {told}A dash means that a prompt was not traced or has nothing to measure. Means of "
        "short texts scatter more, so compare prompts of similar length. The answer above tests groups: the chance "
        "level comes from shuffling the group names among the prompts. Prompts made from one template make p too "
        "small. Click the head of a column to sort the table, or the box before a row to open its text on every "
        "page."
    )


def _list() -> None:
    """Draw what is known of the list; then trace its next batch, if it is being traced.

    In this order all parts keep their place and fill while the list is traced.
    """
    if pending.exists():
        st.rerun()  # the whole page, since the frame shows the opened text
    waiting = len(prompt_list.untraced_prompts())
    _progress(waiting)
    table, columns = prompt_list.prompt_table()
    _picture(table, columns)
    shown = _filtered(table, columns)
    _table(table, columns, shown)
    if not prompt_list.tracing_list():
        return
    if waiting:
        with st.container(key="tracing-quietly"):  # the row above tells how far it is
            prompt_list.trace_next_prompts()
    if not prompt_list.untraced_prompts():
        prompt_list.trace_list(False)
        if prompt_list.own_list():
            text_study.choose_texts(text_study.OWN)  # what the visitor asks about now
        st.rerun()  # the whole page, which ends the fragment's timer


def _progress(waiting: int) -> None:
    """Progress of the tracing, and the button that starts, stops or resumes it. `waiting`: prompts not traced yet."""
    total, running, why_not = len(prompt_list.prompt_list().prompts), prompt_list.tracing_list(), state.why_no_model()
    with st.container(key="list-progress"):
        told, button = st.columns([4, 1], vertical_alignment="center")
    name, traced = literal(prompt_list.prompt_list().name), total - waiting
    done = f"{name}: {traced:,} of {total:,} prompts traced"
    if traced < 2 and not running:  # the page's answer says how many
        done = f"{name}: {how_many(total, 'prompt')}"
    another = (
        ""
        if prompt_list.own_list()
        else " For a list of your own, press the text button above and choose File or Type."
    )
    if running:
        loading = "" if models.libraries_imported() else " The model is being loaded."
        told.progress(1 - waiting / total, text=f"{done}…{loading}")
        with button:
            clicked = stop_button("stop-list", width="stretch")
    elif waiting:
        told.caption(f"{done}.{another} {why_not or ''}")
        label = "Continue" if waiting < total else "Trace all"
        clicked = button.button(label, type="primary", disabled=bool(why_not), help=why_not, width="stretch")
    else:
        told.caption(f"{done}.{another}")
        return
    if clicked:
        prompt_list.trace_list(not running)
        st.rerun()  # the whole page, which starts or ends the fragment's timer


def _picture(table: pd.DataFrame, columns: list[str]) -> None:
    """All prompts in one picture, grouped by a column of the file."""
    groups, offered = grouping_columns(table, columns), prompt_list.measures()
    with title("The list in one picture"):
        chosen = st.segmented_control(
            "Shown",
            offered,
            default=offered[0],
            required=True,
            format_func=lambda name: MEASURES[name].label,
            key=prompt_list.QUANTITY,
            label_visibility="collapsed",
            persist_state="session",
        )
        if groups:
            st.selectbox(
                "Grouped by",
                [*groups, prompt_list.NO_GROUPS],
                format_func=lambda name: f"by {name}" if name != prompt_list.NO_GROUPS else name,
                key=prompt_list.GROUPS,
                on_change=pending.callback(lambda: None),  # the whole page: its answer speaks of the groups
                label_visibility="collapsed",
                persist_state="session",
                width=190,
            )
    measure, column = MEASURES[chosen], prompt_list.chosen_grouping(table, columns)
    opened = state.current_prompt().name if state.current_prompt() in prompt_list.prompt_list().prompts else None
    figure = prompt_picture(table, state.current_view(), measure, column, opened)
    fit(figure, drawings.figure_width())
    told = f"by {column}" if column else "all together"
    chart("figure-prompts", figure, name="prompts", alt=f"{measure.label} of the prompts, {told}")


def _filtered(table: pd.DataFrame, columns: list[str]) -> list[int]:
    """Numbers of the prompts in which the text is found that the reader looks for."""
    where = "name, text or columns" if columns else "name or text"
    wanted = st.text_input(
        "Filter",
        key=prompt_list.FILTER,
        placeholder=f"Show only prompts with this in their {where}",
        label_visibility="collapsed",
        persist_state="session",
    ).casefold()
    found = prompt_list.prompt_list()
    beside = zip(*found.others.values(), strict=True) if found.others else [()] * len(table)
    return [
        number
        for number, (prompt, cells) in enumerate(zip(found.prompts, beside, strict=True))
        if wanted in "\n".join((prompt.name, prompt.text, *cells)).casefold()
    ]


def _table(table: pd.DataFrame, columns: list[str], shown: list[int]) -> None:
    """The rows of the prompts `shown`, with the opened one marked, and below it how to take them along."""
    prompts = prompt_list.prompt_list().prompts

    def opened() -> None:
        if (row := selected_row(prompt_list.TABLE)) is not None and row < len(shown):
            state.show(prompts[shown[row]])

    had = prompt_list.measures()
    # A bar is blank where there is no number, which a plain number shows as a dash.
    bars = {name: _bar_range(table[name]) for name in BARS if name in had and table[name].notna().all()}
    shown_as, problems = _columns(columns, bars), ["problem"] if table["problem"].notna().any() else []
    prompt_list.mark_opened(shown)
    st.dataframe(
        table.iloc[shown],
        hide_index=True,
        key=prompt_list.TABLE,
        on_select=pending.callback(opened),
        selection_mode="single-row",
        column_order=[*shown_as, *problems],
        column_config=shown_as,
        height=table_height(len(prompts), TALLEST_PX),  # whatever is found: what lies below stays
        placeholder="–",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        ends = "; ".join(f"{BARS[name]} from {low:.2f} to {high:.2f}" for name, (low, high) in bars.items())
        ranges = f" The bars range for {ends}." if ends else ""
        told = f"{len(shown):,} of {len(prompts):,} prompts are shown.{ranges}{_worse_than_guessing(table)}"
        st.caption(told, width="stretch")
        name = "CSV of all prompts"
        if prompt_list.tracing_list():  # every run replaces the file, so a click could miss it
            st.button(name, disabled=True, help="You can download the CSV once tracing has ended or is stopped.")
        else:
            st.download_button(name, table_csv(table), "prompts.csv", "text/csv", on_click="ignore")


def _worse_than_guessing(table: pd.DataFrame) -> str:
    """How many prompts are predicted worse than if all tokens were equally likely; nothing if none is."""
    even = np.log(state.model_facts().vocabulary or np.inf)
    if not (worse := int((table["loss"] > even).sum())):
        return ""
    has = "prompt has" if worse == 1 else "prompts have"
    return (
        f" {worse:,} {has} a loss above {even:.2f} nats, which equally likely tokens would have: the model was not "
        "trained on such text."
    )


def _columns(others: list[str], bars: dict[str, tuple[float, float]]) -> dict[str, ColumnConfig]:
    """Column name -> format of the table; those of `bars` have the colour of their quantity and this range."""
    colours = THEMES[state.current_view().theme]

    def bar(label: str, name: str, colour: str) -> ColumnConfig:
        if name not in bars:
            return st.column_config.NumberColumn(label, format="%.2f")
        low, high = bars[name]
        told = f"The bar's ends are {low:.2f} and {high:.2f}, the range of this list."
        return st.column_config.ProgressColumn(
            label, min_value=low, max_value=high, format="%.2f", color=colour, help=told
        )

    columns = {
        "name": st.column_config.TextColumn(width=190),
        **{column: st.column_config.Column(column) for column in others},
        "tokens": st.column_config.NumberColumn("tokens", format="%d"),
        "difficulty": bar("difficulty", "difficulty", colours["difficulty"][3]),
        "gate": bar("width share λ", "gate", colours["width"]),
        "did_not_route": st.column_config.NumberColumn("did not route", format="percent"),
        "loss": st.column_config.NumberColumn("loss, nats", format="%.2f"),
        "text": st.column_config.TextColumn("beginning of the text"),
    }
    had = prompt_list.measures()
    return {name: column for name, column in columns.items() if name not in MEASURES or name in had}


def _bar_range(values: pd.Series) -> tuple[float, float]:
    """The range of the values, widened to multiples of BAR_STEP."""
    low = np.floor(values.min() / BAR_STEP - 1e-9) * BAR_STEP
    high = np.ceil(values.max() / BAR_STEP + 1e-9) * BAR_STEP
    return float(max(low, 0.0)), float(min(high, 1.0))
