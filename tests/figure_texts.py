"""The texts in a figure."""

import plotly.graph_objects as go


def figure_texts(fig: go.Figure) -> list[str]:
    """All texts in a figure: annotations, then texts of scatter traces."""
    drawn = [trace.text for trace in fig.data if trace.type == "scatter" and "text" in (trace.mode or "")]
    return [note.text for note in fig.layout.annotations] + [text for texts in drawn for text in texts]
