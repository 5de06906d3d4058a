"""What a reader can read in a figure."""

import plotly.graph_objects as go


def figure_texts(fig: go.Figure) -> list[str]:
    """Every text that stands in a figure: the small lines, then what is drawn as data."""
    drawn = [trace.text for trace in fig.data if trace.type == "scatter" and "text" in (trace.mode or "")]
    return [note.text for note in fig.layout.annotations] + [text for texts in drawn for text in texts]
