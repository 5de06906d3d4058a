"""Which token's logit is explained, and against which other one."""

import streamlit as st

from analysis.explain.attribution import named_targets
from app.session import results, state
from app.texts.markdown import literal

WORDS = {"target": "Token to follow", "against": "Against"}


def target_picker(*keys: str) -> None:
    """One field per key ("target", "against"): a token by its role, one of the likeliest, or any that is typed.

    Which token a role means stands over the field, not in it: Streamlit would take the words of the token before for
    something that the reader typed.
    """
    trace, token = state.current_trace(), state.current_view().token
    named = named_targets(trace, token)
    for key in keys:
        word = results.target_word(key)
        none = [results.NOTHING] if key == "against" else []
        words = [*named, *none, *trace.next_tokens[token], word]  # what the reader typed stays on offer
        st.selectbox(
            f"{WORDS[key]}: {literal(_meant(word))}" if word in named else WORDS[key],
            list(dict.fromkeys(words)),
            index=words.index(results.TARGETS[key]),
            key=key,
            on_change=results.spell_blank,
            args=(key,),
            accept_new_options=True,
            persist_state="session",
            width=280,
        )


def target_problems(*keys: str) -> None:
    """What of these fields cannot be taken, a sentence each, with what stands for it."""
    problems = {key: problem for key in keys if (problem := results.target_problem(key))}
    for key, problem in problems.items():
        name = results.TARGETS[key]
        st.error(literal(f"{problem} The {name}, {_meant(name)}, stands for it."))
    if "against" in keys and not problems and results.against_itself():
        st.warning("Both fields mean the same token. Against itself it would be zero: its own logit is shown.")


def _meant(name: str) -> str:
    """The token that a name of `named_targets` means at the selected token, as it is shown."""
    trace, token = state.current_trace(), state.current_view().token
    shown = dict(zip(trace.next_ids[token].tolist(), trace.next_tokens[token], strict=True))
    if token + 1 < trace.num_tokens:
        shown[int(trace.token_ids[token + 1])] = trace.tokens[token + 1]
    return shown[named_targets(trace, token)[name]]
