"""What a visitor sees where the model cannot be run: one sentence, beside a sidebar in which to choose another."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from app.server.models import ModelError
from app.session import state


@contextmanager
def told_to_choose(choice: Callable[[], None] | None = None) -> Iterator[None]:
    """End the run with one sentence if a model cannot be loaded in the body; `choice` draws the sidebar, unless it is
    there already. Whatever else goes wrong is Streamlit's to tell, but not without the sidebar."""
    try:
        yield
    except ModelError as error:
        state.begin_without_trace()
        if choice:
            choice()
        st.error(str(error))
        st.stop()
    except Exception:
        if choice and state.begun():
            choice()
        raise


__all__ = ["told_to_choose"]
