"""Page: what a page asks, shows and explains, in one row; and how such a row is drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from analysis.words.strip import Quantity
from app.parts.panel import panel
from app.texts.glossary import explained

Part = str | Callable[[], None]
"""A figure of the catalogue, by its name, or a function that draws something else."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of the explorer. `app.pages` lists them all."""

    name: str
    group: str
    """Heading of the navigation under which it stands."""
    question: str
    """The one question that it answers."""
    terms: tuple[str, ...]
    """Terms of the glossary that it needs first."""
    body: tuple[Part | tuple[Part, ...], ...]
    """What it shows, from top to bottom; the parts of a tuple stand side by side."""
    more_figures: tuple[str, ...] = ()
    """Figures of the catalogue that functions of `body` draw."""
    colour_by: Quantity = "Gate"
    """How it colours the token strip until the reader chooses."""
    about: Literal["text", "study", "list"] = "text"
    """Where its numbers come from: the text above, the texts of a study, or the reader's list of prompts."""

    @property
    def url_path(self) -> str:
        """Where it stands in the address."""
        return self.name.lower().replace(" ", "_")

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of all its figures, the main one first."""
        parts = [part for row in self.body for part in (row if isinstance(row, tuple) else (row,))]
        return *(part for part in parts if isinstance(part, str)), *self.more_figures


def draw_page(page: Page) -> None:
    """Draw a page below the frame."""
    st.header(page.name, anchor=False)
    st.markdown(page.question, help=explained(*page.terms))
    for row in page.body:
        if not isinstance(row, tuple):
            _draw_part(page, row)
            continue
        for column, part in zip(st.columns(len(row)), row, strict=True):
            with column:
                _draw_part(page, part, share=1 / len(row))


def _draw_part(page: Page, part: Part, share: float = 1.0) -> None:
    if isinstance(part, str):
        panel(part, main=part == page.figures[0], share=share)
    else:
        part()
