"""The paper's figures on the page Atlas, in-process: figures of the filter, prompts read again, files."""

import base64
import io
import json
import zipfile

import numpy as np
import pandas as pd
import pytest

from analysis.runs.filters import TokenFilter
from analysis.runs.paper import paper_loops, paper_words
from analysis.runs.run import Run
from app.pages import PAGES
from app.server import runs
from app.session import run_choice
from app.session.folds import OPEN
from app.views import paper_figures, run_report
from tests.app_in_process import charts, new_app, press, turn_to

QUESTION = "What do the paper's figures show for this run?"


@pytest.fixture
def app():
    found = new_app().run()
    found.session_state[OPEN] = {fold.key for page in PAGES for fold in page.folds if fold.question == QUESTION}
    return turn_to(found, "atlas")


def test_figures_are_of_the_run_under_its_filter_and_files_hold_them(app, monkeypatch):
    monkeypatch.setattr(paper_figures, "browser_path", lambda: None)
    chosen = TokenFilter(positions=(1, 40))
    app.session_state[run_choice.FILTER] = chosen
    app.run()
    assert not app.exception
    with Run(runs.SHIPPED) as run:
        loops, words = paper_loops(run, chosen), paper_words(run, chosen)
    (dots,) = [
        each for chart in charts(app) for each in chart["data"] if each.get("error_y", {}).get("array") is not None
    ]
    np.testing.assert_allclose(np.frombuffer(_bytes(dots["y"]), dots["y"]["dtype"]), loops["mean_loops"])
    press(app, "Make the paper's figures (zip)")
    (key, content) = app.session_state.exported["paper-zip"]
    files = zipfile.ZipFile(io.BytesIO(content))
    assert json.loads(files.read("about.json"))["filter"] == {"positions": [1, 40]}
    written = pd.read_csv(io.BytesIO(files.read("paper_words.csv")))
    assert written["count"].tolist() == words["count"].tolist()
    assert "paper_cosine.csv" not in files.namelist() and "paper_cloud_0.25.svg" in files.namelist()


def test_prompts_are_read_again_when_the_reader_asks(app):
    assert not [chart for chart in charts(app) if chart["data"][0]["type"] == "heatmap"]
    press(app, "Read 20 prompts again")
    (cells,) = [chart["data"][0] for chart in charts(app) if chart["data"][0]["type"] == "heatmap"]
    cosines = np.frombuffer(_bytes(cells["z"]), cells["z"]["dtype"]).reshape(6, 5)
    assert np.isnan(cosines[:, 0]).all() and (np.abs(cosines[:, 1:]) <= 1).all()
    app.session_state[run_choice.FILTER] = TokenFilter(layer=2)
    app.run()
    assert not app.exception and not [chart for chart in charts(app) if chart["data"][0]["type"] == "heatmap"]


def _bytes(array: dict) -> bytes:
    return base64.b64decode(array["bdata"])


def test_the_report_is_of_the_run_under_its_filter(app, monkeypatch):
    monkeypatch.setattr(run_report, "browser_path", lambda: None)
    app.run()
    assert next(each for each in app.button if each.label == "Make report (PDF)").disabled
    press(app, "Make report (HTML)")
    labels = [each.proto.label for each in app.get("download_button")]
    assert [each for each in labels if each.startswith("Download report (HTML, ")]
    (_, content) = app.session_state.exported["run-report-html"]
    assert "Run “sample texts”" in content.decode() and "31 prompts, 1,863 tokens." in content.decode()
    app.session_state[run_choice.FILTER] = TokenFilter(layer=2, loops=(1,))
    app.run()
    assert not [each for each in app.get("download_button") if each.proto.label.startswith("Download report")]
