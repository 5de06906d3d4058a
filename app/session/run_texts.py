"""Opens a token of a run in the explorer: its text as the visitor's text, with token and layer selected."""

import streamlit as st

from analysis.runs.occurrences import prompt_text
from app.server import runs
from app.server.runs import RunError
from app.session import navigation, run_choice, state
from app.texts.prompts import Prompt, opening

PAGE = "Overview"
"""Where the text is opened."""


def open_place(prompt: int, token: int, layer: int | None) -> None:
    """Show the text of a prompt of the chosen run on all pages, by the run's model if it is there.

    Tells what differs: another model, another split into tokens, or a text that cannot be traced.
    """
    run_choice.forget_behind()
    folder, session = run_choice.run_folder(), st.session_state
    try:
        run = run_choice.current_run()
        text = runs.answer(folder, prompt_text, prompt)
        found = run.ask("SELECT text FROM tokens WHERE prompt = ? AND token = ?", [prompt, token])["text"]
    except RunError as error:
        state.tell_problem(str(error), kept=False)
        return
    name = run.meta.get("model")
    if name in state.model_names() and name != session[state.MODEL_KEY]:
        session[state.PICKED_KEY] = name
        state.choose_model()
    state.show(Prompt(opening(f"{run_choice.run_name()}, prompt {prompt}"), text))
    if state.current_prompt().text != text:
        return  # the problem is told
    trace = state.current_trace()
    same = token < trace.num_tokens and trace.tokens[token] == found[0]
    if same:
        state.select(token=token, layer=layer)
    told = []
    if trace.meta.get("weights_sha256") != run.meta.get("weights_sha256"):
        told.append(f"The run is of the model {name}; here {trace.meta.get('model')} reads the text.")
    if not same:
        told.append("It splits the text otherwise, so another token is selected.")
    if told:
        state.tell_problem(" ".join(told), kept=False)
    navigation.open_next(PAGE)


__all__ = ["open_place"]
