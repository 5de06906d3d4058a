"""Studies of several texts, cached here: those of the sample texts for every visitor, the last of visitors' lists."""

from dataclasses import dataclass

import streamlit as st

from analysis.texts.study import Study
from app.limits import MAX_LIST_STUDIES

StudyKey = tuple[str, tuple[str, ...]]
"""What a study is of: the model's name, and the texts without repeats."""


@dataclass(frozen=True)
class TextStudy:
    """The finished study of some texts."""

    key: StudyKey
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
    studies = list_studies()
    studies[name, finished.key] = finished
    for key in list(studies)[:-MAX_LIST_STUDIES]:
        studies.pop(key, None)
