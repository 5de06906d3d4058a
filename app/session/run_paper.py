"""What the paper's figures of the chosen run need beside the run: its prompts read again, once the visitor asks."""

import streamlit as st

from analysis.runs.paper_paths import PathCosines
from app.server import models, run_clouds, run_paths
from app.server.runs import RunError
from app.session import run_choice, state

ASKED = "run_paths_of"
"""Key of the run and filter for which the visitor asked to read prompts again."""


def why_not_measured() -> str | None:
    """Why the outputs of the paths cannot be measured for the chosen run, in a sentence; None if they can."""
    if why_not := state.why_no_model():
        return why_not
    atlas = run_choice.current_atlas()
    if set(atlas.sizes.parts) != {"depth", "gate", "width"}:
        return "This model does not have two paths whose outputs could be compared."
    name = atlas.meta.get("model")
    return None if name in models.folders() else f"The model of this run, {name}, is not offered here."


def ask() -> None:
    """Have prompts of the chosen run read again, under the chosen filter."""
    st.session_state[ASKED] = _current()


def measured() -> tuple[PathCosines | None, str | None]:
    """How alike the outputs of both paths are, None until the visitor has asked for this run and filter; and why they
    could not be measured, in a sentence, None if they could."""
    if st.session_state.get(ASKED) != _current() or why_not_measured():
        return None, None
    name = run_choice.current_atlas().meta["model"]
    try:
        return run_paths.cosines_of(name, run_choice.run_folder(), run_choice.chosen_filter()), None
    except RunError:
        raise
    except ValueError as error:  # the model here has other weights than that of the run
        return None, str(error)


def cloud(level: float) -> tuple[str | None, str]:
    """The cloud of the chosen run at a value of λ as an SVG, None without a word, and its caption."""
    theme = state.current_view().theme
    return run_clouds.cloud_of(run_choice.run_folder(), run_choice.chosen_filter(), level, theme)


def _current() -> tuple:
    return run_choice.run_folder(), run_choice.chosen_filter()


__all__ = ["ask", "cloud", "measured", "why_not_measured"]
