"""Studies of several texts. Those of the sample texts are the same for every visitor and cached here."""

from dataclasses import dataclass

import streamlit as st

from analysis.texts.study import Study

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
