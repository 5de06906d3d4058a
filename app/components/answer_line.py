"""The answer on top of a page: a sentence in which tokens, layers and experts are links that select them."""

from collections.abc import Callable, Mapping
from pathlib import Path

import streamlit as st

from analysis.answers import Answer, Link
from app.components import script
from app.session.widgets import component_event

KEY, ROWS_KEY = "answer_line", "answer_rows"
SPARE = 72
"""Letters of room that are kept for another selection, whose names are longer."""
_component = st.components.v2.component(
    "answer_line",
    html="<section></section>",
    css=(Path(__file__).parent / "answer_line.css").read_text(encoding="utf-8"),
    js=script("sending.js", "answer_line.js"),
)
Follow = Callable[[int | None, int | None, int | None, str | None], None]


def answer_line(found: Answer, *, page: str, changes: bool, on_follow: Follow) -> None:
    """Draw the answer of `page`; a click on a link calls `on_follow(layer, token, expert, page)` before the rerun.

    What the link does not name is None; an expert is one of the layer. `changes` says that another selection has
    another answer, for which room is kept.
    """
    _draw(KEY, {"": found}, page, changes, on_follow)


def answer_rows(rows: Mapping[str, Answer], *, page: str, on_follow: Follow) -> None:
    """Draw answers below each other, each behind its short heading, with room for those of another selection."""
    _draw(ROWS_KEY, rows, page, True, on_follow)


def _draw(key: str, rows: Mapping[str, Answer], page: str, changes: bool, on_follow: Follow) -> None:
    def followed() -> None:
        if link := component_event(key, "follow"):
            on_follow(link["layer"], link["token"], link["expert"], link["page"])

    drawn = [[heading, [_part(*part) for part in found.parts()]] for heading, found in rows.items()]
    data = {"page": page, "rows": drawn, "spare": SPARE if changes else 0}
    _component(key=key, data=data, on_follow_change=followed)


def _part(text: str, link: Link | None) -> list:
    """A part of an answer as the browser side takes it: text, what its link names, and what a click on it does."""
    if link is None:
        return [text, None, None]
    named = {"layer": link.layer, "token": link.token, "expert": link.expert, "page": link.page}
    return [text, named, _hint(link)]


def _hint(link: Link) -> str:
    """What a click on the link does."""
    if link.page is not None:
        return f"Open the page {link.page}"
    if link.expert is not None:
        return f"Select layer {link.layer} and underline the tokens that chose expert {link.expert} there"
    named = [f"token {link.token}"] if link.token is not None else []
    named += [f"layer {link.layer}"] if link.layer is not None else []
    return f"Select {' in '.join(named)}"
