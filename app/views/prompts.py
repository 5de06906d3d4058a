"""Prompts page: the table of the visitor's prompts, traced in batches."""

import streamlit as st
from streamlit.elements.lib.column_config_utils import ColumnConfig

from analysis.export.tables import table_csv
from analysis.palette import THEMES
from analysis.texts.summary import summary_table
from app.parts.panel import difficulty_column
from app.server import models
from app.session import pending, prompt_list, state
from app.session.widgets import selected_row
from app.texts.markdown import literal
from app.texts.prompts import opening


def columns() -> dict[str, ColumnConfig]:
    """Column name -> format of the table; bars have the colour of their quantity."""
    blue = THEMES[state.current_view().theme]["width"]
    return {
        "name": st.column_config.TextColumn(width=200),
        "tokens": st.column_config.NumberColumn("tokens", format="%d"),
        "difficulty": difficulty_column("difficulty"),
        "gate": st.column_config.ProgressColumn("width share λ", min_value=0, max_value=1, format="%.2f", color=blue),
        "did_not_route": st.column_config.NumberColumn("did not route", format="percent"),
        "loss": st.column_config.NumberColumn("loss, nats", format="%.2f"),
        "text": st.column_config.TextColumn("start of the text"),
    }


def progress(waiting: int) -> None:
    """Progress of the tracing, and the button that starts, stops or resumes it. `waiting`: prompts not traced yet."""
    total, running, why_not = len(prompt_list.prompt_list().prompts), prompt_list.tracing_list(), state.why_no_model()
    told, button = st.columns([4, 1], vertical_alignment="center")
    done = f"{literal(prompt_list.prompt_list().name)}: {total - waiting:,} of {total:,} prompts traced"
    if running:
        loading = "" if models.libraries_imported() else " The model is being loaded."
        told.progress(1 - waiting / total, text=f"{done}…{loading}")
        clicked = button.button("Stop", width="stretch")
    elif waiting:
        told.caption(f"{done}. {why_not or ''}")
        label = "Go on" if waiting < total else "Trace all"
        clicked = button.button(label, type="primary", disabled=bool(why_not), width="stretch")
    else:
        told.caption(f"{done}.")
        return
    if clicked:
        prompt_list.trace_list(not running)
        st.rerun()  # the whole page, which starts or ends the fragment's timer


def prompt_table() -> None:
    """Trace the next batch, if the list is being traced, and draw the table."""
    waiting = len(prompt_list.untraced_prompts())
    progress(waiting)
    if prompt_list.tracing_list():
        if waiting:
            prompt_list.trace_next_prompts()
        if not prompt_list.untraced_prompts():
            prompt_list.trace_list(False)
            st.rerun()
    prompts, summaries = prompt_list.prompt_list().prompts, prompt_list.prompt_summaries()
    table = summary_table(
        (prompt.name, opening(prompt.text, 80), found) for prompt, found in zip(prompts, summaries, strict=True)
    )
    wanted = st.text_input(
        "Filter",
        key=prompt_list.FILTER,
        placeholder="Only prompts with this in their name or text",
        label_visibility="collapsed",
        persist_state="session",
    ).casefold()
    shown = [i for i, prompt in enumerate(prompts) if wanted in f"{prompt.name}\n{prompt.text}".casefold()]
    key = f"prompt-table {wanted}"

    def opened() -> None:
        if (row := selected_row(key)) is not None:
            state.show(prompts[shown[row]])

    shown_as, problems = columns(), ["problem"] if table["problem"].notna().any() else []
    st.dataframe(
        table.iloc[shown],
        hide_index=True,
        key=key,
        on_select=pending.callback(opened),
        selection_mode="single-row",
        column_order=[*shown_as, *problems],
        column_config=shown_as,
        height="content" if len(shown) <= 16 else 560,
        placeholder="–",
    )
    if pending.exists():
        st.rerun()  # the whole page, since the frame shows the opened text
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{len(shown):,} of {len(prompts):,} prompts.", width="stretch")
        name = "CSV of all prompts"
        if prompt_list.tracing_list():  # every run replaces the file, so a click could miss it
            st.button(name, disabled=True)
        else:
            st.download_button(name, table_csv(table), "prompts.csv", "text/csv", on_click="ignore")


def list_of_prompts() -> None:
    """The table of prompts, and how to read it."""
    st.fragment(prompt_table, run_every=0.2 if prompt_list.tracing_list() else None)()
    st.caption(
        "**How to read.** One row per prompt, each number a mean over its tokens (and over layers). A dash: not "
        "traced, or nothing to measure. Difficulty is the soft one; width share is λ; did not route is the share of "
        "pairs of token and layer that took the depth path alone; loss is the surprisal of the tokens read. A click "
        "on a column sorts by it; a row opens its text, here and on every page. Short texts scatter more: compare "
        "prompts of like length. For another list use the text button: File, or Type for a pasted one."
    )
