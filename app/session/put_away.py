"""What the visitor has put away for good: kept in the session, and in a cookie that their later sessions read."""

import streamlit as st

COOKIE = "versatileffn_put_away"
KNOWN = frozenset({"schematic", "tour"})
"""What can be put away: the schematic on the Overview, and the words that announce the tour."""
_PUT_AWAY = "put_away"


def is_put_away(what: str) -> bool:
    """Whether the visitor has put this away, now or in an earlier session."""
    return what in _put_away()


def put_away(what: str) -> None:
    """Put something away, now and in later sessions of this browser."""
    assert what in KNOWN
    st.session_state[_PUT_AWAY] = _put_away() | {what}


def cookie_to_set() -> str | None:
    """The value that the browser must still be told to keep; None if it has it."""
    put = _put_away()
    return ".".join(sorted(put)) if put != _in_cookie() else None


def _put_away() -> frozenset[str]:
    return st.session_state.get(_PUT_AWAY, _in_cookie())


def _in_cookie() -> frozenset[str]:
    """What the cookie says that came with the session's first request; of an unknown value nothing."""
    return frozenset(st.context.cookies.get(COOKIE, "").split(".")) & KNOWN
