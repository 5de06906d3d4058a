"""What the rows of the export dialog share: their look, and files that are made after a click and then stored."""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

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


@dataclass(frozen=True)
class MadeFile:
    """A file that is made after a click, because this takes seconds."""

    make: str
    """Label of the button that makes it."""
    download: Callable[[bytes], str]
    """Label of the button that downloads it."""
    name: str
    mime: str


def make_button(file: MadeFile, *, why_not: str | None = None, help: str | None = None) -> tuple[bool, DeltaGenerator]:
    """A button that makes a file: whether it was pressed, and its place, which `made_button` takes."""
    place = st.empty()
    return place.button(file.make, disabled=why_not is not None, help=why_not or help), place


def made_button(file: MadeFile, wanted: bool, place: DeltaGenerator, key: tuple, make: Callable[[], bytes]) -> bool:
    """Make the file if it is `wanted`; once it is there, its download stands in place of the button that made it."""
    if (made := made_file(wanted, key, make)) is None:
        return False
    place.download_button(file.download(made), made, file.name, file.mime, on_click="ignore")
    return True
