"""Opens a token of a run in the explorer: its text as the visitor's text, with token and layer selected."""

from typing import NamedTuple

import streamlit as st

from analysis.runs.occurrences import prompt_text
from app.server import runs
from app.server.runs import RunError
from app.session import navigation, run_choice, state
from app.texts.prompts import Prompt, opening

PAGE = "Overview"
"""Where the text is opened."""


class RunPlace(NamedTuple):
    """A token in a prompt of the chosen run, in a layer or in all."""

    prompt: int
    token: int
    layer: int | None


def place_in_run(place: RunPlace) -> tuple[str, str]:
    """The text of the prompt, and the token's display string. Raises RunError if the run is gone or damaged."""
    folder = run_choice.run_folder()
    with runs.told(folder):
        text = runs.answer(folder, prompt_text, place.prompt)
        found = runs.opened(folder).ask("SELECT text FROM tokens WHERE prompt = ? AND token = ?", place[:2])["text"]
        return text, found[0]


def open_place(place: RunPlace) -> None:
    """Show the text of a prompt of the chosen run on all pages, by the run's model if it is there.

    Tells what differs: another model, another split into tokens, or a text that cannot be traced.
    """
    run_choice.forget_behind()
    session = st.session_state
    try:
        run, (text, label) = run_choice.current_run(), place_in_run(place)
    except RunError as error:
        state.tell_problem(str(error), kept=False)
        return
    name = run.meta.get("model")
    if name in state.model_names() and name != session[state.MODEL_KEY]:
        session[state.PICKED_KEY] = name
        state.choose_model()
    state.show(Prompt(opening(f"{run_choice.run_name()}, prompt {place.prompt}"), text))
    if state.current_prompt().text != text:
        return  # the problem is told
    trace = state.current_trace()
    same = place.token < trace.num_tokens and trace.tokens[place.token] == label
    if same:
        state.select(token=place.token, layer=place.layer)
    told = []
    if trace.meta.get("weights_sha256") != run.meta.get("weights_sha256"):
        told.append(f"The run is of the model {name}; here {trace.meta.get('model')} reads the text.")
    if not same:
        told.append("It splits the text otherwise, so another token is selected.")
    if told:
        state.tell_problem(" ".join(told), kept=False)
    navigation.open_next(PAGE)


__all__ = ["RunPlace", "open_place", "place_in_run"]
