"""What the map of a run's tokens takes: to draw the sample, to place it by PCA and by UMAP, and in a browser until it
is drawn, while the mouse moves over it, while a line is drawn around tokens, and until the page says how many these
are.

The run is of random numbers. A browser without a graphics card draws WebGL by the processor, which this names.

python -m benchmarks.map [--tokens 2000000] [--points 20000 100000] [--folder FOLDER] [--no-umap] [--no-browser]
"""

import argparse
import math
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, expect

from analysis.runs.map import pca_map, umap_map
from analysis.runs.run import Run
from analysis.runs.sampling import sample_tokens
from analysis.runs.schema import Sizes
from benchmarks.atlas import make_run
from benchmarks.memory import peak_mb
from tests.app_server import app_server, chromium, wait_idle

FEW = 5_000
CHART = ".st-key-figure-token_map"
FRAMES = """() => {
  window.frames_ms = [];
  const tick = (last) => requestAnimationFrame((now) => (window.frames_ms.push(now - last), tick(now)));
  tick(performance.now());
}"""
RENDERER = """() => {
  const context = document.createElement("canvas").getContext("webgl");
  const found = context?.getExtension("WEBGL_debug_renderer_info");
  return found ? context.getParameter(found.UNMASKED_RENDERER_WEBGL) : "no WebGL";
}"""
DRAWN = f"""() => {{
  const figure = document.querySelector("{CHART} .js-plotly-plot");
  return figure?.querySelector("canvas") && figure._fullData?.reduce((sum, {{ x }}) => sum + x.length, 0);
}}"""


def in_python(folder: Path, points: int, umap: bool) -> None:
    """Print the seconds of sample, PCA and UMAP."""
    with Run(folder) as run:
        began = time.perf_counter()
        sample = sample_tokens(run, most=points)
        drawn = time.perf_counter()
        found = pca_map(sample)
        placed = time.perf_counter()
        told = f"{len(sample):,} of {sample.count:,} tokens: sample {drawn - began:.1f} s, PCA {placed - drawn:.1f} s"
        print(f"{told} (trustworthiness {found.trustworthiness:.2f}), {peak_mb():,.0f} MB", flush=True)
        if umap:
            found = umap_map(sample)
            took = time.perf_counter() - placed
            print(f"  UMAP {took:.0f} s (trustworthiness {found.trustworthiness:.2f}), {peak_mb():,.0f} MB", flush=True)


def choose(page: Page, points: int) -> float:
    """Ask for a map of so many tokens; the seconds until it is drawn."""
    page.get_by_role("combobox", name="Tokens drawn, at most").click()
    began = time.perf_counter()
    page.get_by_role("option", name=f"{points:,}", exact=True).click()
    page.wait_for_function(f"count => ({DRAWN})() === count", arg=points, timeout=120_000)
    wait_idle(page)
    return time.perf_counter() - began


def in_a_browser(page: Page, address: str, points: int) -> None:
    """Print what a visitor waits for on the page."""
    page.goto(f"{address}/token_map")
    wait_idle(page)
    choose(page, FEW)
    drawn = choose(page, points)
    page.wait_for_timeout(3000)
    box = page.locator(f"{CHART} .nsewdrag").bounding_box()
    x, y, radius = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["height"] / 3
    page.evaluate(FRAMES)
    for i in range(60):
        page.mouse.move(x + 4 * i, y + i)
        page.wait_for_timeout(16)
    hover = page.evaluate("Math.max(...window.frames_ms)")
    page.evaluate("window.frames_ms.length = 0")
    page.mouse.move(x + radius, y)
    page.mouse.down()
    for i in range(1, 41):
        page.mouse.move(x + radius * math.cos(i / 6.4), y + radius * math.sin(i / 6.4))
    page.mouse.up()
    lasso, began = page.evaluate("Math.max(...window.frames_ms)"), time.perf_counter()
    expect(page.get_by_text("Choose none")).to_be_visible(timeout=60_000)
    answered = time.perf_counter() - began
    print(
        f"{points:,} points: drawn {drawn:.1f} s after they were asked for; longest frame {hover:.0f} ms while the "
        f"mouse moves over them and {lasso:.0f} ms while a line is drawn; {answered:.1f} s until the chosen are told",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=2_000_000)
    parser.add_argument("--points", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--no-umap", action="store_true")
    parser.add_argument("--no-browser", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch) / "run"
        if not folder.exists():
            make_run(folder, args.tokens, Sizes(6, 4, 8, 2))
        for points in args.points:
            in_python(folder, points, not args.no_umap)
        if args.no_browser:
            return
        with app_server(Path(scratch) / "log.txt", "--run", str(folder)) as address, chromium() as browser:
            page = browser.new_page(viewport={"width": 1440, "height": 1400})
            print(f"WebGL by {page.evaluate(RENDERER)}", flush=True)
            for points in args.points:
                in_a_browser(page, address, points)


if __name__ == "__main__":
    main()
