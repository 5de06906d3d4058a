"""Generate page: the model goes on with a text, token by token with its loops; steps back, branches, and a check."""

from functools import partial

import streamlit as st

from analysis.models.batching import TOLERANCE, flips
from analysis.view import View
from analysis.words.labels import how_many
from analysis.words.numbers import significant
from analysis.words.strip import quantities, strip
from app.components.token_strip import token_strip
from app.limits import MAX_CHARACTERS, MAX_GENERATED
from app.parts.stop_button import stop_button
from app.session import choices, generating, navigation, pending, state
from app.session.generating import Story
from app.texts.markdown import literal
from hooks.sampling import FULL, MOST_SEED, MOST_TEMPERATURE
from hooks.trace import RoutingTrace

PAGE = "Generate"
EVERY_S = 0.1
"""Seconds between two looks at a text that is being written."""
HOW_TO_READ = (
    "**How to read.** A token's colour and number are its loops, in the selected layer or as a mean over layers, as "
    "chosen above. The prompt stands before the mark “generated”; what the model wrote follows, with dots under it. "
    "A new token is run once, and its numbers are those of that run. A branch keeps the text up to the selected "
    "token, changes a choice from there on, and draws with the same random numbers, so that two branches differ only "
    "because of the change."
)


HOW_TO_READ_OTHERS = (
    "**How to read.** The prompt stands before the mark “generated”; what the model wrote follows, with dots under "
    "it. A token is coloured by its first expert, or by its surprisal where the model chooses no experts. A branch "
    "keeps the text up to the selected token, changes a choice from there on, and draws with the same random "
    "numbers."
)


def writing() -> None:
    """The prompt, the text as it is written, and the buttons; redrawn alone while the model writes."""
    st.fragment(_writing, run_every=EVERY_S if generating.is_running() else None)()
    st.caption(HOW_TO_READ if "depth" in state.current_trace().parts else HOW_TO_READ_OTHERS)


def _writing() -> None:
    if pending.exists():
        st.rerun()  # the whole page, since the frame shows the opened text
    if why_not := state.why_no_model():
        st.caption(why_not)
        return
    _prompt()
    if (found := generating.story()) is None:
        return
    _text(found)
    _buttons(found)
    if generating.is_running():
        with st.container(key="tracing-quietly"):  # the line above tells how far it is
            generating.work()
        if not generating.is_running():
            st.rerun()  # the whole page, which ends the fragment's timer and has a new answer


def _prompt() -> None:
    """The field for the prompt, how many tokens are to be written, and the button that begins or stops."""
    generating.prompt()
    st.text_area("Prompt", key=generating.PROMPT_KEY, height=84, max_chars=MAX_CHARACTERS, persist_state="session")
    with st.container(horizontal=True, vertical_alignment="bottom", key="generate-begin"):
        st.number_input(
            "Tokens to write",
            1,
            MAX_GENERATED,
            generating.DEFAULTS[generating.TOKENS_KEY],
            key=generating.TOKENS_KEY,
            width=150,
            persist_state="session",
        )
        if generating.is_running():
            if stop_button("stop-generating"):
                generating.stop()
                st.rerun()
        elif st.button("Generate", type="primary", key="generate"):
            generating.start()
            st.rerun()
        how = generating.chosen_sampling()
        words = "the likeliest" if how.is_greedy else literal(how.words())
        st.caption(f"Next token: {words}.", width="stretch")


def _text(found: Story) -> None:
    """The strip of the branch that is shown, and how far it is."""
    branch = found.branch
    if (trace := branch.trace) is None:
        read = branch.tokens - branch.grown.unread
        st.caption(f"Reading the text so far: {read:,} of {how_many(branch.tokens, 'token')}…")
        return
    last = trace.num_tokens - 1
    token = last if found.token is None else min(found.token, last)
    text_strip(trace, "generated_strip", token, generating.select)
    wanted = branch.goal - branch.tokens + branch.generated
    told = f"{how_many(branch.generated, 'token')} generated"
    if found.running:
        told = f"{branch.generated:,} of {how_many(wanted, 'token')} generated…"
    elif branch.grown.finished:
        told += f". {generating.ENDS[branch.grown.finished]}"
    of = "" if found.model == state.model_and_text()[0] else f" By {found.model}."
    name = f"Branch {generating.name_of(found.shown)}: " if len(found.branches) > 1 else ""
    st.caption(literal(f"{name}{told}{'' if told.endswith(('.', '…')) else '.'}{of}"))


def text_strip(trace: RoutingTrace, key: str, token: int, on_select, page: str = PAGE) -> None:
    """A text as tokens coloured by loops; a click calls `on_select(token)`, and a layer is selected everywhere."""
    view = state.current_view()
    at_layer = min(view.layer, trace.num_layers - 1)
    shown = View(layer=at_layer, token=token, theme=view.theme)
    offered = quantities(trace)
    drawn = strip(
        trace,
        "Loops" if "Loops" in offered else offered[0],
        layer=at_layer if choices.shown_scope() == "layer" else None,
        token=token,
        at_layer=at_layer,
        theme=shown.theme,
    )

    chosen: list[int] = []

    def select() -> None:
        on_select(chosen[0])
        state.select(layer=chosen[1])

    note = pending.callback(select)  # the whole page follows the selection, and not the text alone

    def selected(token: int, layer: int) -> None:
        chosen[:] = token, layer
        note()

    token_strip(
        drawn,
        page=page,
        token=token,
        layer=at_layer,
        layers=trace.num_layers,
        found=[],
        query="",
        on_select=selected,
        on_clear=lambda: None,
        level="token",
        on_level=None,
        key=key,
    )


def _buttons(found: Story) -> None:
    """What can be done with the text that is shown. While it is written, one waits or stops."""
    branch, busy = found.branch, found.running or found.branch.trace is None
    with st.container(horizontal=True, key="generate-buttons"):
        full = found.running or branch.grown.finished == FULL
        if st.button("Continue", icon=":material/play_arrow:", disabled=full, key="generate-more"):
            generating.go_on(generating.option(generating.TOKENS_KEY))
            st.rerun()
        if st.button("One more token", icon=":material/add:", disabled=full, key="generate-one"):
            generating.go_on(1)
            st.rerun()
        if st.button("Step back", icon=":material/undo:", disabled=busy or not branch.generated, key="generate-back"):
            generating.step_back()
            st.rerun()
        st.button(
            "Open in the explorer",
            icon=":material/open_in_new:",
            disabled=busy,
            key="generate-open",
            on_click=pending.callback(_open),
            help="Makes prompt and generated text the text of all pages, with the numbers that are here: the model "
            "does not run again.",
        )


def _open() -> None:
    if generating.open_in_explorer():
        navigation.open_next("Overview")


def options() -> None:
    """How the next token is chosen."""
    drawn = generating.option(generating.WAY_KEY) == generating.DRAWN
    labels = {generating.GREEDY: "The likeliest (greedy)", generating.DRAWN: "Drawn at random"}
    st.segmented_control(
        "The next token is",
        list(labels),
        default=generating.GREEDY,
        required=True,
        format_func=labels.get,
        key=generating.WAY_KEY,
        persist_state="session",
    )
    field = partial(st.number_input, disabled=not drawn, persist_state="session", width=150)
    with st.container(horizontal=True):
        for label, low, high, step, key in (
            ("Temperature", 0.05, MOST_TEMPERATURE, 0.1, generating.TEMPERATURE_KEY),
            ("Top k (0: all)", 0, 100_000, 10, generating.TOP_K_KEY),
            ("Top p", 0.01, 1.0, 0.05, generating.TOP_P_KEY),
            ("Seed", 0, MOST_SEED, 1, generating.SEED_KEY),
        ):
            field(label, low, high, generating.DEFAULTS[key], step=step, key=key)
    st.caption(
        "The logits are divided by the temperature. Then a token is drawn from the k likeliest ones, and of these from "
        "the fewest whose probabilities sum to at least p. The same seed gives the same text. The trace keeps the "
        "model's own probabilities, before any of this."
    )


def batches() -> None:
    """The check whether the prompt's routing depends on what stands beside it in a batch."""
    if state.why_no_model() or generating.story() is None:
        st.caption("Generate a text first; the check is about its prompt.")
        return
    check = pending.callback(generating.check_batches)
    st.button("Check the prompt in batches", key="check-batches", on_click=check)
    if (runs := generating.checked_batches()) is None:
        st.caption(
            "This runs the prompt alone, and in a batch with a longer text, once with padding behind it and once with "
            "padding before it, and compares all choices of loops and experts."
        )
        return
    for how, trace in runs.batched.items():
        found = flips(runs.alone, trace)
        unlike = len(found.unexplained)
        verdict = "✓ the same" if not unlike else f"✗ {how_many(unlike, 'choice')} differ without a close margin"
        st.markdown(
            f"**{verdict}**, {how}: {found.flipped:,} of {found.choices:,} choices differ; {found.close:,} have a "
            f"margin of at most {TOLERANCE:g} logits, where rounding decides. Largest difference of a logit: "
            f"{significant(runs.gaps[how])}."
        )
