"""Compare page: choosing what is set beside the text, B's own tokens, the exchange of routing, and other figures."""

from functools import partial

import streamlit as st

from analysis.catalogue import FigureSpec
from analysis.compare.pair import TracePair
from analysis.compare.texts import MINIMAL_PAIRS
from analysis.figures.compare import unclickable, view_of_b
from analysis.figures.fitting import fit
from analysis.words.labels import how_many
from app.limits import MAX_CHARACTERS
from app.parts.panel import chart, title
from app.session import comparing, navigation, pending
from app.session.comparing import MODEL_KEY, OWN, STEP, STEP_KEY, TEXT, TYPED_KEY, WAY_KEY, WAYS
from app.session.drawings import figure_width, page_view
from app.session.results import current_result, why_not_drawn
from app.session.state import current_view, interventions, select, why_no_model
from app.texts.markdown import literal
from app.views.generate import text_strip
from hooks.trace import RoutingTrace

PAGE = "Compare"


def choose_b() -> None:
    """What B is: a minimal pair or a typed text, a model, a training step, or no interventions; and B's tokens."""
    if why_no_model():
        return  # every figure says why
    comparing.fill_form()
    way = st.segmented_control(
        "Compare this text with",
        list(WAYS),
        format_func=WAYS.get,
        required=True,
        key=WAY_KEY,
        label_visibility="collapsed",
        persist_state="session",
    )
    {TEXT: _text, comparing.MODEL: _model, STEP: _step, OWN: _own_choices}[way]()
    if comparing.beside() is not None and why_not_drawn(TracePair) is None:
        _b(current_result(TracePair))


def _text() -> None:
    """Minimal pairs to begin with, and the field for a second text."""
    with st.container(horizontal=True, key="minimal-pairs"):
        for key, pair in MINIMAL_PAIRS.items():
            st.button(
                pair.name,
                key=f"pair-{key}",
                help=f"A: {literal(pair.a)}\n\nB: {literal(pair.b)}",
                on_click=pending.callback(partial(comparing.set_pair, key)),
            )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_area(
            "Or a second text (B), to compare with the text above",
            key=TYPED_KEY,
            height=68,
            placeholder=f"The text above with one thing changed, up to {MAX_CHARACTERS:,} characters",
            persist_state="session",
        )
        st.button("Compare", type="primary", key="compare-text", on_click=pending.callback(comparing.set_typed))


def _model() -> None:
    others = comparing.other_models()
    if not others:
        st.caption("There is no other model on this server. `make run` builds a larger one once.")
        return
    comparing.fill_choice(MODEL_KEY, others)
    st.selectbox(
        "Model of B",
        others,
        index=None,
        key=MODEL_KEY,
        placeholder="Choose a model",
        on_change=pending.callback(comparing.set_model),
        persist_state="session",
    )
    st.caption("It reads the same text. Where it cuts the text into different tokens, both are aligned by characters.")


def _step() -> None:
    try:
        steps = {each.step: each for each in comparing.other_steps()}
    except ValueError as error:
        st.error(literal(str(error)))
        return
    if not steps:
        st.caption("This model has no weights from earlier in its training; the smaller shipped model has them.")
        return
    comparing.fill_choice(STEP_KEY, list(steps))
    st.selectbox(
        "Training step of B",
        list(steps),
        index=None,
        key=STEP_KEY,
        format_func=lambda step: f"step {step:,}, after {steps[step].tokens:,} tokens",
        placeholder="Choose a step",
        on_change=pending.callback(comparing.set_step),
        persist_state="session",
    )


def _own_choices() -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if interventions():
            own = pending.callback(partial(comparing.set_beside, comparing.Beside(OWN)))
            st.button("Compare with the model’s own choices", type="primary", key="compare-own", on_click=own)
            st.caption("A is the text under the active interventions, B the same text without them.", width="stretch")
        else:
            st.caption("No intervention is active yet, so there is nothing to take away.", width="content")
            st.button("Set one on What if", on_click=pending.callback(partial(navigation.open_next, "What if")))


def _b(pair: TracePair) -> None:
    """B's name and tokens, and how they are aligned with those of A. A click selects the token of A at that place."""
    with title("B"):
        st.button("Remove B", icon=":material/close:", on_click=pending.callback(comparing.remove))
    token = pair.alignment.token_of_b(min(current_view().token, pair.a.num_tokens - 1))

    def chosen(token: int) -> None:
        if (partner := pair.alignment.token_of_a(token)) is not None:
            select(token=partner)

    text_strip(pair.b, "compare_strip", token or 0, chosen, page=PAGE)
    st.text(f"B is {pair.name_of_b}. {_alignment(pair)}")


def _alignment(pair: TracePair) -> str:
    """How many tokens of both stand at the same place, as a sentence."""
    at = pair.alignment
    single = (at.sizes_a == 1) & (at.sizes_b == 1)
    same_a, otherwise, alone_a, alone_b = (
        int(at.sizes_a[at.same & single].sum()),
        int(at.sizes_a[at.same & ~single].sum()),
        int((at.group_a < 0).sum()),
        int((at.group_b < 0).sum()),
    )
    replaced = int((~at.same).sum())
    parts = [f"{same_a:,} {'is' if same_a == 1 else 'are'} the same in B"]
    parts += [f"{otherwise:,} {'is' if otherwise == 1 else 'are'} cut in other places"] if otherwise else []
    parts += [f"{replaced:,} {'is' if replaced == 1 else 'are'} replaced"] if replaced else []
    parts += [f"{alone_a:,} {'is' if alone_a == 1 else 'are'} not aligned"] if alone_a else []
    more = f" {how_many(alone_b, 'token')} of B {'is' if alone_b == 1 else 'are'} not aligned." if alone_b else ""
    return f"Of the {how_many(pair.a.num_tokens, 'token')} of A, {', '.join(parts)}.{more}"


def beside_each_other() -> None:
    """A figure of one trace, chosen from all, of A and of B: two columns, which select nothing."""
    if why_not := why_not_drawn(TracePair):
        st.caption(literal(why_not))
        return
    pair, view = current_result(TracePair), page_view(0.5)
    figure_spec, options = _chosen_figure(pair)
    sides = ("A", pair.a, view), ("B", pair.b, view_of_b(pair, view))
    for column, (side, trace, seen) in zip(st.columns(2), sides, strict=True):
        with column:
            st.markdown(f"**{side}**")
            if why_not := _why_not_beside(figure_spec, trace, pair, seen):
                st.caption(literal(why_not))
                continue
            figure = unclickable(figure_spec.figure(trace, seen, **options))
            fit(figure, figure_width(0.5))
            chart(f"beside-{side}", figure, name=f"{figure_spec.name}_{side}", alt=f"{figure_spec.title} {side}")
    st.caption(figure_spec.caption_of(pair.a.meta, **options), help=figure_spec.details or None)


def _chosen_figure(pair: TracePair) -> tuple[FigureSpec, dict[str, str]]:
    """The lists of the figures of one trace and of the options of the chosen one, and what is chosen."""
    specs = {each.name: each for each in comparing.BESIDE}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Figure of A, of B and of B minus A",
            list(specs),
            format_func=lambda name: specs[name].title,
            key=comparing.FIGURE_KEY,
            persist_state="session",
        )
        choice = specs[name].choice
        ranks = max(each.expert_ids.shape[2] for each in (pair.a, pair.b))
        if choice and (offered := list(choice.offered(pair.a.meta, ranks))):
            comparing.forget_unless_offered(name, offered)
            st.segmented_control(
                choice.name,
                offered,
                default=choice.default,
                required=True,
                format_func=choice.labels.get,
                key=comparing.option_key(name),
                persist_state="session",
            )
    return specs[name], comparing.figure_beside()[1]


def _why_not_beside(figure_spec: FigureSpec, trace: RoutingTrace, pair: TracePair, view) -> str | None:
    """Why a figure cannot be drawn of a trace at this place, in a sentence; None if it can."""
    if "token" in figure_spec.follows and not 0 <= view.token < trace.num_tokens:
        return "The selected token of A is not aligned with a token of B; select another one."
    if "layer" in figure_spec.follows and not 0 <= view.layer < trace.num_layers:
        return pair.why_no_layers
    return figure_spec.why_not(trace)
