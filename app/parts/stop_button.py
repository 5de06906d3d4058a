"""The button that stops long work: the only one, where the progress is."""

from typing import Any

import streamlit as st

_INSTEAD = "<style>[data-testid=stStatusWidget] { display: none }</style><span></span>"


def stop_button(key: str, **how: Any) -> bool:
    """A button "Stop"; `how` are the other arguments of `st.button`.

    While it is there, Streamlit's own, which would stop a single run and not the work, is hidden.
    """
    with st.container(key="only-stop"):  # frame.css takes it out of the layout
        st.html(_INSTEAD)
    return st.button("Stop", key=key, **how)


__all__ = ["stop_button"]
