"""Studies of several texts: what was read, and those of the sample texts, which are the same for every visitor."""

from dataclasses import dataclass

import streamlit as st

from analysis.texts.study import Study

Asked = tuple[str, tuple[str, ...]]
"""Model, and the texts, each once."""


@dataclass(frozen=True)
class TextStudy:
    """Texts that were read to their end."""

    asked: Asked
    study: Study | None
    """None if not one of the texts can be traced."""
    left_out: list[str]
    """One sentence for each reason to leave texts out."""


@st.cache_resource(show_spinner=False)
def sample_studies() -> dict[str, TextStudy]:
    """What the sample texts say together, by the model that read them since the server began."""
    return {}
