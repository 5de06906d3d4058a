"""The token strip of every page: the text as coloured tokens, the read-out of the selected token, and the legend."""

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from analysis.view import Level
from analysis.words.strip import Strip
from app.components import script
from app.session.widgets import component_event

KEY = "token_strip"
_HTML = """
<div class="wrap">
  <div class="strip" role="listbox" 
    aria-label="Tokens of the text: left and right select a token, up and down a layer, n the next match of a search">
  </div>
  <div class="foot"><div class="matches" hidden></div><div class="readout"></div>
    <button class="step level" title="Show words instead of tokens">words</button>
    <div class="legend" aria-hidden="true"></div></div>
  <div class="tip" role="tooltip" hidden></div>
  <div class="live" aria-live="polite"></div>
</div>
"""
_component = st.components.v2.component(
    "token_strip",
    html=_HTML,
    css=(Path(__file__).parent / "token_strip.css").read_text(encoding="utf-8"),
    js=script("sending.js", "token_strip.js"),
)


def token_strip(
    strip: Strip,
    *,
    page: str,
    token: int,
    layer: int,
    layers: int,
    found: list[int],
    query: str,
    level: Level,
    on_select: Callable[[int, int], None],
    on_clear: Callable[[], None],
    on_level: Callable[[Level], None] | None,
    key: str = KEY,
) -> None:
    """Draw the strip of `page` with `token` and `layer` selected; `on_select(token, layer)` is called before the rerun.

    `query` is the token search in words (empty without one) and `found` its matches, ascending: they are underlined
    and counted, and the keys n and N step through them. `on_clear` ends the search.
    `level` says whether cells are tokens or words, and `on_level` changes it; with None it cannot be changed. The
    selection is always a token. A page may have more strips beside that of the frame, each with a `key` of its own.
    """

    def selected() -> None:
        if chosen := component_event(key, "select"):
            on_select(chosen["token"], chosen["layer"])

    def cleared() -> None:
        if component_event(key, "clear"):
            on_clear()

    def leveled() -> None:
        if on_level and (chosen := component_event(key, "level")):
            on_level(chosen)

    selection = {
        "page": page,
        "token": token,
        "layer": layer,
        "layers": layers,
        "found": found,
        "query": query,
        "level": level,
        "levels": on_level is not None,
    }
    _component(
        key=key,
        data={**strip.to_data(), **selection},
        on_select_change=selected,
        on_clear_change=cleared,
        on_level_change=leveled,
    )
