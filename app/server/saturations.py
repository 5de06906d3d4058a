"""Runs of the same texts that the server offers, compared with one of them. No Streamlit."""

from pathlib import Path

import pandas as pd

from analysis.runs.manifest import Manifest
from analysis.runs.run import Run
from analysis.runs.saturation import saturation
from app.server.runs import answer, folders, opened, told


def saturation_of(last: Path) -> pd.DataFrame | None:
    """How early the other runs that the server offers agree with this one, in the order in which they were given; None
    if none of them is of the same texts by a model of the same sizes. Raises RunError if one is damaged."""
    with told(last):
        of = Manifest.read(last)
    given = tuple((name, each) for name, each in folders().items() if each != last and _of_the_same_texts(each, of))
    return answer(last, _saturation, given) if given else None


def _saturation(run: Run, given: tuple[tuple[str, Path], ...]) -> pd.DataFrame:
    return saturation([*(opened(folder) for _, folder in given), run], [*(name for name, _ in given), run.name])


def _of_the_same_texts(folder: Path, of: Manifest) -> bool:
    try:
        other = Manifest.read(folder)
    except (ValueError, OSError):
        return False  # a run that is gone says nothing about this one
    return (other.sources, other.sizes, other.counts, other.tokenizer) == (
        of.sources,
        of.sizes,
        of.counts,
        of.tokenizer,
    )


__all__ = ["saturation_of"]
