"""The choice of the token whose logit is explained, and of the token whose logit is subtracted."""

import streamlit as st

from analysis.explain.attribution import named_targets
from app.session import state, targets
from app.texts.markdown import literal

WORDS = {"target": "Token to follow", "against": "Against"}


def target_picker(*keys: str) -> None:
    """One field per key ("target", "against"): a token by its role, one of the likeliest, or any typed one.

    The label says which token a role means. In the options themselves it would change with the selected token, and
    Streamlit would take the old option for a typed text.
    """
    trace, token = state.current_trace(), state.current_view().token
    named = named_targets(trace, token)
    for key in keys:
        word = targets.target_word(key)
        none = [targets.NOTHING] if key == "against" else []
        words = [*named, *none, *trace.next_tokens[token], word]  # a typed text stays an option
        st.selectbox(
            f"{WORDS[key]}: “{literal(_meant(word))}”" if word in named else WORDS[key],
            list(dict.fromkeys(words)),
            index=words.index(targets.TARGETS[key]),
            key=key,
            on_change=targets.show_leading_space,
            args=(key,),
            accept_new_options=True,
            persist_state="session",
            width=280,
        )


def target_problems(*keys: str) -> None:
    """One error for each field whose text cannot be used, naming the token that is used instead."""
    problems = {key: problem for key in keys if (problem := targets.target_problem(key))}
    for key, problem in problems.items():
        name = targets.TARGETS[key]
        st.error(literal(f"{problem} The {name}, {_meant(name)}, is used instead."))
    if "against" in keys and not problems and targets.against_itself():
        st.warning("Both fields name the same token, and the difference would be zero. Its own logit is shown instead.")


def _meant(name: str) -> str:
    """The token that a name of `named_targets` means at the selected token, as it is shown."""
    trace, token = state.current_trace(), state.current_view().token
    shown = dict(zip(trace.next_ids[token].tolist(), trace.next_tokens[token], strict=True))
    if token + 1 < trace.num_tokens:
        shown[int(trace.token_ids[token + 1])] = trace.tokens[token + 1]
    return shown[named_targets(trace, token)[name]]
