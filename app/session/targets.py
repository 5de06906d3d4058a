"""The tokens whose logits are explained: the one to follow, and the one that is subtracted from it."""

import streamlit as st

from analysis.explain.attribution import FOLLOWING, LIKELIEST, SECOND, named_targets
from app.server import models
from app.session import state
from hooks.token_text import token_bytes

NOTHING = "nothing"
TARGETS = {"target": LIKELIEST, "against": SECOND}
"""Key in the session -> name of the target that is explained until the visitor chooses another."""


def chosen_targets() -> tuple[int, int | None]:
    """Ids of the token whose logit is explained, and of the token that is subtracted from it (None: none).

    A typed text that is not one token of this model counts as not chosen; `target_problem` says so.
    """
    target, against = (
        _token_id(default if target_problem(key) else target_word(key)) for key, default in TARGETS.items()
    )
    return target, None if against == target else against


def target_word(key: str) -> str:
    """Name or text of the token that the visitor chose for a key of `TARGETS`."""
    return st.session_state.get(key, TARGETS[key])


def show_leading_space(key: str) -> None:
    """Show the space before a typed word as ␣, as all tokens do."""
    word = st.session_state[key]
    if word and word.startswith(" "):
        st.session_state[key] = f"␣{word[1:]}"


def target_problem(key: str) -> str | None:
    """Why a chosen target cannot be used, in one sentence; None if it can."""
    try:
        _token_id(target_word(key))
    except ValueError as error:
        return str(error)
    return None


def against_itself() -> bool:
    """Whether both chosen targets are the same token, so that nothing is subtracted."""
    return target_word("against") != NOTHING and chosen_targets()[1] is None


def _token_id(word: str) -> int | None:
    """Id of a target by its name (`named_targets`) or its text; None for NOTHING. ValueError if it is not one token."""
    trace, token = state.current_trace(), st.session_state.token
    named = named_targets(trace, token)
    if word == NOTHING:
        return None
    if word in named or word in (SECOND, FOLLOWING):  # nothing follows, or one token is all there is: the likeliest
        return named.get(word, next(iter(named.values())))
    shown = dict(zip(trace.next_tokens[token], trace.next_ids[token].tolist(), strict=True))
    if word in shown:
        return shown[word]
    text = token_bytes(word).decode("utf-8", "replace")
    ids = models.loaded_model(st.session_state[state.MODEL_KEY]).tokenizer(text, add_special_tokens=False)["input_ids"]
    if len(ids) != 1:
        raise ValueError(
            f"“{word}” is {len(ids)} tokens in this model. Enter a text that is one token; a word usually begins "
            "with ␣."
        )
    return ids[0]
