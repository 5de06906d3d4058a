"""Pictures: SVG, PNG and PDF of figures, drawn by this machine's Chrome or Chromium through Kaleido.

Nothing is downloaded: the drawing page has the plotly.js of the installed package and no MathJax, and its browser
cannot resolve any host.
"""

import asyncio
import io
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import plotly.graph_objects as go

PictureFormat = Literal["svg", "png", "pdf"]
PICTURE_FORMATS: tuple[PictureFormat, ...] = ("svg", "png", "pdf")
PX_PER_MM = 96 / 25.4
"""A CSS pixel is 1/96 inch."""
PNG_DPI = 300
HATCH_PX = 6
OPENING_S, DRAWING_S = 60, 90
MOST_CELLS = 20_000
"""Maps with more cells stay raster images: their cells are too small for their edges to be seen."""
NO_KALEIDO = (
    "svg, png and pdf are drawn by Kaleido, which is not installed: html, csv, parquet and json need none, and "
    "`pip install 'versatileffn[pictures]'` brings it."
)
NO_BROWSER = "svg, png and pdf are drawn by a Chrome or Chromium, and none was found on this machine."
NO_KALEIDO_FOR_PDF = (
    "a report is printed as PDF by Kaleido's browser, which is not installed: `pip install 'versatileffn[pictures]'` "
    "brings it. The report as HTML needs none, and any browser prints it."
)
NO_BROWSER_FOR_PDF = (
    "a report is printed as PDF by a Chrome or Chromium, and none was found on this machine. The report as HTML needs "
    "none, and any browser prints it. Install one (for example with `apt-get install chromium`), or set BROWSER_PATH "
    "to it."
)
REMEDY = (
    "html, csv, parquet and json need none. For pictures install one (for example with `apt-get install chromium` or "
    "`kaleido_get_chrome`), or set BROWSER_PATH to it."
)


class PictureError(ValueError):
    """A picture cannot be made; the message says why and what to do."""


Draw = Callable[..., bytes]
"""(figure, format, *, scale=1.0) -> the picture's file."""


def has_kaleido() -> bool:
    """Whether the package that starts browsers is installed."""
    return find_spec("kaleido") is not None


def browser_path() -> str | None:
    """The browser that draws: BROWSER_PATH, that of Kaleido, or one on the PATH; None if there is none."""
    from choreographer.browsers.chromium import Chromium

    path = Chromium.find_browser(skip_local=False)
    return path if path and Path(path).is_file() else None


@contextmanager
def pictures() -> Iterator[Draw]:
    """Open a browser for the time of the context, and give a function that draws with it.

    `draw(fig, format, scale=1)` takes the figure's size from its layout (pixels of 1/96 inch) and returns an SVG or PDF
    (`scale` times that size on paper; maps are vectors) or a PNG (the same size at 300 dpi). Raises PictureError if
    there is no browser, or if it does not start or does not draw.
    """
    if not has_kaleido():
        raise PictureError(NO_KALEIDO)
    path = browser_path()
    if path is None:
        raise PictureError(f"{NO_BROWSER} {REMEDY}")
    from choreographer.errors import BrowserClosedError, BrowserFailedError, ChannelClosedError
    from kaleido.errors import JavascriptError, KaleidoError

    # A thread of its own, because an event loop may already run in the thread of a notebook or server.
    with ThreadPoolExecutor(1, "pictures") as thread, ExitStack() as stack:
        runner = asyncio.Runner()
        stack.callback(lambda: thread.submit(runner.close).result())

        def wait(coroutine, seconds: int):
            return thread.submit(runner.run, asyncio.wait_for(coroutine, seconds)).result()

        async def opened():
            browser = _offline_kaleido(path)
            try:
                await browser.open()
            except BaseException:
                await browser.close()
                raise
            return browser

        try:
            browser = wait(opened(), OPENING_S)
        except (BrowserFailedError, BrowserClosedError, ChannelClosedError, TimeoutError) as error:
            raise PictureError(f"{path} does not start as a browser ({_first_words(error)}). {REMEDY}") from error

        def draw(fig: go.Figure, format: PictureFormat, *, scale: float = 1.0) -> bytes:
            layout = fig.layout
            shown = fig if format == "png" else as_vectors(fig)
            options = {"format": format, "width": layout.width, "height": layout.height}
            options["scale"] = scale * PNG_DPI / 96 if format == "png" else scale
            try:
                picture = wait(browser.calc_fig(shown, opts=options), DRAWING_S)
            except (BrowserClosedError, ChannelClosedError, JavascriptError, KaleidoError, TimeoutError) as error:
                raise PictureError(f"the browser did not draw this {format} ({_first_words(error)})") from error
            if format == "svg":
                return _sized_in_mm(picture, layout.width * scale, layout.height * scale)
            return _with_dpi(picture) if format == "png" else picture

        try:
            yield draw
        finally:
            wait(browser.close(), OPENING_S)


def as_vectors(fig: go.Figure) -> go.Figure:
    """The figure with maps as bars, one per cell, hatching as lines, and points that WebGL draws as marks: otherwise
    these become raster images."""
    data = []
    for trace in fig.data:
        if trace.type == "heatmap" and np.size(trace.z) <= MOST_CELLS:
            data.append(_bars(fig, trace))
        elif trace.type == "scattergl" and np.size(trace.x) <= MOST_CELLS:
            data.append(trace.to_plotly_json() | {"type": "scatter"})
        elif trace.type == "bar" and trace.marker.pattern.shape:
            plain = trace.to_plotly_json()
            plain["marker"].pop("pattern")
            data += [plain, _hatching(fig, trace)]
        else:
            data.append(trace)
    return go.Figure({"data": data, "layout": fig.layout})


def _hatching(fig: go.Figure, bars: go.Bar) -> dict:
    """The hatching of bars as one line trace with breaks. Stacked bars must state their `base`."""
    px = np.array(_unit_px(fig, bars))
    across, along = (bars.y, bars.x) if bars.orientation == "h" else (bars.x, bars.y)
    bases = np.zeros(len(along)) if bars.base is None else bars.base
    shape = bars.marker.pattern.shape
    hatched = [shape] * len(along) if isinstance(shape, str) else shape
    points = []
    for place, base, length, stroke in zip(across, bases, along, hatched, strict=True):
        if not stroke:
            continue
        ends = [(place - bars.width / 2, place + bars.width / 2), (base, base + length)]
        (left, right), (low, high) = (np.array(ends[::-1] if bars.orientation == "h" else ends)) * px[:, None]
        for shift in np.arange(np.ceil((low - right) / HATCH_PX), (high - left) / HATCH_PX) * HATCH_PX:
            begin, end = max(left, low - shift), min(right, high - shift)
            if begin < end:
                points += [(begin, begin + shift), (end, end + shift), (np.nan, np.nan)]
    x, y = np.array(points).reshape(-1, 2).T / px[:, None]
    return {
        "type": "scatter", "mode": "lines", "x": x, "y": y, "xaxis": bars.xaxis, "yaxis": bars.yaxis,
        "line": {"width": 0.8, "color": bars.marker.pattern.fgcolor}, "showlegend": False, "cliponaxis": False,
    }  # fmt: skip


def _bars(fig: go.Figure, cells: go.Heatmap) -> dict:
    z = np.asarray(cells.z, dtype=float)
    row, column = np.nonzero(np.isfinite(z))
    x, y = np.asarray(cells.x, dtype=float)[column], np.asarray(cells.y, dtype=float)[row]
    wide, high = (1 - (gap or 0) / px for gap, px in zip((cells.xgap, cells.ygap), _unit_px(fig, cells), strict=True))
    colours = {"color": z[row, column], "colorscale": cells.colorscale, "cmin": cells.zmin, "cmax": cells.zmax}
    # Neighbours without a gap overlap a little: viewers show the background between shapes that only touch.
    line = {"width": 0} if cells.xgap else {**colours, "width": 0.4}
    return {
        "type": "bar", "x": x, "base": y - high / 2, "y": np.full(len(x), high), "width": wide, "offset": -wide / 2,
        "marker": {**colours, "line": line, "showscale": cells.showscale,
                   "colorbar": cells.colorbar.to_plotly_json()},
        "xaxis": cells.xaxis, "yaxis": cells.yaxis, "showlegend": False,
    }  # fmt: skip


def _unit_px(fig: go.Figure, drawn: go.Heatmap | go.Bar) -> tuple[float, float]:
    """Pixels per unit of the x axis and of the y axis."""
    layout, margin = fig.layout, fig.layout.margin.to_plotly_json()
    default = layout.template.layout.margin.to_plotly_json()
    left, right, top, bottom = (margin.get(side, default.get(side, 80)) for side in "lrtb")
    inner = layout.width - left - right, layout.height - top - bottom
    sizes = []
    for letter, name, px in zip("xy", (drawn.xaxis, drawn.yaxis), inner, strict=True):
        axis = layout[f"{letter}axis{(name or letter)[1:]}"]
        low, high = axis.domain or (0, 1)
        first, last = axis.range
        sizes.append(px * (high - low) / abs(last - first))
    return sizes[0], sizes[1]


def offline_chromium() -> type:
    """A kind of browser that uses no network, for choreographer."""
    from choreographer.browsers.chromium import Chromium

    class OfflineChromium(Chromium):
        def get_cli(self) -> list[str]:
            return [*super().get_cli(), "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND"]

    return OfflineChromium


def _offline_kaleido(path: str):
    """A Kaleido whose page and browser use no network."""
    from kaleido import Kaleido, PageGenerator

    class Page(PageGenerator):
        # Sets the title of PDFs, and removes Kaleido's print margins, which push the figure over the edge of the page.
        header = PageGenerator.header.replace("Kaleido-fier", "VersatileFFN Explorer")
        header += "        <style>@page { margin: 0 }</style>\n"

    # Kaleido's browser runs without Chromium's own sandbox, so that it also starts for root and in containers.
    return Kaleido(path=path, page_generator=Page(mathjax=False), browser_cls=offline_chromium(), timeout=None)


def _sized_in_mm(svg: bytes, width: float, height: float) -> bytes:
    """The SVG with its size in millimetres, so that other programs need not guess it."""
    text = svg.decode("utf-8")
    size = f'width="{width / PX_PER_MM:.3f}mm" height="{height / PX_PER_MM:.3f}mm"'
    sized, replaced = re.subn(r'(<svg\b[^>]*?) width="[\d.]+" height="[\d.]+"', rf"\1 {size}", text, count=1)
    assert replaced, "an SVG of Plotly has its size in its first tag"
    return sized.encode("utf-8")


def _with_dpi(png: bytes) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.save(buffer, "PNG", dpi=(PNG_DPI, PNG_DPI))
    return buffer.getvalue()


def _first_words(error: BaseException) -> str:
    return str(error.args[0] if error.args else type(error).__name__).partition("\n")[0].rstrip(".")[:200]


__all__ = [
    "NO_BROWSER",
    "NO_BROWSER_FOR_PDF",
    "NO_KALEIDO_FOR_PDF",
    "REMEDY",
    "PICTURE_FORMATS",
    "Draw",
    "PictureError",
    "PictureFormat",
    "browser_path",
    "has_kaleido",
    "offline_chromium",
    "pictures",
]
