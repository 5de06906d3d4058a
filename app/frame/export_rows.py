"""What the rows of the export dialog share: their look, and files that are made after a click and then stored."""

from collections.abc import Callable

import streamlit as st

from analysis.export.pictures import PictureError
from app.session import exports


def row(title: str, align: str = "center"):
    """A row of the dialog, with a bold title before its widgets."""
    drawn = st.container(horizontal=True, vertical_alignment=align)
    drawn.markdown(f"**{title}**", width=90)
    return drawn


def made_file(wanted: bool, key: tuple, make: Callable[[], bytes]) -> bytes | None:
    """The file stored for `key`, made first if it is `wanted`; None if there is none or it could not be made."""
    if wanted:
        try:
            exports.store(key, make())
        except PictureError as error:
            st.text(str(error))
            return None
    return exports.stored(key)
