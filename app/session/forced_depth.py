"""The visitor's sweeps over the depth and lambda of the current text: starting, watching, stopping, and their results.

Each runs in a background thread (`app.server.background_job`), and goes on while the visitor looks at other pages.
"""

from concurrent.futures import CancelledError
from contextlib import suppress

import streamlit as st

from analysis.texts.gate_placement import GatePlacement
from app.limits import MAX_SWEEP_BYTES
from app.server import models
from app.server.background_job import BackgroundJob
from app.server.forced_depth import (
    DEPTH,
    GATE,
    GATES,
    TEXTS,
    Key,
    kept_sweeps,
    move_gate,
    run_other_gates,
    sweep_depth,
)
from app.server.gate_placements import Placed, place_gate
from app.server.presence import presence
from app.server.queues import model_queue
from app.session import state, text_study
from app.texts.gate_placements import shipped_placement
from hooks.depth_effects import DepthEffects, sweep_bytes
from hooks.frontier_record import Frontier, GateSweep

BUTTONS = {DEPTH: "Force every depth", GATES: "Run the other gates", GATE: "Move λ", TEXTS: "Measure these texts"}
"""Kind of sweep -> label of the button that starts it."""
_KINDS = {DepthEffects: DEPTH, Frontier: GATES, GateSweep: GATE}


def current_sweep(kind: type) -> DepthEffects | Frontier | GateSweep | None:
    """The result of a kind for the current text, of this visitor or another; None if there is none yet."""
    return kept_sweeps().get(_key(_KINDS[kind]))


def why_no_sweep(kind: type) -> str | None:
    """Why figures of this kind cannot be drawn; None if they can."""
    if why_not := why_not_possible():
        return why_not
    found = current_sweep(kind)
    if found is None or (isinstance(found, DepthEffects) and not found.ran.any()):
        if running_job(_KINDS[kind]):
            return "This is drawn once the sweep has ended or is stopped."
        return f"Press the button {BUTTONS[_KINDS[kind]]} to draw this."
    return None


def why_not_possible() -> str | None:
    """Why no sweep can be run over the current text; None if one can."""
    if why_not := state.why_no_model():
        return why_not
    trace = state.current_trace()
    if trace.interventions:
        return "A sweep is about the model's own choices. Remove the interventions to run it."
    if why_not := why_no_other_depth():
        return why_not
    if trace.num_tokens < 2:
        return "This text has one token, so it has no next prediction to measure. Give a longer text."
    if (size := sweep_bytes(trace)) > MAX_SWEEP_BYTES:
        return (
            f"A sweep over this text takes {size / 2**20:,.0f} MB in this model, and the limit is "
            f"{MAX_SWEEP_BYTES // 2**20} MB. Choose a shorter text."
        )
    return None


def why_no_other_depth() -> str | None:
    """Why the current model has no other depth to force; None if it has."""
    only = state.current_trace().max_loops == 1
    return "This model has only one loop, so there is no other depth to force." if only else None


def why_not_started(kind: str) -> str | None:
    """Why the button of a kind is disabled; None if it can be pressed."""
    if why_not := why_not_possible():
        return why_not
    if kind != GATES:
        return None
    effects = current_sweep(DepthEffects)
    if effects is None or not effects.complete:
        return f"The oracle needs every depth of every token: let “{BUTTONS[DEPTH]}” run to its end first."
    return None


def start(kind: str) -> None:
    """Start a sweep of the current text, or go on with it. The model is loaded first if it is not."""
    key, trace, kept, session = _key(kind), state.current_trace(), kept_sweeps(), st.session_state
    loaded = models.loaded_model(session[state.MODEL_KEY])
    effects, layer, token = current_sweep(DepthEffects), session.layer, session.token
    model = session[state.MODEL_KEY]
    name, texts = (text_study.name_of_texts(), key[2:]) if kind == TEXTS else ("", ())
    work = {
        TEXTS: lambda job: place_gate(job, kept, loaded, key, name, model, texts),
        DEPTH: lambda job: sweep_depth(job, kept, loaded, key, trace),
        GATES: lambda job: run_other_gates(job, kept, loaded, key, effects),
        GATE: lambda job: move_gate(job, kept, loaded, key, trace, layer, token),
    }
    stop(kind)
    _jobs()[kind] = job = BackgroundJob(key, model_queue(), presence())
    job.start(work[kind])


def stop(kind: str) -> None:
    """Forget the running sweep of a kind at once; its thread ends at the next step."""
    if job := _jobs().pop(kind, None):
        job.stop()


def running_job(kind: str) -> BackgroundJob | None:
    """The sweep of this kind over the current text that is still running. The error of a failed one is raised."""
    job = _jobs().get(kind)
    if job is None:
        return None
    if job.future.done():
        del _jobs()[kind]
        with suppress(CancelledError):  # the visitor was away for long, and is back
            job.future.result()
        return None
    return job if job.key == _key(kind) else None


def needs_run(kind: str) -> bool:
    """Whether the current text has no finished result of a kind, and none is being made."""
    found = kept_sweeps().get(_key(kind))
    return running_job(kind) is None and (found is None or (kind == DEPTH and not found.complete))


def placed() -> Placed | None:
    """What is known of the chosen texts, of this visitor or another; None before the first one was run."""
    return None if text_study.why_no_texts() else kept_sweeps().get(_key(TEXTS))


def shipped() -> GatePlacement | None:
    """What was measured in the sample texts before this model was shipped; None of other models and texts."""
    if text_study.own_list_chosen():
        return None
    return shipped_placement(state.current_trace().meta.get("weights_sha256"))


def texts_to_run() -> int:
    """How many of the chosen texts were not run yet."""
    known = placed()
    return len(text_study.chosen_texts()) - (known.done if known else 0)


def _jobs() -> dict[str, BackgroundJob]:
    return st.session_state.setdefault("sweep_jobs", {})


def _key(kind: str) -> Key:
    if kind == TEXTS:
        return kind, st.session_state[state.MODEL_KEY], *text_study.chosen_texts()
    cell = (st.session_state.layer, st.session_state.token) if kind == GATE else ()
    return kind, *state.model_and_text(), *cell


__all__ = [
    "BUTTONS", "current_sweep", "needs_run", "placed", "running_job", "shipped", "start", "stop", "texts_to_run",
    "why_no_other_depth", "why_no_sweep", "why_not_possible", "why_not_started",
]  # fmt: skip
