"""The report of a run: its numbers are those of the traces, hostile texts stay text, its commands make it again."""

import json
import shlex

import pytest

from analysis.export.report import report, report_of
from analysis.export.report_page import Code, Picture, Table, Text, Words
from analysis.export.reproduce import PROGRAM
from analysis.runs.chosen import ChosenTokens
from analysis.runs.filters import TokenFilter
from analysis.runs.paper import paper_loops
from analysis.runs.run import Run
from app.cli import main
from app.server.runs import SHIPPED
from tests.runs import make_run, random_traces
from tests.test_report import TAGS, Read, blocks
from tests.traces import HOSTILE, random_trace


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    hostile = [random_trace(layers=4, tokens=24, seed=seed, words=HOSTILE) for seed in range(3)]
    with make_run(tmp_path_factory.mktemp("runs") / "my_run", [*random_traces(5), *hostile]) as made:
        yield made


def test_the_report_of_a_run_holds_no_address_and_no_script_but_its_own(run):
    read = Read(report(run, name="<img src=https://evil.example>"))
    assert {tag for tag, _ in read.tags} <= {*TAGS, "img"}
    for tag, attributes in read.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in {"src", "href"} & attributes.keys():
            assert attributes[name].startswith(("#", "data:image/svg+xml;base64,")), (tag, attributes[name][:40])
    said = "".join(read.words)
    assert "<img src=https://evil.example>" in said and "<script>alert(1)</script>" in said


def test_numbers_of_the_report_are_those_of_the_run_under_the_filter(run):
    chosen = TokenFilter(sources=("code.txt",))
    found = report_of(run, chosen=chosen)
    assert found.about[0] == f"8 prompts, {run.counts.tokens:,} tokens."
    assert found.about[1] == "Only tokens count for which holds: source code.txt."
    read, layers = blocks(found, Table)[:2]
    assert [row[:2] for row in read.rows] == [["stories.txt", "4"], ["code.txt", "4"]]
    expected = paper_loops(run, chosen)
    assert [row[1] for row in layers.rows] == [f"{mean:.2f}" for mean in expected["mean_loops"]]
    assert {row[2] for row in layers.rows} == {"–"}, "four prompts are too few for an interval"
    names = [each.name for each in found.drawings]
    assert {"run_loops", "run_load", "paper_loops", "paper_words", "paper_cost"} <= {*names}
    assert "paper_cosine" not in names and len(blocks(found, Picture)) == 2
    assert not [each for each in found.drawings if "Click" in each.caption]
    for text in blocks(found, Text):
        number = int(text.caption.removeprefix("Prompt ").removesuffix("."))
        assert number % 2 == 1, "prompts of the other source"
        counts = [cell.fill != "" for cell in text.cells]
        assert all(counts)


def test_commands_and_code_of_the_report_make_it_again(run, tmp_path, monkeypatch):
    monkeypatch.chdir(run.folder.parent)
    chosen = TokenFilter(layer=2, loops=(1, 2))
    commands = {each.caption: each.text for each in blocks(report_of(run, chosen=chosen), Code)}
    made = commands["Make the run, where its sources are:"]
    assert made == f"{PROGRAM} run stories.txt code.txt --model tiny --out my_run"
    words = shlex.split(commands["Make this report:"].removeprefix(PROGRAM))
    assert main([*words[:-1], str(tmp_path / "report.html")]) == 0
    first = report(run, chosen=chosen)
    assert (tmp_path / "report.html").read_bytes() == first
    code = commands["The report in Python:"].replace('"report.html"', repr(str(tmp_path / "again.html")))
    exec(compile(code, "code", "exec"), {})
    assert (tmp_path / "again.html").read_bytes() == first


def test_tokens_chosen_on_the_map_are_named_as_what_the_commands_leave_out(run):
    chosen = TokenFilter(among=ChosenTokens([0, 1], [2, 2]))
    found = report_of(run, chosen=chosen)
    assert found.about[1] == "Only tokens count for which holds: 2 tokens chosen on the map."
    assert any("are in no command and no code" in each.text for each in blocks(found, Words))
    assert not [each for each in blocks(found, Code) if "--filter" in each.text or "TokenFilter" in each.text]


def test_the_run_is_called_by_one_name_and_its_sources_are_told_in_words(run):
    found = report_of(run, name="mine")
    assert found.title == "Run “mine”" and all("Run “mine”: " in each.caption for each in found.drawings)
    sources = next(each for each in blocks(found, Table) if each.columns[0] == "source" and len(each.columns) == 2)
    assert sources.rows == [["stories.txt", "–"], ["code.txt", "–"]]
    with Run(SHIPPED) as shipped:
        made = blocks(report_of(shipped, name="sample texts"), Code)
    assert "docs.make_sample_run" in made[0].text and "comes with this project" in made[0].caption


def test_the_command_tells_a_run_from_a_trace(run, tmp_path, capsys):
    out = tmp_path / "r.html"
    assert main(["report", str(run.folder), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"] == 7
    trace = tmp_path / "a.trace.safetensors"
    random_trace(layers=2, tokens=5).save(trace)
    for of, told in (
        ([str(run.folder), str(trace)], "a run stands alone"),
        ([str(tmp_path)], "is not a run: it has no manifest.json"),
        ([str(run.folder), "--filter", '{"expert": 99}'], "the expert must be from 0 to 7, got 99"),
        ([str(run.folder), "--filter", '{"others": [["colour", "red"]]}'], "the run has no column colour; it has kind"),
        ([str(trace), "--filter", "{}"], "--filter is of a run"),
    ):
        assert main(["report", *of, "--out", str(tmp_path / "new.html")]) == 2
        assert told in capsys.readouterr().err, of


def test_a_run_of_a_model_without_experts_has_a_report(tmp_path):
    traces = [random_trace(layers=2, tokens=20, seed=seed) for seed in range(2)]
    for trace in traces:
        trace.meta.update(parts=["depth"], gates_trained=False)
    with make_run(tmp_path / "run", traces, finished=False) as made:
        found = report_of(made)
    assert "not finished" in found.about[1]
    said = " ".join(each.text for each in blocks(found, Words))
    assert "untrained, so its routing is noise" in said
    assert not blocks(found, Picture)
    assert blocks(found, Table)[1].columns == ["layer", "mean loops", "95% from", "to"]
