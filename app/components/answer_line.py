"""The answer on top of a page: a sentence in which tokens, layers and experts are links that select them."""

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from analysis.answers import Answer, Link
from app.components import script
from app.session.widgets import component_event

KEY = "answer_line"
_component = st.components.v2.component(
    "answer_line",
    html="<p></p>",
    css=(Path(__file__).parent / "answer_line.css").read_text(encoding="utf-8"),
    js=script("sending.js", "answer_line.js"),
)


def answer_line(found: Answer, *, page: str, on_follow: Callable[[int | None, int | None, int | None], None]) -> None:
    """Draw the answer of `page`; a click on a link calls `on_follow(layer, token, expert)` before the rerun.

    What the link does not name is None; an expert is one of the layer.
    """

    def followed() -> None:
        if link := component_event(KEY, "follow"):
            on_follow(link["layer"], link["token"], link["expert"])

    parts = [
        [text, link and {"layer": link.layer, "token": link.token, "expert": link.expert}, link and _hint(link)]
        for text, link in found.parts()
    ]
    _component(key=KEY, data={"page": page, "parts": parts}, on_follow_change=followed)


def _hint(link: Link) -> str:
    """What a click on the link does."""
    if link.expert is not None:
        return f"Select layer {link.layer} and underline the tokens that chose expert {link.expert} there"
    named = [f"token {link.token}"] if link.token is not None else []
    named += [f"layer {link.layer}"] if link.layer is not None else []
    return f"Select {' in '.join(named)}"
