"""Which token's logit is explained, and against which other one."""

import streamlit as st

from analysis.attribution import named_targets
from app import results, state
from app.markdown import literal

WORDS = {"target": "Token to follow", "against": "Against"}


def target_picker(*keys: str) -> None:
    """One field per key ("target", "against"): a token by its role, one of the likeliest, or any that is typed.

    Which token a role means stands over the field, not in it: Streamlit would take the words of the token before for
    something that the reader typed.
    """
    trace, token = state.current_trace(), st.session_state.token
    named = named_targets(trace, token)
    shown = dict(zip(trace.next_ids[token].tolist(), trace.next_tokens[token], strict=True))
    if token + 1 < trace.num_tokens:
        shown[int(trace.token_ids[token + 1])] = trace.tokens[token + 1]

    for key in keys:
        word = st.session_state.get(key, results.TARGETS[key])
        means = f": {literal(shown[named[word]])}" if word in named else ""
        none = [results.NOTHING] if key == "against" else []
        words = [*named, *none, *trace.next_tokens[token]]
        words += [st.session_state[key]] if key in st.session_state else []  # what the reader typed stays on offer
        st.selectbox(
            f"{WORDS[key]}{means}",
            list(dict.fromkeys(words)),
            index=words.index(results.TARGETS[key]),
            key=key,
            accept_new_options=True,
            persist_state="session",
            width=280,
        )
        if problem := results.target_problem(key):
            st.error(problem)
