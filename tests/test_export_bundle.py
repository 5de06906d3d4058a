"""The zip with everything: its manifest is true, and it opens."""

import hashlib
import io
import json
import zipfile

import pandas as pd
import pytest

from analysis import answers
from analysis.catalogue import CATALOGUE, spec
from analysis.export.bundle import bundle
from analysis.export.captions import caption
from analysis.export.files import Export
from analysis.export.paper import Paper
from analysis.export.snippet_of_result import TEXTS_FILE
from analysis.texts.study import SAMPLES, study
from analysis.view import View
from hooks.trace import RoutingTrace
from tests.browser_setup import find_browser
from tests.traces import make_trace

FIGURES = (spec("difficulty_map"), spec("loop_map"))
TRACE = "a-name.trace.safetensors"
DATA = [f"data/{name}.{end}" for name in ("difficulty_map", "loop_map", "routing") for end in ("json", "parquet")]
DATA += [f"data/{each.name}.csv" for each in FIGURES]
ALWAYS = [
    *DATA, "README.txt", "answers.txt", TRACE, "figures/plotly.min.js", "code/difficulty_map.py",
    "code/loop_map.py",
    "figures/difficulty_map.html", "figures/loop_map.html", "figures/difficulty_map.caption.txt",
    "figures/loop_map.caption.txt",
]  # fmt: skip


def opened(content: bytes) -> tuple[dict[str, bytes], dict]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    return files, json.loads(files.pop("manifest.json"))


def test_manifest_is_true_and_names_every_file(tmp_path, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", "/nowhere")
    trace, told = make_trace(), []
    export = Export(trace, View(1, 1), figures=FIGURES, options={"difficulty_map": {"kind": "hard"}})
    content = bundle(export, prompt="a name", progress=lambda *step: told.append(step))
    files, manifest = opened(content)
    assert sorted(files) == sorted(ALWAYS)
    assert {entry["path"]: entry["sha256"] for entry in manifest["files"]} == {
        path: hashlib.sha256(data).hexdigest() for path, data in files.items()
    }
    assert {entry["path"]: entry["bytes"] for entry in manifest["files"]} == {p: len(d) for p, d in files.items()}
    assert (manifest["model"], manifest["weights_sha256"]) == ("tiny", "0123456789abcdef")
    assert (manifest["prompt"], manifest["text"]) == ("a name", "␣a␣b")
    assert manifest["selection"] == {"layer": 1, "token": 1, "window": None}
    assert manifest["options"] == {"difficulty_map": {"kind": "hard"}}
    assert manifest["versions"]["pandas"] == pd.__version__
    assert manifest["left_out"][-1].startswith("svg and pdf: ")
    assert manifest["left_out"][:-1] == [f"{each.name}: not made" for each in CATALOGUE if each not in FIGURES]
    assert [done for done, _, _ in told] == list(range(1, told[-1][1] + 1))
    told_by = files["answers.txt"].decode("utf-8")
    assert f"\nGate: {answers.gate(trace).text}\n" in told_by and told_by.endswith(
        "Model tiny, weights 0123456789ab.\n"
    )
    (tmp_path / "trace").write_bytes(files[TRACE])
    assert RoutingTrace.load(tmp_path / "trace").loops.tolist() == trace.loops.tolist()
    assert b'src="plotly.min.js"' in files["figures/loop_map.html"] and len(files["figures/loop_map.html"]) < 10**5
    assert b"kind='hard'" in files["code/difficulty_map.py"]
    words = files["figures/difficulty_map.caption.txt"].decode("utf-8")
    assert words == caption(FIGURES[0], trace, View(1, 1), kind="hard") and "NAME.caption.txt" in str(
        files["README.txt"]
    )


@pytest.mark.parametrize(("name", "inside"), [(SAMPLES, False), ("mine.csv", True)])
def test_texts_of_an_own_list_are_inside_with_the_code_that_reads_them(name, inside, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", "/nowhere")
    found = study([make_trace(), make_trace(tokens=["␣c", "x" * 3_000])], draws=9, name=name)
    export = Export(make_trace(), more=(found,), figures=(spec("together"),))
    files, _ = opened(bundle(export, prompt="a name"))
    assert (TEXTS_FILE in files) == inside == (TEXTS_FILE.encode() in files["code/together.py"])
    assert not inside or json.loads(files[TEXTS_FILE]) == list(found.read) == ["␣a␣b", "␣c" + "x" * 3_000]


@pytest.mark.browser
def test_with_a_browser_pictures_and_captions_are_inside(monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", find_browser())
    export = Export(make_trace(), figures=FIGURES[1:], paper=Paper(85.0, "serif", selection=False))
    files, manifest = opened(bundle(export, prompt="a name", picture_formats=("svg", "pdf", "png")))
    assert files["figures/loop_map.png"].startswith(b"\x89PNG")
    assert b"85 mm wide, serif letters of 7 points, the selection unmarked" in files["README.txt"]
    assert files["figures/loop_map.pdf"].startswith(b"%PDF") and b"85.000mm" in files["figures/loop_map.svg"][:300]
    assert files["figures/loop_map.caption.txt"].startswith(b"Loops of every token in every layer.")
    assert not any("svg" in each for each in manifest["left_out"]) and manifest["paper"]["width_mm"] == 85
