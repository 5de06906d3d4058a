"""Buttons that save a figure of the page as SVG or PNG, drawn in the browser."""

from pathlib import Path

import streamlit as st

_component = st.components.v2.component(
    "picture_buttons",
    html='<button data-format="svg">SVG</button><button data-format="png">PNG</button>',
    css=(Path(__file__).parent / "button.css").read_text(encoding="utf-8"),
    js=(Path(__file__).parent / "picture_buttons.js").read_text(encoding="utf-8"),
)


def picture_buttons(figure_key: str) -> None:
    """An SVG and a PNG button for the chart in the container with the key `figure_key`."""
    _component(key="picture_buttons", data={"figure": figure_key}, width="content")
