"""The documentation: links lead somewhere, code runs, commands exist, and the site has a place for every page."""

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from analysis.export.files import numbered_trace, write_routing_table
from app.cli import parser
from docs import site_hooks
from tests.traces import random_trace

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "reference" not in path.relative_to(DOCS).parts)
READ = [ROOT / "README.md", *PAGES]
ELSEWHERE = ("data.md", "map.md", "runs.md", "adapters.md")
"""Pages whose code other tests run."""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Ids of a page's headings, as GitHub and the site make them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    heads = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", READ, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings_that_exist(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.is_file(), f"{page.name}: {link}"
            assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", READ, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_of_the_documentation_are_understood(page):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for line in "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["make"]:
            assert words[1] in targets, line
        if words and "app" in words and words[words.index("app") - 1] == "-m":
            asked = words[words.index("app") + 1 :]
            parser().parse_args(asked[: asked.index("|")] if "|" in asked else asked)


@pytest.fixture(scope="module")
def traced(tmp_path_factory) -> Path:
    """A folder with `traced/`, as a run of `trace` leaves it."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "traced").mkdir()
    names = ["sum 1", "sum 2", "story 1", "story 2", "story 3"]
    traces = [random_trace(layers=2, tokens=24, seed=seed) for seed in range(5)]
    for number, (name, trace) in enumerate(zip(names, traces, strict=True)):
        trace.meta["prompt_id"] = name
        trace.save(numbered_trace(folder / "traced", number))
    write_routing_table(folder / "traced" / "routing.parquet", traces)
    return folder


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name not in ELSEWHERE and blocks(page, "python")],
    ids=lambda page: page.relative_to(DOCS).as_posix(),
)
def test_code_of_the_documentation_runs(page, traced, monkeypatch, capsys):
    monkeypatch.chdir(traced)
    names: dict = {}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)
    assert capsys.readouterr().out.strip()


def test_every_page_has_a_place_in_the_site():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    nav = [
        page
        for entry in config["nav"]
        for each in entry.values()
        for page in (each if isinstance(each, list) else [each])
    ]
    named = [page if isinstance(page, str) else next(iter(page.values())) for page in nav]
    found = {page.relative_to(DOCS).as_posix() for page in PAGES}
    assert len(named) == len(set(named)) and set(named) == found


def test_the_help_of_every_command_is_on_its_page_and_needs_no_package():
    code = "from docs import site_hooks; print(site_hooks.on_page_markdown('a\\n\\n<!-- commands -->'))"
    made = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.findall(r"^## (\S+)$", made.stdout, flags=re.MULTILINE)[:3] == ["serve", "trace", "generate"]
    assert "--id-column" in made.stdout and site_hooks.MARK not in made.stdout
    assert site_hooks.MARK in (DOCS / "command-line.md").read_text(encoding="utf-8")


def test_what_the_python_page_shows_exists_and_has_words():
    shown = re.findall(r"^::: ([\w.]+)$", (DOCS / "python.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(shown) > 20
    for path in shown:
        module, _, name = path.rpartition(".")
        held = importlib.import_module(module)
        found = getattr(held, name, None) or importlib.import_module(path)
        assert found.__doc__, path
