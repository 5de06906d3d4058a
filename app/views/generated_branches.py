"""Generate page: branching a generated text from a token, the tree of its branches, and two of them compared."""

from dataclasses import replace
from functools import partial

import streamlit as st

from analysis.export.tables import table_csv
from analysis.texts.branches import first_difference, layers_table, shared_tokens_table
from analysis.words.labels import how_many, token_label
from app.limits import MAX_BRANCHES
from app.parts.data_and_code import table_height
from app.parts.panel import title
from app.session import generating, pending, state
from app.session.generating import Branch
from app.texts.markdown import literal
from app.views.generate import text_strip
from hooks.interventions import DropExpert, DropPath, ForceGate, ForceLoops, Intervention
from hooks.sampling import MOST_SEED
from hooks.trace import RoutingTrace

LOOPS, GATE, EXPERT, PATH, SEED = "loops", "λ", "without an expert", "without a path", "other random numbers"
WHAT_KEY, LAYER_KEY, TOKENS_KEY = "branch-what", "branch-layer", "branch-tokens"
VALUE_KEYS = {
    LOOPS: "branch-loops", GATE: "branch-gate", EXPERT: "branch-expert", PATH: "branch-path", SEED: "branch-seed"
}  # fmt: skip
"""Decision -> key of the field with its value."""
HERE, ON = "this token", "this token and all after it"
ALL = "all layers"
LAST_WORDS = 60
"""Letters of a branch's end that its row shows."""


def branching() -> None:
    """The form that branches the shown text from the selected token, and the tree of all branches."""
    found = generating.story()
    if found is None or state.why_no_model():
        return
    title("What if it had chosen differently?")
    if found.branch.trace is not None:
        _form(found.branch.trace)
    if len(found.branches) > 1:
        _tree()


def _form(trace: RoutingTrace) -> None:
    """What to decide otherwise from the selected token on, where, and the button that begins the branch."""
    found = generating.story()
    token = trace.num_tokens - 1 if found.token is None else min(found.token, trace.num_tokens - 1)
    with st.container(horizontal=True, vertical_alignment="bottom", key="branch-form"):
        what = st.selectbox("Decide", _offered(trace), key=WHAT_KEY, width=190, persist_state="session")
        _value(what, trace)
        if what != SEED:
            layers = [ALL, *(f"layer {layer}" for layer in range(trace.num_layers))]
            st.selectbox("In", layers, key=LAYER_KEY, width=140, persist_state="session")
            st.selectbox("For", [HERE, ON], index=1, key=TOKENS_KEY, width=230, persist_state="session")
        st.button(
            f"Branch from “{literal(token_label(trace, token))}”",
            type="primary",
            key="branch",
            disabled=not generating.may_branch(),
            help=None if generating.may_branch() else f"A text has at most {MAX_BRANCHES} branches.",
            # Not `if st.button`: the run of a click ends above this line if the text above is finished in it.
            on_click=pending.callback(partial(_branch, found.shown, token)),
        )
    st.caption(
        f"From token {token} on; click another token in the text above to branch from there. A change at a token "
        "affects what follows it. At a token of the prompt, the whole prompt stays and is read again from there."
    )


def _offered(trace: RoutingTrace) -> list[str]:
    of = {LOOPS: "depth", GATE: "gate", EXPERT: "width", PATH: "gate", SEED: None}
    loops = trace.max_loops > 1
    return [what for what, part in of.items() if part in (None, *trace.parts) and (loops or what not in (LOOPS, GATE))]


def _value(what: str, trace: RoutingTrace) -> None:
    """The field for the value of a decision."""
    key, experts = VALUE_KEYS[what], list(range(trace.num_experts))
    if what == LOOPS:
        options = list(range(1, trace.max_loops + 1))
        st.segmented_control("Loops", options, default=options[-1], required=True, key=key, persist_state="session")
    elif what == GATE:
        st.number_input("λ", 0.0, 1.0, 0.5, step=0.05, key=key, width=110, persist_state="session")
    elif what == EXPERT:
        st.selectbox("Expert", experts, key=key, width=100, persist_state="session")
    elif what == PATH:
        st.segmented_control(
            "Path", ["width", "depth"], default="width", required=True, key=key, persist_state="session"
        )
    else:
        st.number_input("Seed", 0, MOST_SEED, 1, key=key, width=150, persist_state="session")


def _branch(trunk: int, token: int) -> None:
    """Begin the branch that the form describes, from a token of a branch by its number."""
    what = generating.in_form(WHAT_KEY)
    value, sampling = generating.in_form(VALUE_KEYS[what]), generating.story().branches[trunk].sampling
    if what == SEED:
        drawn = replace(generating.drawn_sampling() if sampling.is_greedy else sampling, seed=value)
        generating.branch_off(trunk, token, (), drawn.words(), drawn)
        return
    layer, how_long = generating.in_form(LAYER_KEY), generating.in_form(TOKENS_KEY)
    layers = None if layer == ALL else int(layer.rpartition(" ")[2])
    kind = {LOOPS: ForceLoops, GATE: ForceGate, EXPERT: DropExpert, PATH: DropPath}[what]
    made: Intervention = kind(value, layers=layers, tokens=token if how_long == HERE else None)
    told = made.words(generating.story().branches[trunk].trace.parts)
    told = told if how_long == HERE else told.replace("all tokens", "all tokens from there on")
    generating.branch_off(trunk, token, (made,), told, sampling)


def _tree() -> None:
    """All branches, each below the one that it left: what was changed, and how its text ends."""
    found = generating.story()
    with st.container(key="branch-tree", gap="xsmall"):
        for number, lines in generating.in_tree_order():
            branch, name = found.branches[number], generating.name_of(number)
            with st.container(horizontal=True, vertical_alignment="center"):
                shown = number == found.shown
                st.button(
                    name,
                    key=f"show-branch-{number}",
                    type="primary" if shown else "secondary",
                    help="Show this branch",
                    on_click=pending.callback(partial(generating.show, number)),
                )
                st.text(f"{lines}{_told(branch)}", width="stretch")


def _told(branch: Branch) -> str:
    """What was changed in a branch, where, and how it ends."""
    begun = branch.changed or "the first text"
    if branch.parent is not None:
        begun = f"from token {branch.token} on: {branch.changed}"
    if branch.trace is None:
        return f"{begun}. Nothing is written yet."
    text = str(branch.trace.meta["text"]).replace("\n", " ")
    end = text if len(text) <= LAST_WORDS else f"…{text[-LAST_WORDS:]}"
    return f"{begun}. {how_many(branch.generated, 'token')}: “{end}”"


def comparison() -> None:
    """The shown branch beside another one: the other text, where both part, and the loops of both by layer."""
    found = generating.branches()
    if state.why_no_model() or found.against is None or found.against == found.shown:
        return
    shown, other = found.branches[found.shown], found.branches[found.against]
    story = generating.story()
    with title("Two branches compared"):
        numbers = [number for number in range(len(story.branches)) if number != story.shown]
        st.selectbox(
            "Compared with",
            numbers,
            format_func=lambda number: f"with branch {generating.name_of(number)}",
            key=generating.AGAINST_KEY,
            label_visibility="collapsed",
            width=180,
        )
    at = first_difference(other.trace, shown.trace)
    st.markdown(f"**Branch {other.name}**")
    last = other.trace.num_tokens - 1
    place = next(each for each in (story.other_token, at, last) if each is not None)
    text_strip(other.trace, "against_strip", min(place, last), generating.select_in_other)
    if "depth" not in shown.trace.parts:
        return  # what follows counts loops
    shared = shared_tokens_table(other.trace, shown.trace)
    unlike = int((shared["loops_first"] != shared["loops_second"]).sum())
    tokens = shared["token"].nunique()
    st.caption(
        f"Both texts have the same {how_many(tokens, 'token')} at their beginning. In {unlike:,} of these tokens' "
        f"{len(shared):,} choices (token and layer) the loops differ. The means below are over all that each branch "
        "wrote."
    )
    table = layers_table(other.trace, shown.trace)
    st.dataframe(
        table,
        hide_index=True,
        height=table_height(len(table), 400),
        column_config={
            "layer": st.column_config.NumberColumn(width=70),
            "shared_tokens": st.column_config.NumberColumn("shared tokens", width=120),
            "other_loops": st.column_config.NumberColumn("of these with other loops", width=180),
            "mean_loops_first": st.column_config.NumberColumn(f"mean loops, {other.name}", format="%.2f"),
            "mean_loops_second": st.column_config.NumberColumn(f"mean loops, {shown.name}", format="%.2f"),
            "difference": st.column_config.NumberColumn(f"{shown.name} minus {other.name}", format="%+.2f"),
        },
    )
    st.download_button("CSV of the layers", table_csv(table), "branches.csv", "text/csv", on_click="ignore")


__all__ = ["branching", "comparison"]
