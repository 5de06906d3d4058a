"""Files that leave the app, downloaded in a real browser and opened by other programs."""

import csv
import hashlib
import io
import json
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pypdfium2
import pytest
from PIL import ImageColor
from playwright.sync_api import expect
from streamlit.testing.v1 import AppTest

from analysis.catalogue import CATALOGUE, spec
from analysis.export.bundle import bundle
from analysis.export.snippet import trace_file_name
from analysis.export.tables import read_csv
from analysis.palette import THEMES, colour_at
from app.frame import export_dialog
from app.texts.examples import EXAMPLES
from hooks.trace import RoutingTrace
from sample_models.registry import CHECKPOINTS, DEFAULT_MODEL
from tests.app_in_process import press
from tests.app_server import until, wait_idle
from tests.test_app_export import everything
from tests.visit import HOSTILE, Visit

pytestmark = pytest.mark.browser
POINTS_PER_MM = 72 / 25.4


def exporting(here: Visit, figure: str = spec("gate_map").title):
    """The open export dialog of the page, with the preview of a figure drawn."""
    here.page.get_by_role("button", name="Export").click()
    dialog = here.page.get_by_role("dialog")
    dialog.locator(".js-plotly-plot .main-svg").first.wait_for()
    wait_idle(here.page)
    dialog.get_by_role("combobox", name="Figure of this page").fill(figure)
    here.page.keyboard.press("Enter")
    titled = "title => document.querySelector('[role=dialog] .js-plotly-plot')?.layout?.title?.text === title"
    here.page.wait_for_function(titled, arg=figure)
    wait_idle(here.page)
    return dialog


def test_pdf_for_a_paper_is_one_page_of_a_column_s_width_that_holds_the_figure(visit, tmp_path):
    here = visit()
    here.open("gate?example=echo&layer=2&token=9", "Gate")
    dialog = exporting(here)
    dialog.get_by_role("button", name="Make PDF").click()
    with here.page.expect_download() as waiting:
        dialog.get_by_role("button", name="Download PDF", exact=True).click()
    waiting.value.save_as(tmp_path / "gate_map.pdf")
    document = pypdfium2.PdfDocument(tmp_path / "gate_map.pdf")
    (page,) = document
    assert page.get_width() == pytest.approx(85 * POINTS_PER_MM, abs=0.5)
    words = page.get_textpage().get_text_range()
    assert all(part in words for part in ("width share λ", "layer", "mean over layers"))
    picture = page.render(scale=3).to_numpy()[..., 2::-1]  # rows of pixels, blue comes first
    for gate in (0.25, 0.5, 0.75):
        colour = ImageColor.getrgb(colour_at(THEMES["light"]["gate"], gate))
        seen = (np.abs(picture.astype(int) - colour).max(axis=-1) <= 2).mean()
        assert seen > 0.01, f"cells of λ {gate} cover {seen:.1%} of the page"
    document.close()


def test_everything_is_what_its_manifest_says_and_its_code_runs(browser, tmp_path, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", "/nowhere")  # without pictures, which take a minute
    made = []
    monkeypatch.setattr(export_dialog, "bundle", lambda *args, **how: made.append(bundle(*args, **how)) or made[0])
    app = AppTest.from_function(everything, default_timeout=120)
    app.query_params.update(example="echo", layer="2", token="9")
    press(app.run(), "Make everything (zip)")
    folder = tmp_path / "zip"
    zipfile.ZipFile(io.BytesIO(made[0])).extractall(folder)
    shown = browser.new_page()
    shown.goto((folder / "figures" / "gate_map.html").as_uri())
    shown.locator(".js-plotly-plot .main-svg").first.wait_for()
    shown.close()
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    there = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    del there["manifest.json"]
    assert {entry["path"]: entry["sha256"] for entry in manifest["files"]} == {
        path: hashlib.sha256(content).hexdigest() for path, content in there.items()
    }
    weights = (CHECKPOINTS / DEFAULT_MODEL / "model.safetensors").read_bytes()
    assert (manifest["model"], manifest["weights_sha256"]) == (DEFAULT_MODEL, hashlib.sha256(weights).hexdigest())
    assert (manifest["prompt"], manifest["text"]) == (EXAMPLES["echo"].name, EXAMPLES["echo"].text)
    assert manifest["selection"] == {"layer": 2, "token": 9, "window": None}
    left_out = {each.partition(":")[0] for each in manifest["left_out"]}
    assert left_out == {each.name for each in CATALOGUE if f"data/{each.name}.csv" not in there} | {"svg and pdf"}
    trace = RoutingTrace.load(folder / trace_file_name(EXAMPLES["echo"].name))
    assert trace.meta["text"] == manifest["text"]
    np.testing.assert_array_equal(read_csv(folder / "data" / "gate_map.csv")["gate"], trace.gate.ravel())
    monkeypatch.chdir(folder)
    named: dict = {}
    exec(compile(there["code/gate_map.py"], "gate_map.py", "exec"), named)
    assert named["drawn"].meta["text"] == manifest["text"]
    np.testing.assert_array_equal(named["figure"].data[0].z, trace.gate)
    assert (folder / "gate_map.html").stat().st_size > 10**6


def test_closing_the_dialog_stops_making_everything(visit):
    here = visit()
    here.open("gate?example=echo&layer=2&token=9", "Gate")
    dialog = exporting(here)
    dialog.get_by_role("button", name="Make everything (zip)").click()
    dialog.get_by_text("Close this window to stop.").first.wait_for()
    here.page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    wait_idle(here.page)  # long before the pictures are drawn
    here.page.get_by_role("button", name="Export").click()
    dialog.get_by_role("button", name="Make everything (zip)").wait_for()
    wait_idle(here.page)
    expect(dialog.get_by_role("button", name="Download everything", exact=True)).to_have_count(0)


def opens_by_itself_and_draws_all_its_figures(here: Visit, report: Path) -> None:
    opened, asked, said = here.context.new_page(), [], []
    opened.set_default_timeout(90_000)
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("dialog", lambda alert: said.append(alert.message))
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(report.as_uri())
    opened.locator("html[data-drawn=all]").wait_for()
    assert opened.locator(".drawn").count() == opened.locator(".drawn .main-svg:first-child").count() > 20
    assert not said and [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert "".join(opened.locator(".strip .token").all_text_contents()).startswith("<script>alert(1)")
    for width in (1200, 420):
        opened.set_viewport_size({"width": width, "height": 900})
        # Figures take the new width a moment later; the page itself must not move sideways.
        until(opened, lambda width=width: opened.evaluate("document.documentElement.scrollWidth") <= width)
    opened.close()


def test_every_way_out_gives_files_that_hold_the_trace(visit, tmp_path):
    here = visit()
    page = here.open("gate", "Gate")
    here.trace(HOSTILE)
    dialog = exporting(here)

    def download(button: str) -> Path:
        with page.expect_download() as waiting:
            dialog.get_by_role("button", name=button, exact=True).click()
        path = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path

    trace = RoutingTrace.load(download("Trace file"))
    assert trace.meta["text"] == HOSTILE
    svg = download("SVG")
    assert svg.suffix == ".svg"
    text = "".join(ElementTree.parse(svg).getroot().itertext())
    assert "Width share" in text and trace.meta["weights_sha256"][:12] in text
    for part in ("🙂", "<", "$", "*", "你", "↵", "⇥"):
        assert part in text, part
    png = download("PNG").read_bytes()
    assert png.startswith(b"\x89PNG") and int.from_bytes(png[16:20], "big") > 1000  # pixels wide
    download("HTML")
    rows = list(csv.DictReader(io.StringIO(download("CSV").read_text(encoding="utf-8-sig"))))
    np.testing.assert_allclose([float(row["gate"]) for row in rows], trace.gate.ravel())
    assert pd.read_parquet(download("Parquet")).gate.tolist() == trace.gate.ravel().tolist()
    assert json.loads(download("JSON").read_text("utf-8"))["records"][-1]["text"] == trace.tokens[-1]
    table = pd.read_parquet(download("Routing table"))
    assert table.loops.tolist() == trace.loops.ravel().tolist()
    opened, asked, alerts = here.context.new_page(), [], []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("dialog", lambda dialog: alerts.append(dialog.message))
    opened.goto((tmp_path / "gate_map.html").as_uri())
    opened.locator(".js-plotly-plot .main-svg").first.wait_for()
    labels = opened.locator(".xtick text")
    until(opened, lambda: all(part in "".join(labels.all_text_contents()) for part in ("🙂", "<", "$", "↵")))
    assert not alerts and [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    opened.close()
    report = download("Report of the text (HTML)")
    assert report.name.endswith(".text.html")
    opens_by_itself_and_draws_all_its_figures(here, report)


def test_link_with_the_text_opens_it(visit):
    here = visit()
    here.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = here.open("gate", "Gate")
    here.trace(HOSTILE)
    page.get_by_role("button", name="Export").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Only the second link contains your own text").wait_for()
    wait_idle(page)
    dialog.get_by_role("button", name="Copy link with my text").click()
    dialog.get_by_role("button", name="Copied").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(here.address) and "script" not in link
    other = visit()
    other.open(link.removeprefix(f"{here.address}/"), "Gate")
    until(page, lambda: other.text() == here.text())
    other.tokens().nth(3).click()  # writes the address anew
    expect(other.page).to_have_url(re.compile(r"\?(?=.*\btext=)(?=.*\btoken=3\b)"))
