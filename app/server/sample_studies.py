"""Studies of several texts, cached here: those of the sample texts for every visitor, the last of visitors' lists."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import streamlit as st

from analysis.runs.manifest import Counts
from analysis.texts.study import Study
from app.limits import MAX_LIST_STUDIES

StudyKey = tuple[str, tuple[str, ...]]
"""What a study is of: the model's name, and the texts without repeats."""


class RunKey(NamedTuple):
    """What a study of a run is of."""

    folder: Path
    counts: Counts
    """How far the run had come."""
    sources: tuple[str, ...]
    others: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class TextStudy:
    """The finished study of some texts."""

    key: StudyKey | RunKey
    study: Study | None
    """None if the model can read none of the texts."""
    left_out: list[str]
    """One sentence for each reason why texts were left out."""


@st.cache_resource(show_spinner=False)
def sample_studies() -> dict[str, TextStudy]:
    """Model name -> its study of the sample texts, for the models that have read them since the server started."""
    return {}


@st.cache_resource(show_spinner=False)
def list_studies() -> dict[tuple[str, StudyKey], TextStudy]:
    """(Name of a list, key) -> study, for visitors who have had it made and whose session began anew."""
    return {}


def keep_list_study(name: str, finished: TextStudy) -> None:
    """Keep the study of a visitor's list in place of the oldest."""
    _keep(list_studies(), (name, finished.key), finished)


@st.cache_resource(show_spinner=False)
def run_studies() -> dict[RunKey, TextStudy]:
    """What a study of a run is of -> the study, for all visitors."""
    return {}


def keep_run_study(finished: TextStudy) -> None:
    """Keep the study of a run in place of the oldest."""
    _keep(run_studies(), finished.key, finished)


def _keep(studies: dict, key: tuple, finished: TextStudy) -> None:
    studies[key] = finished
    for old in list(studies)[:-MAX_LIST_STUDIES]:
        studies.pop(old, None)
