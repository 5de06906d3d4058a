"""The house rules that a machine can check: imports flow one way, the README is true, nothing is left behind."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STREET = ["sample_models", "hooks", "analysis", "app"]
"""Each imports only from itself and from those before it."""
ROOMS = (
    *("app", "app.views", "app.frame", "app.parts", "app.components", "app.session", "app.server", "app.texts"),
    *("analysis.leaving", "analysis.catalogue", "analysis.figures", "analysis.models", "analysis.texts"),
    *(
        "analysis.explain",
        "analysis.words",
        "analysis",
        "hooks",
        "sample_models.family",
        "sample_models.distil",
        "sample_models",
    ),
)
"""The highest first: each imports only from itself and from those below. A package stands for its own files, those of
rooms in it apart: "app" is the entry and the command line, "analysis" the four subjects and what they share."""
README = (ROOT / "README.md").read_text(encoding="utf-8")


def imports_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize("room", STREET)
def test_imports_flow_one_way(room):
    forbidden = set(STREET[STREET.index(room) + 1 :])
    if room == "analysis":
        forbidden |= {"torch", "streamlit", "transformers", "transformer_lens"}
    if room in ("sample_models", "hooks"):
        forbidden |= {"streamlit"}
    if room == "sample_models":
        forbidden |= {"transformer_lens"}
    for path in (ROOT / room).rglob("*.py"):
        assert not imports_of(path) & forbidden, path


def modules() -> dict[str, ast.Module]:
    """Every module of the four packages, parsed, by its dotted name."""
    found = {}
    for path in (path for package in STREET for path in (ROOT / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found[name] = ast.parse(path.read_text(encoding="utf-8") + late_imports(path))
    return found


def late_imports(path: Path) -> str:
    """What a package imports when its names are first used, as its stub lists it; empty where there is no stub."""
    stub = path.with_suffix(".pyi")
    return re.sub(r"^from \.", f"from {path.parent.name}.", stub.read_text(), flags=re.M) if stub.exists() else ""


def import_graph() -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports, at its top, in a function, or for its types alone.

    A package that resolves names late (`hooks`, `sample_models`) imports them as far as this is concerned.
    """
    known = modules()

    def imported(tree: ast.Module):
        for node in ast.walk(tree):
            assert not (isinstance(node, ast.ImportFrom) and node.level), "imports are absolute"
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    name = f"{node.module}.{alias.name}"
                    yield name if name in known else node.module

    return {module: {name for name in imported(tree) if name in known} for module, tree in known.items()}


def room_of(module: str) -> int:
    """Place in ROOMS: the innermost one that holds the module."""
    while module not in ROOMS:
        module = module.rpartition(".")[0]
    return ROOMS.index(module)


def test_no_import_circles():
    rest = import_graph()
    assert len(rest) > 150
    while leaves := {module for module, imports in rest.items() if not imports & rest.keys()}:
        rest = {module: imports for module, imports in rest.items() if module not in leaves}
    assert not rest, "these import each other, or what does"


def test_no_room_imports_a_higher_one():
    arrows = [(module, name) for module, imports in import_graph().items() for name in imports]
    assert len(arrows) > 500
    assert not [(module, name) for module, name in arrows if room_of(module) > room_of(name)]


def test_every_folder_of_python_is_a_room_or_in_one():
    folders = {module.rpartition(".")[0] for module in modules() if "." in module}
    assert {folder for folder in folders if folder.count(".") < 2} <= set(ROOMS)


def test_only_the_sessions_room_touches_session_state():
    touching = set()
    for module, tree in modules().items():
        for node in ast.walk(tree):
            if "session_state" in (getattr(node, "attr", None), getattr(node, "id", None), getattr(node, "name", None)):
                touching.add(module)
    assert touching
    assert {module.rpartition(".")[0] for module in touching} == {"app.session"}


def test_only_what_visitors_share_and_the_command_line_touch_models():
    for path in (ROOT / "app").rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        if path.relative_to(ROOT / "app").as_posix() not in ("server/captures.py", "server/models.py", "cli.py"):
            assert "load_model" not in source and "capture(" not in source, path


@pytest.mark.parametrize("path", re.findall(r"`([\w./-]+/)`", README))
def test_folders_named_in_the_readme_exist(path):
    assert (ROOT / path).is_dir()


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
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make (\w+)", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_every_requirement_is_pinned_and_used():
    pins = dict(line.lower().split("==") for line in (ROOT / "requirements.txt").read_text().split())
    imported = {name for room in STREET for path in (ROOT / room).rglob("*.py") for name in imports_of(path)}
    imported |= {"pyarrow", "gguf"}  # pandas writes Parquet, and transformers reads GGUF files, through them
    other_names = {"pyyaml": "yaml", "pillow": "PIL", "scikit-learn": "sklearn", "umap-learn": "umap"}
    assert {other_names.get(name, name.replace("-", "_")) for name in pins} <= imported


def silent_definitions(path: Path) -> set[str]:
    """Classes and functions that a file makes public without a word (of overloads, one has to speak)."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    assert ast.get_docstring(tree), path
    public = set(re.findall(r'"(\w+)"', source.partition("__all__ = ")[2]))
    defined = [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    return public & {node.name for node in defined} - {node.name for node in defined if ast.get_docstring(node)}


@pytest.mark.parametrize("room", STREET[:-1])
def test_what_the_reference_shows_has_words(room):
    """`make reference` is made of the docstrings."""
    silent = {path.name: silent_definitions(path) for path in (ROOT / room).rglob("*.py")}
    assert not {path: names for path, names in silent.items() if names}


MOST_LINES, MOST_LINES_OF_A_FUNCTION = 350, 60
LONG_FILES = {"analysis/figures/template.py"}
LONG_FUNCTIONS = {
    "analysis.figures.difficulty.difficulty_surprisal_figure",
    "analysis.figures.experts.expert_path_figure",
    "analysis.figures.explain.attention.attention_map_figure",
    "analysis.figures.explain.cost.cost_ledger_figure",
    "analysis.figures.explain.geometry.first_loop_figure",
    "analysis.figures.explain.ledger.write_stack_figure",
    "analysis.figures.explain.ledger.write_waterfall_figure",
    "analysis.figures.models.training.training_course_figure",
    "analysis.figures.overview.compute_map_figure",
}
"""Still to be split."""


def test_no_file_of_python_is_too_long_to_read():
    paths = [path for folder in (*STREET, "benchmarks", "docs") for path in (ROOT / folder).rglob("*.py")]
    assert len(paths) > 200
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines()) for path in paths}
    assert {path for path, length in lengths.items() if length > MOST_LINES} <= LONG_FILES


def test_no_function_is_longer_than_a_screen():
    lengths = {
        f"{module}.{node.name}": node.end_lineno - node.lineno + 1
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert len(lengths) > 1000
    assert {name for name, length in lengths.items() if length > MOST_LINES_OF_A_FUNCTION} <= LONG_FUNCTIONS
