"""The button that stops long work, where its progress is: Streamlit's own is hidden beside it."""

from typing import Any

import streamlit as st

_INSTEAD = "<style>[data-testid=stStatusWidget] { display: none }</style><span></span>"


def stop_button(key: str, **how: Any) -> bool:
    """A button "Stop"; `how` are the other arguments of `st.button`.

    While it is there, Streamlit's own, which would stop a single run and not the work, is hidden.
    """
    with st.container(key=f"instead-of-stop-{key}"):  # frame.css takes it out of the layout
        st.html(_INSTEAD)
    return st.button("Stop", key=key, **how)


__all__ = ["stop_button"]
