"""`Page`, the description of one page in `app.pages`, and `draw_page`, which draws it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from analysis.answers import ABOUT_SELECTION
from analysis.catalogue import FigureSpec, spec
from analysis.figures.texts.prompts import PICTURE
from analysis.words.strip import Quantity
from app.components.answer_line import answer_line
from app.parts.panel import panel
from app.session.answers import current_answer, follow
from app.session.folds import remember_fold, restore_fold
from app.texts.glossary import explained

Part = str | Callable[[], None]
"""The name of a figure of the catalogue, or a function that draws something else."""
Row = Part | tuple[Part, ...]
"""A part, or parts that stand side by side."""


@dataclass(frozen=True)
class Fold:
    """Rows under a question, which are computed and drawn only once the reader opens it."""

    question: str
    rows: tuple[Row, ...]

    @property
    def key(self) -> str:
        """Key of its widget, and of its place among the open folds of a session."""
        return "fold-" + "-".join(re.findall(r"\w+", self.question.lower()))


def fold(question: str, *rows: Row) -> Fold:
    """Rows that are folded away under a question."""
    return Fold(question, rows)


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
    body: tuple[Row | Fold, ...]
    """What stands below the answer, from top to bottom: first what leads to the main figure, then folds."""
    more_figures: tuple[str, ...] = ()
    """Further figures of the catalogue, which functions in `body` draw."""
    leads_to: str = ""
    """A question about the selected token behind the answer, which opens the page Recursion: it has the answer."""
    colour_by: Quantity = "Gate"
    """What the token strip is coloured by until the visitor chooses."""
    about: Literal["text", "study", "list"] = "text"
    """Where its numbers come from: the current text, the texts of a study, or the visitor's list of prompts."""

    @property
    def url_path(self) -> str:
        """Its path in the address."""
        return self.name.lower().replace(" ", "_").replace("-", "_")

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of all its figures, the main one first."""
        return *(part for part in self._parts() if isinstance(part, str)), *self.more_figures

    @property
    def exported(self) -> tuple[FigureSpec, ...]:
        """The figures that Export offers: all of the page, or the picture of the list."""
        return (PICTURE,) if self.about == "list" else tuple(map(spec, self.figures))

    @property
    def folds(self) -> tuple[Fold, ...]:
        """Its folds."""
        return tuple(row for row in self.body if isinstance(row, Fold))

    def _parts(self) -> Iterator[Part]:
        for row in self.body:
            for inner in row.rows if isinstance(row, Fold) else (row,):
                yield from inner if isinstance(inner, tuple) else (inner,)


def draw_page(page: Page) -> None:
    """Draw a page below the frame: its question, the answer, and its body."""
    st.header(page.name, anchor=False)
    st.markdown(page.question, help=explained(*page.terms))
    if found := current_answer(page.url_path):
        found = found.and_page(page.leads_to, "Recursion") if page.leads_to else found
        answer_line(found, page=page.name, changes=page.url_path in ABOUT_SELECTION, on_follow=follow)
    for row in page.body:
        if isinstance(row, Fold):
            _draw_fold(page, row)
        else:
            _draw_row(page, row)


def _draw_fold(page: Page, folded: Fold) -> None:
    """A question that opens what is folded under it. Opening it reruns the page, as a click on a token does."""
    restore_fold(folded.key)
    opener = st.expander(folded.question, key=folded.key, on_change="rerun")
    remember_fold(folded.key, opener.open)
    if opener.open:
        with opener:
            for row in folded.rows:
                _draw_row(page, row)


def _draw_row(page: Page, row: Row) -> None:
    if not isinstance(row, tuple):
        _draw_part(page, row)
        return
    for column, part in zip(st.columns(len(row)), row, strict=True):
        with column:
            _draw_part(page, part, share=1 / len(row))


def _draw_part(page: Page, part: Part, share: float = 1.0) -> None:
    if isinstance(part, str):
        panel(part, main=part == page.figures[0], share=share)
    else:
        part()
