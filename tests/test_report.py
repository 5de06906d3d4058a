"""Reports: one HTML file of a text or a comparison that says what the traces say, and holds nothing that could run."""

import base64
import hashlib
import json
import re
import shlex
from html.parser import HTMLParser

import numpy as np
import pypdfium2
import pytest

from analysis.answers import answers
from analysis.catalogue import CATALOGUE
from analysis.compare.pair import TracePair
from analysis.export.pictures import PictureError
from analysis.export.printing import pdf
from analysis.export.report import report, report_of
from analysis.export.report_page import Code, Table, Text, Words
from analysis.export.reproduce import PROGRAM
from analysis.view import View
from app.cli import main
from hooks.interventions import ForceLoops
from hooks.trace import RoutingTrace
from tests.browser_setup import find_browser
from tests.traces import HOSTILE, make_trace, random_trace

TAGS = (
    *("html", "head", "meta", "title", "style", "body", "main", "header", "h1", "h2", "h3", "p", "nav", "ol", "li"),
    *("a", "section", "div", "span", "b", "pre", "code", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("details", "summary", "figure", "figcaption", "footer", "script"),
)


class Read(HTMLParser):
    """Tags, attributes, words and scripts of a page."""

    def __init__(self, page: bytes):
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(page.decode("utf-8"))
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def of(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def blocks(found, kind: type) -> list:
    return [block for section in found.sections for block in section.blocks if isinstance(block, kind)]


def hostile(**how) -> RoutingTrace:
    trace = random_trace(layers=3, tokens=len(HOSTILE), words=HOSTILE, **how)
    trace.meta["model"] = "<img src=https://evil.example/x onerror=alert(1)>"
    return trace


@pytest.mark.parametrize("of", [hostile(), TracePair(hostile(), hostile(seed=1))], ids=["text", "comparison"])
def test_a_report_holds_no_address_and_no_script_but_its_own_whatever_the_tokens_are(of):
    read = Read(report(of, name="<script>alert(2)</script>"))
    assert {tag for tag, _ in read.tags} <= {*TAGS}
    for tag, attributes in read.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in {"src", "href", "srcset", "action", "data", "poster"} & attributes.keys():
            assert attributes[name].startswith("#"), (tag, attributes[name])
        assert "url(" not in attributes.get("style", "")
    said = "".join(read.words)
    for token in HOSTILE[:8]:
        assert token.lstrip("␣") in said, token
    assert "<img src=https://evil.example/x onerror=alert(1)>" in said


def test_the_policy_of_a_report_allows_its_two_scripts_and_no_network():
    page = report(random_trace(layers=2, tokens=5)).decode("utf-8")
    (policy,) = [each["content"] for each in Read(page.encode()).of("meta") if "http-equiv" in each]
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts]
    assert len(scripts) == 2 and policy.startswith("default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'")
    assert policy.endswith("script-src " + " ".join(f"'sha256-{each}'" for each in hashes))
    css = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in css and "@import" not in css and "http" not in css


def test_figures_of_a_report_are_those_of_the_catalogue_with_their_data():
    trace = random_trace(layers=3, tokens=30)
    page, found = report(trace, View(1, 4)).decode("utf-8"), report_of(trace, View(1, 4))
    stored = re.findall(r'<script type="application/json" class="figure" data-place="drawn-(\w+)">(.*?)</script>', page)
    drawn = {name: json.loads(content) for name, content in stored}
    assert list(drawn) == [each.name for each in CATALOGUE if each.of is RoutingTrace and each.why_not(trace) is None]
    (cells,) = [each for each in drawn["loop_map"]["data"] if each["type"] == "heatmap"]
    values = np.frombuffer(base64.b64decode(cells["z"]["bdata"]), cells["z"]["dtype"]).reshape(3, 30)
    np.testing.assert_array_equal(values + 1 if values.min() == 0 else values, trace.loops)
    assert drawn["loop_map"]["layout"]["width"] == pytest.approx(180 / 25.4 * 96 * 9 / 7)
    assert {each.name: each.caption for each in found.drawings}.keys() == drawn.keys()
    assert "Selected: token 4" in found.drawings[0].caption


def test_answers_tables_and_tokens_of_a_report_are_those_of_the_trace():
    trace = random_trace(layers=3, tokens=9)
    found = report_of(trace, View(1, 4), colour_by="Loops", of_layer=True)
    (section,) = [each for each in found.sections if each.heading == "What the pages find"]
    assert [each.text for each in section.blocks] == [each.text for each in answers((trace,), View(1, 4)).values()]
    layers, tokens = blocks(found, Table)[:2]
    assert [row[1] for row in layers.rows] == [f"{mean:.2f}" for mean in trace.loops.mean(axis=1)]
    assert [row[1] for row in tokens.rows] == trace.tokens
    assert tokens.rows[0][-1] == "–" and tokens.rows[1][-1] == f"{trace.surprisal[1]:.2f}"
    (text,) = blocks(found, Text)
    assert [cell.badge for cell in text.cells] == [str(loops) for loops in trace.loops[1]]
    assert (
        text.cells[4].told == f"token 4, loops in layer 1 {trace.loops[1, 4]}, surprisal {trace.surprisal[4]:.1f} nats"
    )


def test_what_did_not_route_is_hatched_and_counted_as_such():
    trace = make_trace(loops=[[4, 4], [4, 1]])
    found = report_of(trace, View(1), colour_by="Experts")
    (text,) = blocks(found, Text)
    assert [cell.look for cell in text.cells] == ["hatched", ""]
    shares = [row[4] for row in blocks(found, Table)[0].rows]
    assert shares == ["1.00", "0.50"]


def test_a_report_says_under_which_interventions_its_text_was_read():
    forced = make_trace()
    forced.meta["interventions"] = [{"kind": "ForceLoops", "loops": 4}]
    found = report_of(forced)
    said = " ".join(each.text for each in blocks(found, Words))
    assert "Under interventions, not the model's own routing: 4 loops, λ follows; all layers, all tokens." in said
    commands = [each.text for each in blocks(found, Code)]
    assert (
        json.loads(commands[0]) == [{"kind": "ForceLoops", "loops": 4, "gate": "follows"}]
        and "--intervene" in commands[1]
    )
    assert ForceLoops(4) == forced.interventions[0]


def words_of(page: bytes) -> bytes:
    """The page without its figures and its name: a file names its text otherwise."""
    return re.sub(rb"<h1>.*?</h1>|<title>.*?</title>|<script.*?</script>|<footer>.*", b"", page, flags=re.DOTALL)


@pytest.mark.parametrize("text", ["7 + 5 = 12", "-o 'quoted' \"text\"\n<b>&amp; $x$ \\ `x`", "word " * 500])
def test_commands_and_code_of_a_report_make_it_again(text, tmp_path, monkeypatch):
    from hooks import capture
    from sample_models import load_model

    monkeypatch.chdir(tmp_path)
    trace = capture(load_model("versatile-4l-0.4m"), text)
    view = View(2, 3)
    first = report(trace, view, colour_by="Loops")
    commands = blocks(report_of(trace, view, colour_by="Loops"), Code)
    for each in commands:
        if each.caption == "text.txt:":
            (tmp_path / "text.txt").write_text(each.text, "utf-8")
    for each in commands:
        if each.text.startswith(PROGRAM):
            assert main(shlex.split(each.text.removeprefix(PROGRAM))) == 0
    again = words_of((tmp_path / "report.html").read_bytes())
    if len(trace.windows) == 1:
        assert again == words_of(first)
    else:  # windows that are read in a batch have other last digits
        assert re.sub(rb"\d", b"", again) == re.sub(rb"\d", b"", words_of(first))
    (code,) = [each.text for each in commands if each.caption == "The same in Python:"]
    (tmp_path / "report.html").unlink()
    exec(compile(code, "code", "exec"), {})
    assert (tmp_path / "report.html").read_bytes() == first


def test_code_of_a_comparison_makes_its_report_again(tmp_path, monkeypatch):
    from hooks import capture
    from sample_models import load_model

    monkeypatch.chdir(tmp_path)
    loaded = load_model("versatile-4l-0.4m")
    pair = TracePair(capture(loaded, "A fox ran."), capture(loaded, "A wolf ran away."))
    first = report(pair, View(1))
    commands = blocks(report_of(pair, View(1)), Code)
    for each in commands[:-1]:
        assert main(shlex.split(each.text.removeprefix(PROGRAM))) == 0
    assert b"A wolf ran away." in (tmp_path / "report.html").read_bytes()
    exec(compile(commands[-1].text, "code", "exec"), {})
    assert (tmp_path / "report.html").read_bytes() == first


def test_the_command_says_the_size_and_replaces_nothing_unasked(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random_trace(layers=2, tokens=6).save(tmp_path / "a.trace.safetensors")
    assert main(["report", "a.trace.safetensors", "--out", "r.html", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bytes"] == (tmp_path / "r.html").stat().st_size > 4e6 and told["figures"] > 20
    assert main(["report", "a.trace.safetensors", "--out", "r.html"]) == 2
    assert "r.html exists: choose another name, or add --overwrite" in capsys.readouterr().err
    assert main(["report", "a.trace.safetensors", "--out", "r.docx"]) == 2
    assert "--out must end in .html or .pdf" in capsys.readouterr().err
    monkeypatch.setenv("BROWSER_PATH", "/nowhere")
    monkeypatch.setattr("analysis.export.printing.browser_path", lambda: None)
    assert main(["report", "a.trace.safetensors", "--out", "r.pdf"]) == 2
    assert "none was found on this machine. The report as HTML needs none" in capsys.readouterr().err
    assert not (tmp_path / "r.pdf").exists()


@pytest.mark.browser
def test_a_report_as_pdf_is_pages_of_paper_with_its_words_and_figures(monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", find_browser())
    trace = random_trace(layers=3, tokens=20)
    document = pypdfium2.PdfDocument(pdf(report_of(trace, name="A name")))
    assert len(document) > 5 and {tuple(map(round, page.get_size())) for page in document} == {(595, 842)}
    words = " ".join(page.get_textpage().get_text_range() for page in document)
    for part in ("A name", "What the pages find", "width share", "mean over layers", "SHA-256 of the weights"):
        assert part in words, part
    document.close()


def test_a_browser_that_does_not_start_is_told_in_a_sentence(monkeypatch):
    monkeypatch.setattr("analysis.export.printing.browser_path", lambda: "/bin/false")
    with pytest.raises(PictureError, match="^/bin/false did not print the report"):
        pdf(report_of(make_trace()))
