"""The tour for a first visitor: each step opens a page, points at a part of it, and explains one thing there."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import streamlit as st

from analysis.aggregate import ordinary
from analysis.difficulty import hardest_token, token_difficulty
from analysis.overview import overview_numbers
from analysis.parts import ALL, why_lacking
from analysis.words.labels import how_many, token_labels
from app.components.cookie import keep_cookie
from app.components.tour_pointer import tour_pointer
from app.session import put_away, state, tour_step
from app.texts.markdown import literal
from hooks.trace import RoutingTrace

STRIP, FIRST_FIGURE = ".st-key-token_strip", '[class*="st-key-figure-"]'
"""CSS selectors of what a step points at."""
TOUR = "tour"


@dataclass(frozen=True)
class Step:
    """One step of the tour."""

    page: str
    """Name of the page that the step opens."""
    title: str
    points_at: str
    """CSS selector; the first such element of the page is outlined and brought into view."""
    cell: Callable[[RoutingTrace], tuple[int, int]]
    """Trace -> (layer, token) that the step selects."""
    text: Callable[[RoutingTrace, int, int], str]
    """(trace, layer, token) -> the explanation, as Markdown."""


def tour_button() -> None:
    """The button that starts the tour."""
    st.button("Tour", on_click=_go, args=(0,), icon=":material/signpost:", help="Five steps through the explorer")


def tour_box() -> None:
    """The box with the open step, and buttons to move on and to end; to a new visitor, the words that announce it."""
    if (value := put_away.cookie_to_set()) is not None:
        keep_cookie(put_away.COOKIE, value)
    other = why_lacking(ALL, state.current_trace().meta)
    if (number := tour_step.step()) is None:
        if other is None:
            _announcement()
        return
    if other is not None:
        with st.container(border=True, key=TOUR):
            st.markdown(f"The tour explains the layers of a VersatileFFN. {literal(other)}")
            st.button("End the tour", key="tour_end", on_click=_end)
        return
    step, trace = STEPS[number], state.current_trace()
    with st.container(border=True, key=TOUR):
        st.markdown(f"**Tour, {number + 1} of {len(STEPS)}: {step.title}**")
        st.markdown(step.text(trace, *step.cell(trace)))
        with st.container(horizontal=True):
            st.button("Back", key="tour_back", on_click=_go, args=(number - 1,), disabled=number == 0)
            last = number == len(STEPS) - 1
            st.button("Next", key="tour_next", type="primary", on_click=_go, args=(number + 1,), disabled=last)
            st.button(
                "End the tour",
                key="tour_end",
                on_click=_end,
                help="Returns to the page and the selection where you began",
            )
        tour_pointer(step.points_at, page=step.page)


def _announcement() -> None:
    """One line above the page for a visitor who has neither taken the tour nor declined it."""
    if put_away.is_put_away(TOUR):
        return
    with st.container(border=True, key="tour_offer", horizontal=True, vertical_alignment="center"):
        st.markdown("**New here?** Five short steps on this text explain what the pages show.", width="stretch")
        st.button("Take the tour", key="tour_begin", type="primary", on_click=_go, args=(0,))
        st.button("No, thanks", key="tour_decline", on_click=put_away.put_away, args=(TOUR,))


def _go(number: int) -> None:
    layer, token = STEPS[number].cell(state.current_trace())
    tour_step.go_to(number, STEPS[number].page)
    state.select(layer=layer, token=token)


def _end() -> None:
    tour_step.end()
    state.clamp_selection()
    put_away.put_away(TOUR)


# Cells (layer, token) to select ---------------------------------------------------------------------------------------


def hardest(trace: RoutingTrace) -> tuple[int, int]:
    """The token with the largest soft difficulty, as on the Overview, in the layer that gave it the most."""
    token = hardest_token(trace)
    return int(trace.difficulty_soft[:, token].argmax()), token


def widest_spread(trace: RoutingTrace) -> tuple[int, int]:
    """The token whose loops differ most between layers, in the layer where it took the fewest."""
    token = int(np.where(trace.special, -1, np.ptp(trace.loops, axis=0)).argmax())
    return int(trace.loops[:, token].argmin()), token


def did_not_route(trace: RoutingTrace) -> tuple[int, int]:
    """The first cell that did not route; if all did, the one with the largest expert weight."""
    unrouted = ~trace.width_ran & ordinary(trace)
    if not unrouted.any():
        return _cell(np.where(trace.special, -1, trace.expert_weights[..., 0]).argmax(), trace)
    return _cell(unrouted.argmax(), trace)


def both_paths(trace: RoutingTrace) -> tuple[int, int]:
    """The cell with the most loops among those that routed; `hardest` if none did."""
    mixed = np.where(trace.width_ran & ordinary(trace), trace.loops, -1)
    return _cell(mixed.argmax(), trace) if mixed.max() > 0 else hardest(trace)


def _cell(flat: int, trace: RoutingTrace) -> tuple[int, int]:
    layer, token = np.unravel_index(int(flat), trace.loops.shape)
    return int(layer), int(token)


# Explanations ---------------------------------------------------------------------------------------------------------


def _named(trace: RoutingTrace, token: int) -> str:
    return f"“{literal(token_labels(trace)[token])}” (token {token})"


def _strip(trace: RoutingTrace, layer: int, token: int) -> str:
    mean = overview_numbers(trace).mean_loops
    ran = f" In this text it ran {mean:.2f} times per token, of at most {trace.max_loops}." if np.isfinite(mean) else ""
    return (
        "The outlined strip is the text, cut into tokens: the pieces that the model reads. One token and one layer "
        f"(one block of the model) are always selected, here {_named(trace, token)} in layer {layer}. A click or the "
        "arrow keys select others, and the selection holds on every page. Each layer has a feed-forward network "
        f"(FFN).{ran}"
    )


def _loops(trace: RoutingTrace, layer: int, token: int) -> str:
    return (
        "The outlined map shows how often each layer ran its FFN for each token. Each run is called a loop. In every "
        "layer the depth head, a small linear layer, reads the token's state and chooses how many loops to run. "
        f"{_named(trace, token)} got the highest difficulty in this text, {token_difficulty(trace)[token]:.2f} of 1: "
        f"it took {trace.loops[:, token].mean():.2f} loops on average over the layers, and "
        f"{trace.loops[layer, token]} in layer {layer}."
    )


def _gate(trace: RoutingTrace, layer: int, token: int) -> str:
    gate = trace.gate[:, token]
    return (
        "The number of loops also sets λ (lambda), with which the layer mixes its two paths. λ is the weight of the "
        "width path, which runs small slices of the same FFN, the experts. 1 − λ is the weight of the depth path, "
        f"which runs the loops. {_named(trace, token)} has λ from {gate.min():.2f} to {gate.max():.2f}, depending on "
        "the layer. The more loops a token takes, the less weight its width path gets. The outlined bars show how "
        "many tokens of each layer have each λ."
    )


def _experts(trace: RoutingTrace, layer: int, token: int) -> str:
    count = trace.expert_ids.shape[2]
    chooses = (
        f"The router, another small linear layer, chooses {how_many(count, 'expert')} for every token whose λ is "
        "above 0. "
    )
    why = "took all its loops, so its λ is 0 and it "
    if trace.width_ran[layer, token]:
        chosen = " and ".join(map(str, trace.expert_ids[layer, token, trace.expert_ran[layer, token]]))
        return (
            f"{chooses}For {_named(trace, token)} in layer {layer} it chose {chosen}. The outlined figure "
            "has one row per expert of this layer."
        )
    return (
        f"{chooses}In layer {layer} {_named(trace, token)} {'' if trace.interventions else why}did not route. "
        "The outlined figure puts it in a row of its own, below those of the experts, and it counts for none of "
        "them. A path that did not run is never shown as zero."
    )


def _walkthrough(trace: RoutingTrace, layer: int, token: int) -> str:
    return (
        f"The outlined drawing shows one layer with the numbers of {_named(trace, token)} in layer {layer}. The "
        "buttons under it go through it step by step, and the formulas follow below. Now try a text of your own: "
        "click the text button at the top left, type, then press **Trace**. The Glossary explains every term. **End "
        "the tour** returns to where you began."
    )


STEPS = (
    Step("Overview", "a text and its tokens", STRIP, hardest, _strip),
    Step("Recursion", "tokens loop", FIRST_FIGURE, hardest, _loops),
    Step("Gate", "loops set the gate", FIRST_FIGURE, widest_spread, _gate),
    Step("Experts", "the router chooses experts", FIRST_FIGURE, did_not_route, _experts),
    Step("Walkthrough", "one token through one layer", FIRST_FIGURE, both_paths, _walkthrough),
)
"""In order."""
