"""Files that leave the app, downloaded in a real browser and opened by other programs."""

import hashlib
import json
import zipfile

import numpy as np
import pypdfium2
import pytest
from PIL import ImageColor

from analysis.catalogue import CATALOGUE
from analysis.figures.palette import THEMES, colour_at
from analysis.tables import read_csv
from app.examples import EXAMPLES
from hooks.trace import RoutingTrace
from sample_models.registry import CHECKPOINTS, DEFAULT_MODEL
from tests.app_server import app_server, wait_idle
from tests.visit import Visit

pytestmark = pytest.mark.browser
POINTS_PER_MM = 72 / 25.4


def exporting(here: Visit, link: str, heading: str):
    """The open export dialog of a page, with its preview drawn."""
    page = here.open(link, heading)
    page.get_by_role("button", name="Export").click()
    dialog = page.get_by_role("dialog")
    dialog.locator(".js-plotly-plot .main-svg").first.wait_for()
    wait_idle(page)
    return dialog


def test_pdf_for_a_paper_is_one_page_of_a_column_s_width_that_holds_the_figure(visit, tmp_path):
    here = visit()
    dialog = exporting(here, "gate?example=echo&layer=2&token=9", "Gate")
    dialog.get_by_role("button", name="Make PDF").click()
    with here.page.expect_download() as waiting:
        dialog.get_by_role("button", name="PDF", exact=True).click()
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
    with app_server(tmp_path / "log.txt") as address:
        here = Visit(browser, address)
        dialog = exporting(here, "gate?example=echo&layer=2&token=9", "Gate")
        assert dialog.get_by_role("button", name="Make PDF").is_disabled()
        dialog.get_by_role("button", name="Make everything (zip)").click()
        with here.page.expect_download() as waiting:
            dialog.get_by_role("button", name="Everything", exact=True).click()
        waiting.value.save_as(tmp_path / "everything.zip")
        zipfile.ZipFile(tmp_path / "everything.zip").extractall(tmp_path / "zip")
        shown = here.context.new_page()
        shown.goto((tmp_path / "zip" / "figures" / "gate_map.html").as_uri())
        shown.locator(".js-plotly-plot .main-svg").first.wait_for()
        here.context.close()
    assert not here.errors and not here.foreign
    folder = tmp_path / "zip"
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
    trace = RoutingTrace.load(folder / "text.trace.safetensors")
    assert trace.meta["text"] == manifest["text"]
    np.testing.assert_array_equal(read_csv(folder / "data" / "gate_map.csv")["gate"], trace.gate.ravel())
    monkeypatch.chdir(folder)
    made: dict = {}
    exec(compile(there["code/gate_map.py"], "gate_map.py", "exec"), made)
    assert made["drawn"].meta["text"] == manifest["text"]
    np.testing.assert_array_equal(made["figure"].data[0].z, trace.gate)
    assert (folder / "gate_map.html").stat().st_size > 10**6


def test_closing_the_dialog_stops_making_everything(visit):
    here = visit()
    dialog = exporting(here, "gate?example=echo&layer=2&token=9", "Gate")
    dialog.get_by_role("button", name="Make everything (zip)").click()
    dialog.get_by_text("Close this window to stop.").first.wait_for()
    here.page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    wait_idle(here.page)  # long before the pictures are drawn
    here.page.get_by_role("button", name="Export").click()
    dialog.get_by_role("button", name="Make everything (zip)").wait_for()
    wait_idle(here.page)
    assert not dialog.get_by_role("button", name="Everything", exact=True).count()
