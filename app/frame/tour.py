"""The tour for a first visit: each step opens a page, selects an instructive token, and explains one thing about it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import streamlit as st

from analysis.aggregate import ordinary
from analysis.overview import overview_numbers
from analysis.words.labels import token_labels
from app.session import state, tour_step
from app.session.navigation import page_named
from app.texts.markdown import literal
from hooks.trace import RoutingTrace


@dataclass(frozen=True)
class Step:
    """One step of the tour."""

    page: str
    """Name of the page that the step opens."""
    title: str
    cell: Callable[[RoutingTrace], tuple[int, int]]
    """Trace -> (layer, token) that the step selects."""
    text: Callable[[RoutingTrace, int, int], str]
    """(trace, layer, token) -> the explanation, as Markdown."""


def tour_button() -> None:
    """The button that starts the tour."""
    st.button("Tour", on_click=_go, args=(0,), icon=":material/signpost:", help="Five steps through the explorer")


def follow_tour() -> None:
    """Open the page of the step that was just reached."""
    if tour_step.just_moved():
        st.switch_page(page_named(STEPS[tour_step.step()].page))


def tour_box() -> None:
    """The box with the open step, and buttons to move on and to end; nothing if the tour is closed."""
    if (number := tour_step.step()) is None:
        return
    step, trace = STEPS[number], state.current_trace()
    with st.container(border=True, key="tour"):
        st.markdown(f"**Tour, {number + 1} of {len(STEPS)}: {step.title}**")
        st.markdown(step.text(trace, *step.cell(trace)))
        with st.container(horizontal=True):
            st.button("Back", key="tour_back", on_click=_go, args=(number - 1,), disabled=number == 0)
            last = number == len(STEPS) - 1
            st.button("Next", key="tour_next", type="primary", on_click=_go, args=(number + 1,), disabled=last)
            st.button("End the tour", key="tour_end", on_click=tour_step.end)


def _go(number: int) -> None:
    layer, token = STEPS[number].cell(state.current_trace())
    state.select(layer=layer, token=token)
    tour_step.go_to(number)


# Cells (layer, token) to select ---------------------------------------------------------------------------------------


def hardest(trace: RoutingTrace) -> tuple[int, int]:
    """The token with the most loops over all layers, in the layer where it took the most."""
    token = int(np.where(trace.special, -1, trace.loops.mean(axis=0)).argmax())
    return int(trace.loops[:, token].argmax()), token


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
    numbers = overview_numbers(trace)
    return (
        "The strip above is the text in tokens, coloured by what you choose over it. One token and one layer are "
        f"selected, here {_named(trace, token)} in layer {layer}; a click or the arrow keys select another, on every "
        f"page alike. In this text the model ran its FFN {numbers.mean_loops:.2f} times per token and layer, of at "
        f"most {trace.max_loops}."
    )


def _loops(trace: RoutingTrace, layer: int, token: int) -> str:
    return (
        f"{_named(trace, token)} took the most loops in this text: {trace.loops[:, token].mean():.2f} on average "
        f"over the layers, and {trace.loops[layer, token]} in layer {layer}. The depth head decides that anew in every "
        "layer. The figures below the map show how sure it was."
    )


def _gate(trace: RoutingTrace, layer: int, token: int) -> str:
    gate = trace.gate[:, token]
    return (
        f"The loops also set λ, the weight of the experts. {_named(trace, token)} has λ from {gate.min():.2f} to "
        f"{gate.max():.2f}, depending on the layer: few loops leave much to the width path (blue), many take it away "
        "(orange)."
    )


def _experts(trace: RoutingTrace, layer: int, token: int) -> str:
    if trace.width_ran[layer, token]:
        chosen = " and ".join(map(str, trace.expert_ids[layer, token]))
        return (
            f"Where λ is above 0, the router chooses {trace.expert_ids.shape[2]} experts: for {_named(trace, token)} "
            f"in layer {layer} it was {chosen}. Colour and number name the first; strong colour means a clear choice."
        )
    return (
        f"Where λ is above 0, the router chooses experts; colour and number name the first. In layer {layer} "
        f"{_named(trace, token)} took all its loops, so λ is 0 and it did not route: a stroke, not a colour, and it is "
        "in no expert's load. What did not run is never shown as a zero."
    )


def _walkthrough(trace: RoutingTrace, layer: int, token: int) -> str:
    return (
        f"All of it for {_named(trace, token)} in layer {layer}, in six steps with its own numbers, up to the output "
        "that both paths make together. Now take a text of your own: the button at the top left, Type, Trace. Words "
        "that you do not know are in the Glossary."
    )


STEPS = (
    Step("Overview", "a text and its tokens", hardest, _strip),
    Step("Recursion", "tokens loop", hardest, _loops),
    Step("Gate", "loops set the gate", widest_spread, _gate),
    Step("Experts", "who is chosen, and who did not route", did_not_route, _experts),
    Step("Walkthrough", "one token, all the way", both_paths, _walkthrough),
)
"""In order."""
