"""Word clouds of runs, made once for all visitors. No Streamlit."""

from contextlib import nullcontext
from pathlib import Path

from analysis.figures.runs.paper_clouds import cloud_caption, cloud_svg
from analysis.runs.atlas import atlas_of
from analysis.runs.filters import TokenFilter
from analysis.runs.manifest import Counts
from app.server import runs
from app.server.result_cache import ResultCache

MOST_CLOUDS = 64
"""Of some kilobytes each."""


def _made(folder: Path, _: Counts, chosen: TokenFilter, level: float, theme: str) -> tuple[str | None, str]:
    with runs.told(folder):
        drawn = atlas_of(runs.opened(folder), chosen)
        svg = cloud_svg(drawn, level, theme=theme)
        return svg, cloud_caption(drawn, level, svg)


_clouds = ResultCache(_made, entries=MOST_CLOUDS, turn=nullcontext)


def cloud_of(folder: Path, chosen: TokenFilter, level: float, theme: str) -> tuple[str | None, str]:
    """The cloud of a run at a value of λ as an SVG, None if no word has it, and its caption.

    Raises RunError if the run is gone or damaged.
    """
    return _clouds(folder, runs.opened(folder).counts, chosen, level, theme)


__all__ = ["cloud_of"]
