"""Cards of runs and what is asked of whole runs beside them, kept for all visitors. No Streamlit."""

from contextlib import nullcontext
from pathlib import Path

import pandas as pd

from analysis.runs.cards import Card, card
from analysis.runs.choices import Choice
from analysis.runs.contexts import contexts
from analysis.runs.domains import domain_columns, domain_difference
from analysis.runs.filters import TokenFilter
from analysis.runs.manifest import MANIFEST, Manifest
from analysis.runs.saturation import saturation
from analysis.runs.specialisation import specialisation
from app.limits import MOST_CARDS
from app.server.result_cache import ResultCache
from app.server.runs import folders, opened, told


def _card(folder: Path, _: int, chosen: TokenFilter, choice: Choice) -> Card:
    return card(opened(folder), choice, chosen)


def _contexts(folder: Path, _: int, chosen: TokenFilter, choice: Choice, token_ids: tuple[int, ...]) -> pd.DataFrame:
    return contexts(opened(folder), choice, chosen, token_ids=token_ids)


def _columns(folder: Path, _: int) -> dict[str, list[str]]:
    return domain_columns(opened(folder))


def _difference(folder: Path, _: int, chosen: TokenFilter, column: str, first: str, second: str) -> pd.DataFrame:
    return domain_difference(opened(folder), column, first, second, chosen)


def _specialisation(folder: Path, _: int, chosen: TokenFilter, column: str | None) -> pd.DataFrame:
    return specialisation(opened(folder), chosen, column=column)


def _saturation(*given: tuple[str, Path, int]) -> pd.DataFrame:
    return saturation([opened(folder) for _, folder, _ in given], [name for name, _, _ in given])


_caches = {
    function: ResultCache(function, entries=MOST_CARDS, turn=nullcontext)
    for function in (_card, _contexts, _columns, _difference, _specialisation, _saturation)
}


def card_of(folder: Path, chosen: TokenFilter, choice: Choice) -> Card:
    """The card of a choice. Do not change it. This and what follows raise RunError if the run is gone or damaged."""
    return _asked(_card, folder, chosen, choice)


def contexts_of(folder: Path, chosen: TokenFilter, choice: Choice, token_ids: tuple[int, ...] = ()) -> pd.DataFrame:
    """Occurrences of a choice in the text around them."""
    return _asked(_contexts, folder, chosen, choice, token_ids)


def columns_of(folder: Path) -> dict[str, list[str]]:
    """The columns that tell domains apart, and their values."""
    return _asked(_columns, folder)


def difference_of(folder: Path, chosen: TokenFilter, column: str, first: str, second: str) -> pd.DataFrame:
    """Domain against domain."""
    return _asked(_difference, folder, chosen, column, first, second)


def specialisation_of(folder: Path, chosen: TokenFilter, column: str | None) -> pd.DataFrame:
    """What the layers follow."""
    return _asked(_specialisation, folder, chosen, column)


def saturation_of(last: Path) -> pd.DataFrame | None:
    """How early the other runs that the server offers agree with this one, in the order in which they were given; None
    if none of them is of the same texts by a model of the same sizes."""
    with told(last):
        of = Manifest.read(last)
        given = [
            (name, folder, _stamp(folder))
            for name, folder in folders().items()
            if folder != last and _of_the_same_texts(folder, of)
        ]
        return _caches[_saturation](*given, (last.name, last, _stamp(last))) if given else None


def _of_the_same_texts(folder: Path, of: Manifest) -> bool:
    try:
        other = Manifest.read(folder)
    except ValueError:
        return False  # another run that is gone says nothing about this one
    return (other.sources, other.sizes, other.counts, other.tokenizer) == (
        of.sources,
        of.sizes,
        of.counts,
        of.tokenizer,
    )


def _asked(function, folder: Path, *given):
    with told(folder):
        return _caches[function](folder, _stamp(folder), *given)


def _stamp(folder: Path) -> int:
    """A number that changes when the run grows."""
    return (folder / MANIFEST).stat().st_mtime_ns


__all__ = ["card_of", "columns_of", "contexts_of", "difference_of", "saturation_of", "specialisation_of"]
