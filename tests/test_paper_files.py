"""Files of the paper's figures of a run: clouds in which every word stays text, data, captions, and the command."""

import io
import json
import re
import xml.etree.ElementTree as ElementTree

import pandas as pd
import pytest

from analysis.export.paper_run import paper_files
from analysis.figures.runs.paper import PAPER_FIGURES
from analysis.figures.runs.paper_clouds import cloud_caption, cloud_svg, cloud_words
from analysis.runs.atlas import atlas_of
from analysis.runs.filters import TokenFilter
from app.cli import main
from tests.runs import make_run, random_traces
from tests.traces import HOSTILE, random_trace

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    hostile = [random_trace(layers=4, tokens=48, seed=seed, words=HOSTILE) for seed in range(3)]
    with make_run(tmp_path_factory.mktemp("runs") / "run", [*random_traces(6), *hostile]) as made:
        yield made


def test_a_cloud_holds_its_words_as_text_and_nothing_else(run):
    drawn = atlas_of(run)
    root = ElementTree.fromstring(cloud_svg(drawn, 0.75))
    assert {each.tag.removeprefix(SVG) for each in root.iter()} == {"svg", "title", "rect", "g", "text"}
    assert not [name for each in root.iter() for name in each.attrib if name.startswith("on") or "href" in name]
    shown = ["".join(each.itertext()).removeprefix(each[0].text) for each in root.iter(f"{SVG}text")]
    words = cloud_words(drawn.table("paper_words"), 0.75)
    assert {"<script>alert(1)…", "$x$", "&lt;", "<b>", "مرحبا"} <= {
        f"{each[:16]}…" if "alert" in each else each for each in shown
    }
    assert {*shown} == {word if len(word) <= 24 else f"{word[:23]}…" for word in words["word"]}
    assert not {"␣", "⇥", "↵↵", "⟨98⟩"} & {*shown}
    told = {"".join(each.itertext()): each[0].text for each in root.iter(f"{SVG}text")}
    row = words[words["word"] == "$x$"].iloc[0]
    assert f"{row['count']:,} of {row['of_word']:,} cells, lift {row['lift']:.3g}" in told.values()


def test_a_cloud_is_the_same_for_a_seed_and_says_what_it_leaves_out(run):
    drawn = atlas_of(run)
    assert cloud_svg(drawn, 0.25) == cloud_svg(drawn, 0.25) != cloud_svg(drawn, 0.25, seed=1)
    blank = drawn.table("paper_left_out").iloc[0]
    told = cloud_caption(drawn, 0.25, cloud_svg(drawn, 0.25))
    assert f"Left out are {100 * blank['blank'] / blank['tokens']:.1f}% of the tokens, which are white space" in told
    assert "place and colour mean nothing" in told and told.endswith("Seed 0.")
    assert cloud_svg(atlas_of(run, TokenFilter(text="nowhere")), 0.25) is None


def test_every_figure_has_its_data_and_a_caption_that_counts(run):
    drawn = atlas_of(run, TokenFilter(sources=("code.txt",)))
    files = dict(paper_files(drawn, formats=("csv", "json", "parquet")))
    for spec in PAPER_FIGURES:
        rows = pd.read_parquet(io.BytesIO(files[f"{spec.name}.parquet"]))
        pd.testing.assert_frame_equal(rows, spec.table(drawn), check_dtype=False)
        assert len(json.loads(files[f"{spec.name}.json"])["records"]) == len(rows)
        caption = files[f"{spec.name}.caption.txt"].decode()
        assert f"{drawn.tokens:,} tokens of 4 prompts, source code.txt" in caption and "weights 0123456789ab" in caption
    about = json.loads(files["about.json"])
    assert about["filter"] == {"sources": ["code.txt"]} and about["tokens"] == drawn.tokens
    assert about["filter_in_words"] == "source code.txt"
    assert {"paper_cloud_0.25.svg", "paper_cloud_0.75.svg"} <= files.keys()
    with pytest.raises(ValueError, match=r"no token has λ 0\.3 here; there are 0, 0\.25, 0\.5, 0\.75"):
        list(paper_files(drawn, levels=[0.3]))


def test_figures_without_tokens_or_without_a_gate_say_so(run, tmp_path):
    empty = atlas_of(run, TokenFilter(text="nowhere"))
    for spec in PAPER_FIGURES:
        said = [note.text for note in spec.figure(empty).layout.annotations]
        assert said == ["No token of the run is left by the filter."]
    files = dict(paper_files(empty, formats=("html",)))
    assert "paper_cloud_0.25.svg" not in files and "Nothing" not in files["paper_cloud_0.25.caption.txt"].decode()
    trace = random_trace(layers=2, tokens=30)
    trace.meta["parts"] = ["depth"]
    with make_run(tmp_path / "looped", [trace]) as looped:
        made = dict(paper_files(atlas_of(looped), formats=("html", "csv")))
        assert not [name for name in made if "cloud" in name]


def test_the_command_writes_all_and_says_why_fig_6_is_left_out(run, tmp_path, capsys):
    out, folder = tmp_path / "out", str(run.folder)
    assert main(["paper", folder, "--out", str(out), "--formats", "html,csv", "--lambda", "0.5"]) == 0
    said = capsys.readouterr()
    assert re.search(r"Fig\. 6 is left out: .*tiny", said.err) and "--texts 0 says that none is wanted" in said.err
    there = {path.name for path in out.iterdir()}
    assert there == {line.rpartition("/")[2] for line in said.out.splitlines()}
    assert {"paper_cloud_0.5.svg", "paper_loops.html", "plotly.min.js"} <= there
    again = ["paper", folder, "--out", str(out), "--overwrite", "--formats", "csv", "--texts", "0", "--filter", "{}"]
    assert main(again) == 0
    assert "paper_cloud_0.5.svg" not in {path.name for path in out.iterdir()} and not list(out.glob("*.html"))
    for wrong, told in (
        (["--formats", "docx"], "unknown format docx"),
        (["--lambda", "much"], "--lambda must be numbers"),
        (["--filter", '{"layer": 9}'], "the layer must be from 0 to 3, got 9"),
        (["--filter", "["], "--filter must be JSON"),
        (["--width", "wide"], "--width must be column, page or a number of millimetres, got wide"),
    ):
        capsys.readouterr()
        assert main(["paper", folder, "--out", str(tmp_path / "new"), *wrong]) == 2
        assert told in capsys.readouterr().err
    assert main(["paper", str(tmp_path), "--out", str(tmp_path / "new")]) == 2
