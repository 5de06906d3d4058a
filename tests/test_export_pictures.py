"""Pictures as a browser draws them: real files, opened and measured."""

import asyncio
import http.server
import io
import re
import threading
import xml.etree.ElementTree as ElementTree
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from analysis.catalogue import CATALOGUE, spec
from analysis.export.captions import caption
from analysis.export.files import Export, export_files
from analysis.export.paper import Paper, paper_figure, unnamed
from analysis.export.pictures import PictureError, as_vectors, browser_path, pictures
from analysis.figures.template import NAME_PX, figure
from analysis.view import View, window_around
from analysis.words.labels import plotly_text, token_labels
from app.cli import main
from tests.browser_setup import find_browser
from tests.capture_results import result_of
from tests.traces import HOSTILE, make_trace, random_trace

SIZES = re.compile(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]")


def mm(points: bytes | float) -> float:
    return float(points) / 72 * 25.4


def drawn(stream: bytes) -> bytes | None:
    """The drawing commands in a stream of a PDF, if these are what it holds."""
    try:
        content = zlib.decompressobj().decompress(stream)
    except zlib.error:
        return None
    return content if b"/Figure" in content else None


@pytest.fixture(scope="module")
def draw():
    """One browser for all tests of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BROWSER_PATH", find_browser())
        with pictures() as drawing:
            yield drawing


@pytest.mark.browser
def test_pictures_are_drawn_beside_a_running_event_loop_as_notebooks_have_one(monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", find_browser())

    async def cell():
        with pictures() as drawing:
            return drawing(go.Figure(layout={"width": 200, "height": 100}), "svg")

    with ThreadPoolExecutor(1) as thread:  # this one may have a loop already, of the browser tests
        assert b"<svg" in thread.submit(lambda: asyncio.run(cell())).result()


@pytest.mark.browser
@pytest.mark.parametrize("width", [85.0, 180.0])
@pytest.mark.parametrize("name", ["loop_map", "expert_load"])
def test_pdf_is_one_vector_page_of_the_width_asked_for_with_its_fonts(draw, name, width):
    paper = Paper(width, "serif", 8)
    fig = paper_figure(spec(name), random_trace(layers=4, tokens=20), View(1, 3), paper)
    pdf = draw(fig, "pdf", scale=paper.scale)
    assert pdf.startswith(b"%PDF-") and len(re.findall(rb"/Type /Page\b", pdf)) == 1
    ((wide, _high),) = SIZES.findall(pdf)
    assert mm(wide) == pytest.approx(width, abs=0.2)
    assert b"/Subtype /Image" not in pdf
    content = next(filter(None, map(drawn, pdf.split(b"stream\n")[1::2])))
    scale, x, y = map(float, re.search(rb"q\n([\d.]+) 0 0 [\d.]+ ([\d.]+) ([\d.]+) cm\n[^q]*/Figure", content).groups())
    assert (x, y) == pytest.approx((0, 0), abs=0.1), "the figure begins where the page begins"
    assert mm(scale * 0.24 * fig.layout.width) == pytest.approx(width, abs=0.2), "and ends where it ends"
    fonts = len(re.findall(rb"/Type /FontDescriptor", pdf))
    assert fonts and len(re.findall(rb"/FontFile\d? ", pdf)) == fonts


@pytest.mark.browser
def test_without_the_mark_of_the_selection_letters_of_any_script_are_no_type_3_fonts(draw):
    """Publishers refuse those. Chromium makes one of a bold name, if the font with its letters has no bold face."""
    paper = Paper(85.0, selection=False)
    trace = random_trace(layers=2, tokens=4, words=["␣مرحبا", "␣жук", "→", "b"])
    pdf = draw(paper_figure(spec("loop_map"), trace, View(1, 0), paper), "pdf", scale=paper.scale)
    assert b"/FontFile" in pdf and b"/Type3" not in pdf


@pytest.mark.browser
def test_svg_has_its_size_in_millimetres_and_shows_hostile_tokens_as_text(draw):
    trace, paper = random_trace(layers=2, tokens=len(HOSTILE), words=HOSTILE), Paper(85.0)
    svg = draw(paper_figure(spec("gate_map"), trace, View(1, 2, window=(0, 20)), paper), "svg", scale=paper.scale)
    root = ElementTree.fromstring(svg)
    assert float(root.get("width").removesuffix("mm")) == pytest.approx(85, abs=0.01)
    assert not [each for each in root.iter() if each.tag.endswith(("}image", "}script"))]
    text = "".join(root.itertext())
    assert all(part in text for part in ("<script>ale…", "$x$", "=1+1", "你好", "&lt;")), text


@pytest.mark.browser
def test_png_has_300_dots_per_inch(draw):
    paper = Paper(85.0)
    png = draw(paper_figure(spec("gate_levels"), make_trace(), paper=paper), "png", scale=paper.scale)
    with Image.open(io.BytesIO(png)) as image:
        assert image.width == pytest.approx(85 / 25.4 * 300, abs=2)
        assert image.info["dpi"][0] == pytest.approx(300, abs=0.1)


@pytest.mark.browser
def test_browser_asks_nothing_of_any_host(draw):
    asked = []

    class Host(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    with http.server.HTTPServer(("127.0.0.1", 0), Host) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        place = {"x": 0, "y": 1, "sizex": 1, "sizey": 1, "xref": "paper", "yref": "paper"}
        fig = go.Figure(layout={"width": 300, "height": 200})
        fig.add_layout_image(source=f"http://127.0.0.1:{host.server_port}/pixel.png", **place)
        assert draw(fig, "png")
        host.shutdown()
    assert asked == []


@pytest.mark.browser
def test_figures_of_one_command_are_drawn_with_captions_beside_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BROWSER_PATH", find_browser())
    make_trace().save(tmp_path / "trace")
    arguments = ["--formats", "svg,json", "--figures", "gate_map,loop_map", "--width", "column", "--layer", "1"]
    assert main(["export", str(tmp_path / "trace"), "--out", str(tmp_path / "out"), *arguments]) == 0
    names = [f"{name}.{end}" for name in ("gate_map", "loop_map") for end in ("caption.txt", "json", "svg")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [*names, "routing.json"]
    assert 'width="85.000mm"' in (tmp_path / "out" / "gate_map.svg").read_text("utf-8")[:300]
    words = (tmp_path / "out" / "gate_map.caption.txt").read_text("utf-8")
    assert "Selected: token 0 “a”, layer 1." in words and "0123456789ab" in words
    capsys.readouterr()


@pytest.mark.parametrize("found", ["/nowhere/chromium", "/bin/true"])
def test_without_a_working_browser_one_sentence_names_what_remains(found, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BROWSER_PATH", found)
    make_trace().save(tmp_path / "trace")
    assert main(["export", str(tmp_path / "trace"), "--out", str(tmp_path / "out"), "--formats", "csv,pdf"]) == 2
    told = capsys.readouterr().err
    assert "html, csv, parquet and json need none" in told and "BROWSER_PATH" in told
    assert not list((tmp_path / "out").iterdir())


def test_a_browser_path_that_is_no_file_is_no_browser(monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/chromium")
    assert browser_path() is None
    with pytest.raises(PictureError, match="none was found on this machine"), pictures():
        pass


def test_cells_of_a_map_become_bars_of_the_same_colours():
    fig = paper_figure(spec("loop_map"), make_trace(loops=[[1, 2, 3], [4, 3, 2]]))
    cells, bars = fig.data[0], as_vectors(fig).data[0]
    assert bars.type == "bar"
    assert bars.x.tolist() == [0, 1, 2, 0, 1, 2]
    assert (bars.base + bars.y / 2).tolist() == [0, 0, 0, 1, 1, 1]
    assert bars.marker.color.tolist() == [1, 2, 3, 4, 3, 2]
    assert (bars.marker.colorscale, bars.marker.cmin, bars.marker.cmax) == (cells.colorscale, cells.zmin, cells.zmax)
    assert bars.marker.colorbar.title.text == cells.colorbar.title.text
    assert not [each for each in as_vectors(fig).data if each.type == "heatmap"]


def test_hatching_is_lines_within_its_bars():
    fig = paper_figure(spec("expert_map"), make_trace(loops=[[1, 4], [2, 4]]))
    drawn = as_vectors(fig).data
    assert not [each for each in drawn if each.type == "bar" and each.marker.pattern.shape]
    above = next(each for each in drawn if each.type == "scatter" and each.yaxis == "y2")
    x, y = above.x[np.isfinite(above.x)], above.y[np.isfinite(above.y)]
    assert len(x) >= 4 and x.min() >= 0.57 - 1e-9 and x.max() <= 1.43 + 1e-9
    assert y.min() >= -1e-9 and y.max() <= 2 + 1e-9


def test_hatching_of_stacked_bars_lies_on_its_own_bars():
    fig = paper_figure(spec("cost_ledger"), make_trace(loops=[[1, 4], [2, 4]]))
    bars = next(each for each in fig.data if each.type == "bar" and each.marker.pattern.shape)
    (strokes,) = (each for each in as_vectors(fig).data if each.type == "scatter" and each.mode == "lines")
    row = np.flatnonzero(bars.x)
    assert len(row) == 1 and bars.base[row] > 0  # only the released code loops tokens that had left
    x, y = strokes.x[np.isfinite(strokes.x)], strokes.y[np.isfinite(strokes.y)]
    assert x.min() == pytest.approx(bars.base[row], abs=0.05)
    assert x.max() == pytest.approx(bars.base[row] + bars.x[row], abs=0.05)
    assert np.abs(y - row).max() <= 0.33 + 1e-9


def test_bars_without_a_pattern_of_their_own_are_not_hatched():
    pattern = {"shape": ["", "/"], "fgcolor": "#000000"}
    bar = {"type": "bar", "x": [0, 1], "y": [2, 2], "base": [0, 1], "width": 0.5, "marker": {"pattern": pattern}}
    axes = {"xaxis": {"range": [0, 2]}, "yaxis": {"range": [0, 4]}, "width": 400, "height": 300}
    strokes = as_vectors(figure(View(), [bar], **axes)).data[1]
    x, y = strokes.x[np.isfinite(strokes.x)], strokes.y[np.isfinite(strokes.y)]
    assert x.min() >= 0.75 - 1e-9 and y.min() >= 1 - 1e-9 and y.max() <= 3 + 1e-9 and len(x)


def test_cells_that_did_not_run_have_no_bar():
    fig = paper_figure(spec("expert_map"), make_trace(loops=[[1, 4], [2, 4]]))
    assert as_vectors(fig).data[0].x.tolist() == [0, 0]


@pytest.fixture(scope="module")
def drawn_of():
    """(trace or result that a kind of figure draws, view) of texts of several lengths; each result is made once."""
    texts = (
        (random_trace(layers=6, tokens=57), View(3, 20, theme="dark")),
        (random_trace(layers=2, tokens=600), View(1, 300, window_around(300, 600))),
        (make_trace(loops=[[4] * 6] * 3), View(1, 2)),
    )
    return cache(lambda kind: [(result_of(kind, trace, view), view) for trace, view in texts])


@pytest.mark.parametrize("each", CATALOGUE, ids=lambda each: each.name)
@pytest.mark.parametrize("width", [60.0, 180.0])
def test_every_figure_can_stand_in_a_column(each, width, drawn_of):
    for drawn, view in drawn_of(each.of):
        fig = as_vectors(paper_figure(each, drawn, view, Paper(width)))
        assert fig.layout.width == pytest.approx(width / 25.4 * 96 / (7 / 9))
        assert fig.layout.title.text is None
        assert fig.layout.template.layout.paper_bgcolor == "#FFFFFF"


def test_a_paper_may_leave_the_selection_unmarked():
    marked, plain = (
        paper_figure(spec("gate_map"), make_trace(), View(1, 1), Paper(selection=each)) for each in (True, False)
    )
    assert [shape.name for shape in marked.layout.shapes] != [] == list(plain.layout.shapes)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"width_mm": 20}, r"width_mm must be 60\.\.300, got 20"),
        ({"width_mm": float("nan")}, "width_mm must be"),
        ({"size_pt": 30}, r"size_pt must be 5\.\.12, got 30"),
        ({"font": "Comic Sans"}, "font must be sans or serif, got Comic Sans"),
    ],
)
def test_a_paper_has_sensible_measures_only(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        Paper(**fields)


def test_caption_holds_title_reading_numbers_selection_and_model():
    trace = random_trace(layers=2, tokens=600)
    words = caption(spec("difficulty_map"), trace, View(1, 300, (256, 512)), kind="hard")
    assert words.startswith(f"{spec('difficulty_map').title}. {spec('difficulty_map').how_to_read}\n")
    for part in (
        "600 tokens, 2 layers",
        "Maps show tokens 256 to 511",
        "token 300",
        "Kind of difficulty: hard.",
        "01234",
    ):
        assert part in words


def test_pictures_come_before_other_files_are_written_or_not_at_all(monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", "/nowhere")
    with pytest.raises(PictureError):
        next(export_files(Export(make_trace()), ["csv", "svg"]))


@pytest.mark.parametrize(("tokens", "width", "step"), [(20, 85.0, 1), (45, 85.0, 2), (80, 85.0, 4), (250, 85.0, 0)])
def test_tokens_of_a_narrow_picture_are_named_as_far_as_there_is_room(tokens, width, step):
    trace, view, paper = random_trace(layers=2, tokens=tokens), View(1, 4), Paper(width)
    assert (unnamed(spec("gate_map"), trace, view, paper) or 0) == (0 if step == 1 else step)
    fig = paper_figure(spec("gate_map"), trace, view, paper)
    axis, names = fig.layout.xaxis, [plotly_text(label) for label in token_labels(trace)]
    if step == 0:
        assert axis.title.text == "token index"
        return
    assert list(axis.tickvals) == list(range(0, tokens, step)) and axis.tickangle == -90
    assert [text.removeprefix("<b>").removesuffix("</b>") for text in axis.ticktext] == names[::step]
    assert axis.ticktext[4 // step].startswith("<b>"), "the selected one is named and bold"
    inner = fig.layout.width - fig.layout.margin.l - fig.layout.margin.r
    assert inner * axis.domain[1] / tokens * step >= NAME_PX, "no name lies over the next"
    plain = paper_figure(spec("gate_map"), trace, view, replace(paper, selection=False)).layout.xaxis
    assert not any(text.startswith("<b>") for text in plain.ticktext), "nor is a name bold without a selection"
