"""The results that pages show beside the trace of the current text; `app.server.captures` computes and caches them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import streamlit as st

from analysis import parts
from analysis.catalogue import CATALOGUE, Drawn, FigureSpec
from analysis.explain.attribution import Attribution
from analysis.explain.embedding import Embedding
from analysis.explain.near_miss import TwoPrecisions
from analysis.models.faithfulness import Finding
from analysis.models.family import family_table, read_members
from analysis.models.health import Check
from analysis.models.training import TrainingCurves
from analysis.runs.about import AboutRun
from analysis.runs.atlas import Atlas
from analysis.runs.map import TokenMap
from analysis.texts.knock_out import KnockOutStudy
from analysis.texts.study import Study
from analysis.texts.summary import PromptSummary, PromptTable
from analysis.view import WINDOW, window_around
from analysis.what_if.comparison import Comparison
from app.limits import MAX_PATHS_BYTES
from app.server import captures, models
from app.session import (
    card_choice,
    comparing,
    forced_depth,
    knock_outs,
    prompt_list,
    run_choice,
    state,
    targets,
    text_study,
    token_maps,
    training_steps,
    umap_maps,
    what_if,
)
from app.session.choices import chosen_options
from app.session.folds import is_open
from app.texts.markdown import literal
from hooks.attention_trace import AttentionTrace, attention_bytes
from hooks.depth_effects import DepthEffects
from hooks.frontier_record import Frontier, GateSweep
from hooks.knock_out_trace import KnockOutTrace
from hooks.lens_trace import LensTrace
from hooks.path_trace import PathTrace, path_bytes
from hooks.slice_trace import SliceTrace
from hooks.trace import RoutingTrace
from hooks.trace_checks import PARTS
from hooks.training_trace import TrainingTrace

MAX_ATTENTION_BYTES = 128 * 2**20
"""Most memory of the attention queries and keys of one text; four texts are cached."""
WHERE_IT_APPEARS = "In which layer does the prediction appear?"
"""The fold of the page Recursion lens whose figure shows the exits of all layers."""
FAMILY_TABLE = Path(__file__).parents[2] / "docs" / "reproduction" / "members.csv"
"""The report's table of the paper's family of models."""


def measure_faithfulness() -> None:
    """Run the current text in the ways that must agree, and compare them."""
    arguments = *state.model_and_text(), _captured_tokens()
    captures.faithfulness_of(*arguments)
    st.session_state.faithfulness_of = arguments


def measured_faithfulness() -> list[Finding] | None:
    """The findings about the current model and text; None until this visitor has asked for them."""
    arguments = st.session_state.get("faithfulness_of")
    if not arguments or state.trace_file() is not None or arguments[:2] != state.model_and_text():
        return None
    if arguments[2] is None:  # asked for before the session began anew
        measure_faithfulness()
    return captures.faithfulness_of(*st.session_state.faithfulness_of)


def trace_half_precision() -> None:
    """Trace the current text in bfloat16 too. If the model cannot be loaded so, tell the visitor why."""
    session = st.session_state
    try:
        captures.two_precisions_of(*state.model_and_text(), state.interventions())
    except ValueError as error:
        session.problem = state.why_refused(session[state.MODEL_KEY], error)
        return
    session.half_precision_of = state.model_and_text()


def current_precisions() -> TwoPrecisions:
    """The traces of the current text in float32 and in bfloat16."""
    return captures.two_precisions_of(*state.model_and_text(), state.interventions())


def current_paths() -> PathTrace:
    """The outputs of both paths in all layers, for the window round the selected token that fits `MAX_PATHS_BYTES`.

    Selecting another layer, or another token of the same window, runs no model.
    """
    return captures.paths_of(*state.model_and_text(), _captured_tokens(), state.interventions())


def current_attribution() -> Attribution:
    """Attribution of the chosen logit at the selected token, with measured removals if the visitor asked for them."""
    session = st.session_state
    capture = captures.removals_of if session.get("removed_of") == _attribution_key() else captures.attribution_of
    of_token = _captured_tokens(), session.token, targets.chosen_targets()
    return capture(*state.model_and_text(), *of_token, state.interventions())


def current_slices() -> SliceTrace:
    """Which slices of the FFN the loops of the captured tokens use."""
    return captures.slices_of(*state.model_and_text(), _captured_tokens(), state.interventions())


def current_lens(exits: tuple[int, ...] | None = None) -> LensTrace:
    """What the model would predict from every state of the selected token, with the chosen target's rank in each.

    `exits` are the layers whose exits are read; None: all.
    """
    session, trace = st.session_state, state.current_trace()
    tokens = (0, trace.num_tokens) if trace.parts != PARTS else _captured_tokens()
    of_token = tokens, session.token, targets.chosen_targets()[0], exits
    return captures.lens_of(*state.model_and_text(), *of_token, state.interventions())


def current_attention() -> AttentionTrace:
    """Attention of all heads and layers at the selected token. Selecting another token or layer runs no model."""
    return captures.attention_of(*state.model_and_text(), st.session_state.token, state.interventions())


def measure_removals() -> None:
    """Remove each write to the selected token's residual stream, one at a time, and measure the chosen logit."""
    st.session_state.removed_of = _attribution_key()
    current_attribution()


def why_not_drawn(kind: type) -> str | None:
    """Why figures of this kind (`FigureSpec.of`) cannot be drawn now; None if they can."""
    if lacking := parts.why_lacking_result(kind, state.current_trace().meta):
        return lacking
    of_run = issubclass(kind, Atlas | TokenMap | AboutRun)
    if kind is not RoutingTrace and not of_run and (why_not := state.why_no_model()):
        return why_not
    if kind is AttentionTrace:
        trace = state.current_trace()
        window = trace.window_of(st.session_state.token)
        tokens = window.end - window.first
        size = attention_bytes(trace.num_layers, tokens, trace.meta["config"]["hidden_size"])
        if size > MAX_ATTENTION_BYTES:
            return (
                f"Attention over {tokens:,} tokens takes {size / 2**20:,.0f} MB in this model, and the limit is "
                f"{MAX_ATTENTION_BYTES // 2**20} MB. Choose a shorter text."
            )
    if kind is TwoPrecisions and st.session_state.get("half_precision_of") != state.model_and_text():
        return "Press the button Trace in bfloat16 to draw this."
    asked = {
        TrainingTrace: training_steps.why_no_training,
        TrainingCurves: _why_no_curves,
        Embedding: umap_maps.why_no_map,
        KnockOutTrace: knock_outs.why_none,
        KnockOutStudy: knock_outs.why_no_study,
        **{each: partial(forced_depth.why_no_sweep, each) for each in (DepthEffects, Frontier, GateSweep)},
        **{each: partial(comparing.why_none, each) for each in comparing.GETTERS},
        Study: text_study.why_not_studied,
        TokenMap: token_maps.why_no_map,
    }
    if kind in asked:
        return asked[kind]()
    if of_run:
        return run_choice.why_none()
    if kind is PromptTable and not any(isinstance(known, PromptSummary) for known in prompt_list.prompt_summaries()):
        return "Trace the list to draw this."
    return None


def why_not_exported(figure_spec: FigureSpec) -> str | None:
    """Why a figure cannot be exported now; None if it can."""
    return figure_spec.why_lacking(state.current_trace().meta) or why_not_drawn(figure_spec.of)


def can_draw(kind: type) -> bool:
    """Whether figures of this kind can be drawn."""
    return why_not_drawn(kind) is None


def current_study() -> Study:
    """The study of the chosen texts; they are read now if they have not been."""
    if text_study.finished_study() is None:
        bar = st.empty()
        text_study.read_texts(lambda share, message: bar.progress(share, text=literal(message)))
        bar.empty()
    return text_study.finished_study().study


def current_result(kind: type) -> Drawn:
    """The current result of a kind (`FigureSpec.of`), which its figures draw."""
    getters = {
        RoutingTrace: state.current_trace,
        Study: current_study,
        PathTrace: current_paths,
        Attribution: current_attribution,
        LensTrace: current_lens,
        SliceTrace: current_slices,
        AttentionTrace: current_attention,
        KnockOutTrace: knock_outs.current_knock_outs,
        KnockOutStudy: knock_outs.current_study,
        TrainingTrace: training_steps.current_training,
        TrainingCurves: training_curves,
        TwoPrecisions: current_precisions,
        Comparison: what_if.current_comparison,
        **comparing.GETTERS,
        Embedding: umap_maps.current_map,
        **{each: partial(forced_depth.current_sweep, each) for each in (DepthEffects, Frontier, GateSweep)},
        PromptTable: prompt_list.drawn_list,
        Atlas: run_choice.current_atlas,
        **card_choice.GETTERS,
        TokenMap: token_maps.current_map,
    }
    return getters[kind]()


def shown_result(kind: type) -> Drawn:
    """The current result of a kind as the open page shows it.

    Of the lens this has the exits of the selected layer alone until the visitor opens what shows those of all layers,
    which take most of the time of a click.
    """
    if kind is not LensTrace or "depth" not in state.current_trace().parts or _every_exit_is_shown():
        return current_result(kind)
    return current_lens((st.session_state.layer,))


def _every_exit_is_shown() -> bool:
    readings = (chosen_options(each).get("reading") for each in CATALOGUE if each.of is LensTrace)
    return is_open(WHERE_IT_APPEARS) or "exit" in readings


def chosen_inputs() -> tuple:
    """What results depend on beside text and selection: targets, removals, texts of the study, sweeps that were run."""
    session = st.session_state
    chosen = text_study.own_list_chosen() or text_study.run_chosen()
    studied = text_study.finished_study() if chosen else None
    return (
        *(session.get(key) for key in targets.TARGETS),
        session.get("removed_of"),
        studied,
        knock_outs.current_knock_outs(),
        what_if.compared_with(),
        comparing.beside(),
        comparing.figure_beside(),
        *map(forced_depth.current_sweep, (DepthEffects, Frontier, GateSweep)),
    )


def _captured_tokens() -> tuple[int, int]:
    """First token and end of the window round the selected token whose paths fit `MAX_PATHS_BYTES`."""
    session, trace = st.session_state, state.current_trace()
    config = models.loaded_model(session[state.MODEL_KEY]).config
    width = max(min(WINDOW, MAX_PATHS_BYTES // path_bytes(config, trace.num_layers, 1)), 1)
    return window_around(session.token, trace.num_tokens, width) or (0, trace.num_tokens)


def _attribution_key() -> tuple:
    """What an attribution depends on: measured removals count only while this stays the same."""
    session = st.session_state
    return *state.model_and_text(), session.token, targets.chosen_targets()


def parameter_parts() -> dict[str, int] | None:
    """Part of the model -> its number of parameters; None while a trace file is open."""
    return None if state.why_no_model() else models.loaded_model(st.session_state[state.MODEL_KEY]).parameter_parts


def training_curves() -> TrainingCurves | None:
    """The training curves of the current model; None if it has no curves.csv. ValueError if that holds no curves."""
    return models.curves_of(st.session_state[state.MODEL_KEY], state.current_trace().meta)


def _why_no_curves() -> str | None:
    try:
        curves = training_curves()
    except ValueError as error:
        return str(error)
    return None if curves else "This model has no curves.csv, so there are no training curves to draw."


def family_of_models() -> pd.DataFrame | None:
    """The table of the paper's family; None if there is no report. ValueError if its file is no such table."""
    return family_table(read_members(FAMILY_TABLE.read_bytes())) if FAMILY_TABLE.is_file() else None


def check_health(progress: Callable[[float], None]) -> None:
    """Check the current model on built-in texts; `progress` is called with the share done. ValueError: no tokenizer."""
    captures.check_health(st.session_state[state.MODEL_KEY], progress)


def checked_health() -> list[Check] | None:
    """The checks of the current trace's model; None until some visitor has asked for them."""
    return models.health_of_models().get(state.model_facts().weights_sha256)
