"""`Page`, the description of one page in `app.pages`, and `draw_page`, which draws it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import streamlit as st

from analysis.answers import ABOUT_SELECTION
from analysis.catalogue import FigureSpec, spec
from analysis.figures.texts.prompts import PICTURE
from analysis.parts import PAGES, parts_of, why_lacking
from analysis.words.strip import Quantity
from app.components.answer_line import answer_line
from app.parts.panel import panel
from app.session.answers import current_answer, follow
from app.session.folds import fold_key, remember_fold, restore_fold
from app.session.state import current_trace
from app.texts.glossary import explained
from app.texts.markdown import literal
from hooks.trace_checks import PARTS

Part = str | Callable[[], None]
"""The name of a figure of the catalogue, or a function that draws something else (`needing` says of which models)."""
Row = Part | tuple[Part, ...]
"""A part, or parts that stand side by side."""


@dataclass(frozen=True)
class Fold:
    """Rows under a question, which are computed and drawn only once the reader opens it."""

    question: str
    rows: tuple[Row, ...]
    question_of_others: str = ""
    """The question for models of other families, if the words of the first are those of a VersatileFFN."""

    @property
    def key(self) -> str:
        """Key of its widget, and of its place among the open folds of a session."""
        return fold_key(self.question)


@dataclass(frozen=True)
class Needing:
    """A function of a page that draws only for models that decide certain things."""

    parts: tuple[str, ...]
    draw: Callable[[], None]
    lacking: bool = False
    """Whether it draws for the others instead."""

    def __call__(self) -> None:
        self.draw()


def needing(parts: tuple[str, ...], draw: Callable[[], None]) -> Needing:
    """A function that draws only for models that decide these parts."""
    return Needing(parts, draw)


def lacking(parts: tuple[str, ...], draw: Callable[[], None]) -> Needing:
    """A function that draws only for models that do not decide all of these parts."""
    return Needing(parts, draw, lacking=True)


def fold(question: str, *rows: Row, of_others: str = "") -> Fold:
    """Rows that are folded away under a question, or under another one for models of other families."""
    return Fold(question, rows, of_others)


@dataclass(frozen=True)
class Lead:
    """A question about the selected token that follows a page's answer, and the page that has its answer."""

    question: str
    page: str
    """The name of the other page."""
    needs: tuple[str, ...] = ()
    """What a model must decide for the question, beside what it must for the page."""

    def is_asked(self, meta: Mapping[str, Any]) -> bool:
        """Whether a model has an answer."""
        return why_lacking((*PAGES.get(_path_of(self.page), ()), *self.needs), meta) is None


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of the explorer."""

    name: str
    group: str
    """Heading in the navigation."""
    question: str
    """The question that the page answers."""
    question_of_others: str = ""
    """The question for models of other families, if the words of the first are those of a VersatileFFN."""
    terms: tuple[str, ...]
    """Glossary terms that the tooltip of the question explains."""
    body: tuple[Row | Fold, ...]
    """What stands below the answer, from top to bottom: first what leads to the main figure, then folds."""
    more_figures: tuple[str, ...] = ()
    """Further figures of the catalogue, which functions in `body` draw."""
    figures_of_others: tuple[str, ...] = ()
    """Figures of other pages, which functions in `body` draw for models of other families."""
    run_figures: tuple[FigureSpec, ...] = ()
    """Figures about a run, which functions in `body` draw; they are not of the catalogue."""
    leads_to: tuple[Lead, ...] = ()
    """What follows the answer."""
    colour_by: Quantity = "Gate"
    """What the token strip is coloured by until the visitor chooses."""
    about: Literal["text", "study", "list", "run"] = "text"
    """Where its numbers come from: the current text, the texts of a study, the visitor's list of prompts, or the chosen
    run."""

    @property
    def url_path(self) -> str:
        """Its path in the address."""
        return _path_of(self.name)

    @property
    def needs(self) -> tuple[str, ...]:
        """What its model must decide; for another, one sentence stands in place of the page's content."""
        return PAGES.get(self.url_path, ())

    def why_lacking(self, meta: Mapping[str, Any]) -> str | None:
        """Why a model has nothing of this page, in a sentence; None if it has something.

        A page without other content for other families is also not there if it has none of its figures.
        """
        reasons = [spec(name).why_lacking(meta) for name in self.figures]
        bare = not any(isinstance(part, Needing) for part in self._parts())
        return why_lacking(self.needs, meta) or (reasons[0] if bare and reasons and all(reasons) else None)

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of all its figures, the main one first."""
        return *(part for part in self._parts() if isinstance(part, str)), *self.more_figures

    def exported(self, meta: Mapping[str, Any]) -> tuple[FigureSpec, ...]:
        """The figures that Export offers, if they are drawn: all of the page, the picture of the list, or a run's."""
        if self.run_figures or self.about == "list":
            return self.run_figures or (PICTURE,)
        others = self.figures_of_others if parts_of(meta) != PARTS else ()
        return tuple(map(spec, (*self.figures, *others)))

    @property
    def folds(self) -> tuple[Fold, ...]:
        """Its folds."""
        return tuple(row for row in self.body if isinstance(row, Fold))

    def _parts(self) -> Iterator[Part]:
        for row in self.body:
            for inner in row.rows if isinstance(row, Fold) else (row,):
                yield from inner if isinstance(inner, tuple) else (inner,)


def _path_of(name: str) -> str:
    return name.lower().replace(" ", "_").replace("-", "_")


def draw_page(page: Page) -> None:
    """Draw a page below the frame: its question, the answer, and its body."""
    st.header(page.name, anchor=False)
    meta = current_trace().meta
    other = page.question_of_others if parts_of(meta) != PARTS else ""
    of_model = PARTS if page.about == "run" else parts_of(meta)  # a run is of a model of its own
    st.markdown(other or page.question, help=explained(*page.terms, parts=of_model) or None)
    if why_not := page.why_lacking(meta):
        st.info(literal(why_not), icon=":material/info:")
        return
    _draw_answer(page, meta)
    for row in page.body:
        if (there := _there(row, meta)) is None:
            continue
        if isinstance(there, Fold):
            _draw_fold(page, there)
        else:
            _draw_row(page, there)
    if absent := [spec(name) for name in page.figures if spec(name).why_lacking(meta)]:
        names = ", ".join(f"“{each.title_of(meta)}”" for each in absent)
        st.caption(
            literal(f"Not shown, because this model is a {meta.get('family', 'model of another kind')}: {names}.")
        )


def _draw_answer(page: Page, meta: Mapping[str, Any]) -> None:
    """The answer of a page, if what it would speak of is there."""
    if found := current_answer(page.url_path):
        for lead in page.leads_to:
            if lead.is_asked(meta):
                found = found.and_page(lead.question, lead.page)
        answer_line(found, page=page.name, changes=page.url_path in ABOUT_SELECTION, on_follow=follow)


def _there(row: Row | Fold, meta: Mapping[str, Any]) -> Row | Fold | None:
    """What of a row a model has; None if it has nothing of it."""
    if isinstance(row, Fold):
        rows = tuple(each for each in (_there(inner, meta) for inner in row.rows) if each is not None)
        return replace(row, rows=rows) if rows else None
    if isinstance(row, tuple):
        there = tuple(part for part in row if _there(part, meta) is not None)
        return there or None
    if isinstance(row, str):
        return None if spec(row).why_lacking(meta) else row
    if isinstance(row, Needing):
        return row if (why_lacking(row.parts, meta) is not None) == row.lacking else None
    return row


def _draw_fold(page: Page, folded: Fold) -> None:
    """A question that opens what is folded under it. Opening it reruns the page, as a click on a token does."""
    restore_fold(folded.key)
    others = folded.question_of_others if parts_of(current_trace().meta) != PARTS else ""
    opener = st.expander(others or folded.question, key=folded.key, on_change="rerun")
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
