"""The bar of pages about a run: the choice of the run, the filter of its tokens, and its parts to be removed."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import streamlit as st

from analysis.export.captions import intervention
from analysis.runs.filter_words import filter_parts
from analysis.runs.run import Run
from analysis.runs.values import prompt_values
from analysis.words.labels import how_many
from app.server import runs
from app.server.runs import RunError
from app.session import pending, run_choice
from app.session.run_filter_form import ANY, begins_with, field_key, take_form
from app.texts.markdown import literal

HOW_TO_MAKE = """There is no run to show. A run is a folder with the routing of every token of your files. Make one \
where this program is installed, and start the explorer with it:

```sh
python -m app run prompts.jsonl --out my_run
python -m app serve --run my_run
```
"""
YOURS = (
    "To see files of your own, give one at the end of the page Atlas, or make a run with `python -m app run FILE --out "
    "RUN` and start `serve --run RUN`."
)


def run_bar(*, chosen_apart: bool = False) -> Run | None:
    """Draw the bar; the chosen run, or None if there is none, which is told.

    With `chosen_apart` the page itself tells of the tokens that were chosen one by one: the bar has no button for them.
    """
    names = run_choice.run_names()
    if not names:
        st.markdown(HOW_TO_MAKE)
        return None
    run_choice.forget_unknown()
    with st.container(key="run-bar", horizontal=True, vertical_alignment="bottom"):
        st.selectbox("Run", names, key=run_choice.RUN_KEY, persist_state="session", width=260)
        try:
            run = run_choice.current_run()
        except RunError as error:
            run = None
            st.text(str(error))
        if run:
            _filter(run)
    if run is None:
        return None
    try:
        _chips(chosen_apart)
    except RunError as error:
        st.text(str(error))
        return None
    st.caption(_told(run))
    return run


def _told(run: Run) -> str:
    """What the run is of, in sentences."""
    counts, manifest = run.counts, run.manifest
    told = (
        f"{counts.prompts:,} prompts with {counts.tokens:,} tokens, read by {run.meta.get('model')}, weights "
        f"{str(run.meta.get('weights_sha256'))[:12]}."
    )
    if counts.problems:
        told += f" {counts.problems:,} records could not be used."
    if changed := intervention(run_choice.current_atlas()):
        told += f" {changed}"
    if not manifest.finished:
        told += " It is not finished: this is what was read so far."
    return literal(told) + (f" {YOURS}" if run_choice.run_name() == runs.SHIPPED_NAME else "")


def _chips(chosen_apart: bool) -> None:
    """The parts of the filter, each a button that removes it."""
    chosen = run_choice.chosen_filter()
    parts = [each for each in filter_parts(chosen) if not chosen_apart or each[1].among == chosen.among]
    if not parts:
        return
    with st.container(key="run-chips", horizontal=True, vertical_alignment="center"):
        for number, (words, rest) in enumerate(parts):
            st.button(
                literal(words),
                icon=":material/close:",
                key=f"chip-{number}-{run_choice.filter_number()}",
                help="Remove this part of the filter.",
                on_click=pending.callback(partial(run_choice.choose_filter, rest)),
            )
        st.caption(f"{how_many(run_choice.current_atlas().tokens, 'token')} left")


def _filter(run: Run) -> None:
    """The popover with the form of the filter."""
    opener = st.popover("Filter", icon=":material/filter_alt:", key="run-filter", on_change="rerun")
    if not opener.open:
        return
    sizes, others = run.sizes, run.manifest.others
    values = {name: runs.answer(run.folder, prompt_values, name) for name in ("source", *others)}
    with opener, st.form("run-filter-form", border=False, enter_to_submit=True):
        st.caption(
            "Every figure, table and text of this page counts only the tokens that meet all of these conditions."
        )
        left, right = st.columns(2)
        with left:
            st.text_input("Token has", begins_with("text", sizes), key=field_key("text"), max_chars=200)
            st.text_input("Prompt has", begins_with("in_prompt", sizes), key=field_key("in_prompt"), max_chars=200)
            sources = sorted({*values["source"], *begins_with("sources", sizes)})
            if len(sources) > 1:
                st.multiselect("Sources", sources, begins_with("sources", sizes), key=field_key("sources"))
            for name in others:
                if values[name]:
                    _select(name, f"other-{name}", values[name], begins_with(f"other-{name}", sizes))
            st.text_input(
                "Positions, such as 0-9", begins_with("positions", sizes), key=field_key("positions"), max_chars=20
            )
        with right:
            _of_routing(run)
            st.checkbox(
                "Special tokens too",
                begins_with("special", sizes),
                key=field_key("special"),
                help="Those that the tokenizer added.",
            )
        st.form_submit_button("Apply", type="primary", on_click=pending.callback(partial(take_form, others)))


def _of_routing(run: Run) -> None:
    """The fields about what the model decided."""
    sizes = run.sizes
    _select("Layer", "layer", range(sizes.num_layers), begins_with("layer", sizes), "any layer")
    if "depth" in sizes.parts:
        loops = range(1, sizes.max_loops + 1)
        st.multiselect("Loops there", loops, begins_with("loops", sizes), key=field_key("loops"), placeholder="any")
    if "width" in sizes.parts:
        _select("Expert that ran there", "expert", range(sizes.num_experts), begins_with("expert", sizes))
    if "depth" in sizes.parts:
        st.slider(
            "Soft difficulty there", 0.0, 1.0, begins_with("difficulty", sizes), 0.01, key=field_key("difficulty")
        )


def _select(label: str, name: str, values: Iterable[Any], chosen: Any, nothing: str = "any") -> None:
    """A field with one value or none; `nothing` stands in it for none."""
    options = list(values)
    if chosen is not ANY and chosen not in options:
        options.append(chosen)
    st.selectbox(
        literal(label),
        options,
        index=None if chosen is ANY else options.index(chosen),
        key=field_key(name),
        placeholder=nothing,
        format_func=str,
    )


__all__ = ["HOW_TO_MAKE", "run_bar"]
