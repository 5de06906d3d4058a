"""The house rules that a machine can check: imports flow one way, the README is true, nothing is left behind."""

import ast
import re
from pathlib import Path

import pytest

from tests import source_rules

ROOT = Path(__file__).parents[1]
STREET = ["sample_models", "hooks", "analysis", "app"]
"""Each imports only from itself and from those before it."""
ROOMS = (
    *("app", "app.views", "app.frame", "app.parts", "app.components", "app.session", "app.server", "app.texts"),
    "app.limits",
    *("analysis.export", "analysis.catalogue", "analysis.figures", "analysis.answers", "analysis.runs"),
    "analysis.models",
    *(
        "analysis.texts",
        "analysis.explain",
        "analysis.compare",
        "analysis.what_if",
        "analysis.words",
        "analysis",
        "hooks",
    ),
    *("sample_models.family", "sample_models.distil", "sample_models"),
)
"""The highest first: each imports only from itself and from those below. A package stands for its own files, those of
rooms in it apart: "app" is the entry and the command line, "analysis" the four subjects and what they share."""
LEFT_OUT = {
    "sample_models": ("streamlit", "transformer_lens"),
    "hooks": ("streamlit",),
    "analysis": ("streamlit", "transformer_lens", "transformers", "torch"),
}
"""Libraries that a package does without, and does not reach through another one either."""
CAPTURES = (
    *("app.server.captures", "app.server.comparisons", "app.server.forced_depth", "app.server.generations"),
    *("app.server.gate_placements", "app.server.knock_outs", "app.server.run_paths", "app.server.own_runs"),
)
"""What runs models for visitors, who wait for their turn."""
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def modules() -> source_rules.Modules:
    """Every module of the four packages."""
    found = source_rules.parsed(ROOT, STREET)
    assert len(found) > 150 and not set(STREET) - found.keys()
    return found


def test_no_modules_import_each_other_in_a_circle(modules):
    assert source_rules.import_cycles(modules) == set(), "these import each other, or what does"


def test_no_room_imports_a_higher_one(modules):
    assert sum(map(len, source_rules.import_graph(modules).values())) > 500
    assert source_rules.upward_imports(modules, ROOMS) == set()


def test_every_folder_of_python_is_a_room_or_in_one(modules):
    folders = {module.rpartition(".")[0] for module in modules if "." in module}
    assert {folder for folder in folders if folder.count(".") < 2} <= set(ROOMS)


@pytest.mark.parametrize("room", LEFT_OUT)
def test_a_package_reaches_no_library_that_belongs_above_it(modules, room):
    for library in LEFT_OUT[room]:
        found = {module for module in source_rules.importers_of(modules, library) if module.split(".")[0] == room}
        assert found == set(), f"{library} is imported"


def test_what_says_that_it_is_without_streamlit_is_so(modules):
    says_so = {module for module, tree in modules.items() if "No Streamlit." in (ast.get_docstring(tree) or "")}
    assert says_so >= {"app.server.result_cache", "app.server.fair_queue"}
    assert says_so & source_rules.importers_of(modules, "streamlit") == set()


def test_analysis_writes_files_in_its_exports_and_runs_alone(modules):
    written = {module for module in source_rules.writing_files(modules) if module.split(".")[0] == "analysis"}
    in_runs = {"analysis.runs.folder", "analysis.runs.manifest", "analysis.runs.writing"}
    assert written == {"analysis.export.files", *in_runs}


def test_session_state_is_touched_in_the_sessions_room_alone(modules):
    rooms = {module.rpartition(".")[0] for module in source_rules.modules_naming(modules, "session_state")}
    assert rooms == {"app.session"}


def test_models_are_run_by_captures_and_the_command_line_alone(modules):
    runs = {
        "app.server.models",
        *CAPTURES,
        "app.cli_loading",
        "app.cli_models",
        "app.cli_trace",
        "app.cli_run",
        "app.cli_generate",
        "app.cli_paper",
    }  # the first only loads
    assert source_rules.running_models(modules) == runs


def test_every_capture_of_the_app_takes_a_turn_at_the_models(modules):
    assert [source_rules.outside_the_queue(modules, module) for module in CAPTURES] == [set()] * len(CAPTURES)


def test_what_a_saved_model_takes_along_needs_nothing_else_of_this_package(modules):
    from sample_models.configuration_versatile import CODE

    shipped = {f"sample_models.{name}" for name in source_rules.SHIPPED}
    assert source_rules.SHIPPED == CODE
    assert set().union(*(source_rules.import_graph(modules)[module] for module in shipped)) <= shipped


def test_folders_named_in_the_readme_exist():
    named = set(re.findall(r"`([\w./-]+/)`", README))
    assert named >= {f"{room}/" for room in STREET}
    assert {path for path in named if not (ROOT / path).is_dir()} == set()


def test_readme_begins_with_a_picture_that_exists():
    picture = re.match(r"#[^\n]*\n+!\[[^\]]+\]\(([^)]+)\)", README)
    assert picture and (ROOT / picture.group(1)).is_file()


def test_readme_python_runs(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_make_targets_of_the_readme_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"make (\w+)", README))
    assert {"run", "test"} <= named <= targets


def test_every_requirement_is_pinned_and_used(modules):
    pins = dict(line.lower().split("==") for line in (ROOT / "requirements.txt").read_text().split())
    imported = {name for tree in modules.values() for name in source_rules.libraries(tree)}
    imported |= {"pyarrow", "gguf"}  # pandas writes Parquet, and transformers reads GGUF files, through them
    other_names = {"pyyaml": "yaml", "pillow": "PIL", "scikit-learn": "sklearn", "umap-learn": "umap"}
    assert {other_names.get(name, name.replace("-", "_")) for name in pins} <= imported


def test_what_the_reference_shows_has_words(modules):
    """`make reference` is made of the docstrings."""
    shown = {module: tree for module, tree in modules.items() if module.split(".")[0] != "app"}
    assert {module for module, tree in shown.items() if not ast.get_docstring(tree)} == set()
    silent = {module: source_rules.undocumented(tree) for module, tree in shown.items()}
    assert {module: names for module, names in silent.items() if names} == {}


MOST_LINES, MOST_LINES_OF_A_FUNCTION = 350, 60


def test_no_file_of_python_is_too_long_to_read():
    paths = [
        path for folder in (*STREET, "benchmarks", "docs", "package", "tests") for path in (ROOT / folder).rglob("*.py")
    ]
    assert len(paths) > 200
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines()) for path in paths}
    assert not {path for path, length in lengths.items() if length > MOST_LINES}


def test_no_function_is_longer_than_a_screen(modules):
    lengths = {
        f"{module}.{node.name}": node.end_lineno - node.lineno + 1
        for module, tree in modules.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert len(lengths) > 1000
    assert not {name for name, length in lengths.items() if length > MOST_LINES_OF_A_FUNCTION}
