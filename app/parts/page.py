"""`Page`, the description of one page in `app.pages`, and `draw_page`, which draws it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from analysis.words.strip import Quantity
from app.parts.panel import panel
from app.texts.glossary import explained

Part = str | Callable[[], None]
"""The name of a figure of the catalogue, or a function that draws something else."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of the explorer."""

    name: str
    group: str
    """Heading in the navigation."""
    question: str
    """The question that the page answers."""
    terms: tuple[str, ...]
    """Glossary terms that the tooltip of the question explains."""
    body: tuple[Part | tuple[Part, ...], ...]
    """The parts from top to bottom; the parts of a tuple stand side by side."""
    more_figures: tuple[str, ...] = ()
    """Further figures of the catalogue, which functions in `body` draw."""
    colour_by: Quantity = "Gate"
    """What the token strip is coloured by until the visitor chooses."""
    about: Literal["text", "study", "list"] = "text"
    """Where its numbers come from: the current text, the texts of a study, or the visitor's list of prompts."""

    @property
    def url_path(self) -> str:
        """Its path in the address."""
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
