"""Word clouds of runs, made once for all visitors. No Streamlit."""

from pathlib import Path

from analysis.figures.runs.paper_clouds import cloud_caption, cloud_svg
from analysis.runs.atlas import atlas_of
from analysis.runs.filters import TokenFilter
from analysis.runs.run import Run
from app.server import runs


def _cloud(run: Run, chosen: TokenFilter, level: float, theme: str) -> tuple[str | None, str]:
    drawn = atlas_of(run, chosen)
    svg = cloud_svg(drawn, level, theme=theme)
    return svg, cloud_caption(drawn, level, svg)


def cloud_of(folder: Path, chosen: TokenFilter, level: float, theme: str) -> tuple[str | None, str]:
    """The cloud of a run at a value of λ as an SVG, None if no word has it, and its caption.

    Raises RunError if the run is gone or damaged.
    """
    return runs.answer(folder, _cloud, chosen, level, theme)


__all__ = ["cloud_of"]
