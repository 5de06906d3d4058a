"""Installed, the explorer works anywhere, also beside another `hooks` and `app`; and what it needs is stated once."""

import ast
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import time
import tomllib
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.cli import main, parser
from app.cli_inputs import EXTRAS
from tests import source_rules
from tests.app_server import free_port

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "package"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FOREIGN = 'raise SystemExit("this is another package of this name")\n'
USED_IN_PYTHON = """
import sys
from pathlib import Path
from versatileffn.app.cli import main
assert main(["trace", "7 + 5 = 12", "--model", "versatile-4l-0.4m", "--out", "traced"]) == 0
assert Path("traced/routing.parquet").is_file()

from streamlit.testing.v1 import AppTest
import versatileffn
from versatileffn.analysis import figures
from versatileffn.analysis.catalogue import spec
from versatileffn.analysis.export.snippet import snippet
from versatileffn.analysis.view import View
from versatileffn.hooks import HookedVersatileFFN, capture
from versatileffn.sample_models import load_model

loaded = load_model("versatile-4l-0.4m")
trace = capture(loaded, "Once upon a time")
code = snippet(spec("gate_map"), trace, View())
assert "from versatileffn.hooks import capture" in code, code
exec(code)
assert Path("gate_map.html").is_file()

from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline
folder = loaded.folder
assert type(AutoModelForCausalLM.from_pretrained(folder)).__module__.startswith("versatileffn.")
written = pipeline("text-generation", model=str(folder))("Once upon a time", max_new_tokens=3, do_sample=False)
assert written[0]["generated_text"].startswith("Once upon a time")
model, tokenizer = (each.from_pretrained(folder) for each in (AutoModelForCausalLM, AutoTokenizer))
assert (capture(model, "Once upon a time", tokenizer=tokenizer).loops == trace.loops).all()

page = AppTest.from_file(str(Path(versatileffn.__file__).parent / "main.py"), default_timeout=60).run()
assert not page.exception, page.exception
assert page.title or page.header or page.subheader
ours = ("sample_models", "hooks", "analysis", "app")
assert not [name for name in sys.modules if name.split(".")[0] in ours]
"""


def rewritten(source: str) -> str:
    """The source as the wheel has it."""
    code = f"import sys; sys.path.insert(0, {str(PACKAGE / 'versatileffn')!r}); import rewriting; "
    code += "print(rewriting.rewritten(sys.stdin.read()), end='')"
    done = subprocess.run([sys.executable, "-c", code], input=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_imports_and_commands_are_rewritten_and_no_line_moves():
    source = '''"""Run `python -m app check`, or python -m hooks.x; python -m app.server.y and python -m docs.z."""
import hooks
import json, re
import app.server.web as web
from hooks.trace import (
    RoutingTrace,
)
from . import near
from apples import hooks as theirs
def f(): "é"; from analysis import figures; from app import cli
'''
    assert rewritten(source) == (
        '"""Run `versatileffn check`, or python -m versatileffn.hooks.x; python -m versatileffn.app.server.y and '
        'python -m docs.z."""\n'
        "from versatileffn import hooks\nimport json, re\nimport versatileffn.app.server.web as web\n"
        "from versatileffn.hooks.trace import (\n    RoutingTrace,\n)\nfrom . import near\n"
        "from apples import hooks as theirs\n"
        'def f(): "é"; from versatileffn.analysis import figures; from versatileffn.app import cli\n'
    )


def test_import_that_cannot_be_rewritten_is_refused():
    with pytest.raises(AssertionError, match="line 2: write `from hooks import trace` instead"):
        rewritten("import json\nimport hooks.trace\n")


def test_no_string_is_the_name_of_a_module_that_installing_renames():
    modules = source_rules.parsed(ROOT, ["sample_models", "hooks", "analysis", "app"])
    dotted = {name for name in modules if "." in name}
    named = {
        f"{module}:{node.lineno}: {node.value}"
        for module, tree in modules.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value in dotted or node.value.endswith("python -m ")
    }
    assert named == set(), "build the name from __package__; keep `python -m` and its module on one line"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from the source distribution as a package index would have it."""
    made = tmp_path_factory.mktemp("built")

    def build(kind: str, folder: Path) -> Path:
        command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(made)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        (built,) = made.glob("*.tar.gz" if kind == "sdist" else "*.whl")
        return built

    with tarfile.open(build("sdist", ROOT)) as archive:
        archive.extractall(made, filter="data")
    (source,) = (path for path in made.iterdir() if path.is_dir())
    for weights in [*source.rglob("update-*.safetensors"), *source.rglob("step-*.safetensors")]:
        weights.unlink()  # two thirds of the wheel, that no test here reads
    return build("wheel", source)


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """Folder of the commands of a new virtual environment with the wheel; its libraries are those of the tests."""
    venv = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (packages,) = venv.glob("lib/*/site-packages") if os.name == "posix" else [venv / "Lib" / "site-packages"]
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    commands = venv / ("bin" if os.name == "posix" else "Scripts")
    pip = [sys.executable, "-m", "pip", "--python", str(commands / "python"), "install", "--quiet", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--no-compile", "--disable-pip-version-check", str(wheel)], check=True)
    return commands


@pytest.fixture
def foreign_folder(tmp_path, monkeypatch) -> Path:
    """The working folder, with a `hooks` and an `app` of somebody else."""
    for name in ("hooks", "app", "analysis", "sample_models"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(FOREIGN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return tmp_path


def test_wheel_holds_what_the_app_reads(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    needed = ["py.typed", "app/.streamlit/config.toml", "app/components/token_strip.js", "hooks/__init__.pyi"]
    needed += ["docs/reproduction/members.csv", "app/assets/examples/fox.trace.safetensors"]
    needed += [
        f"sample_models/checkpoints/{each}/model.safetensors" for each in ("versatile-4l-0.4m", "versatile-6l-4m")
    ]
    assert {f"versatileffn/{name}" for name in needed} <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"versatileffn"}  # nothing beside it
    beside = {"package", "tests", "benchmarks", "checkout.py", "rewriting.py"}
    assert not beside & {part for name in names for part in name.split("/")[1:2]}


def test_installed_package_traces_captures_draws_and_shows_its_first_page(installed, foreign_folder):
    """The working folder comes first on the path, as in a notebook, so that the foreign packages would be found."""
    done = subprocess.run([installed / "python", "-c", USED_IN_PYTHON], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_installed_command_serves(installed, foreign_folder):
    port = free_port()
    with open("log.txt", "w") as log:
        server = subprocess.Popen([installed / "versatileffn", "serve", "--port", str(port)], stdout=log, stderr=log)
    try:
        health = _asked(f"http://127.0.0.1:{port}/_stcore/health", server)
        page = _asked(f"http://127.0.0.1:{port}/", server)
    finally:
        server.terminate()
        server.wait(20)
    assert health == b"ok" and b'id="root"' in page


def _asked(address: str, server: subprocess.Popen) -> bytes:
    """The answer, once the server gives one."""
    while server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                return answer.read()
        except urllib.error.URLError:  # it does not listen yet
            time.sleep(0.1)
    raise AssertionError(Path("log.txt").read_text())


def test_editable_install_finds_the_checkout(foreign_folder):
    """The .pth of an editable install holds `package/`; the rewritten modules keep their byte code apart."""
    code = (
        "import sys; from versatileffn.hooks.trace import RoutingTrace; import versatileffn.app.cli as cli; "
        "print(RoutingTrace.__module__, RoutingTrace.load.__code__.co_filename, cli.parser().prog); "
        "assert not {'hooks', 'app'} & sys.modules.keys()"
    )
    for _ in range(2):  # compiled, then from its byte code
        found = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.append({str(PACKAGE)!r}); {code}"],
            capture_output=True,
            text=True,
        )
        assert found.stdout.split() == ["versatileffn.hooks.trace", str(ROOT / "hooks" / "trace.py"), "versatileffn"], (
            found.stderr
        )


def test_command_names_itself_as_it_was_called():
    assert parser().prog == "python -m app"


def test_library_of_an_extra_that_is_missing_is_told_in_a_line(capsys, monkeypatch):
    def missing(_: object) -> None:
        raise ModuleNotFoundError("No module named 'streamlit'", name="streamlit.web")

    monkeypatch.setattr("app.cli.serve", missing)
    assert main(["serve"]) == 2
    assert capsys.readouterr().err == (
        "this needs streamlit, which is not installed: pip install 'versatileffn[app]' brings it\n"
    )
    assert set(EXTRAS.values()) <= PROJECT["optional-dependencies"].keys()


def ranges() -> dict[str, Requirement]:
    """Name -> what pyproject.toml asks for, extras and all."""
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    wanted = map(Requirement, (each for one in lists for each in one))
    return {canonicalize_name(each.name): each for each in wanted if each.name != PROJECT["name"]}


def pins(path: Path) -> dict[str, str]:
    """Name -> version of a list of pins."""
    pairs = (line.split("==") for line in path.read_text().split())
    return {canonicalize_name(name): version for name, version in pairs}


def test_every_range_has_a_floor_and_every_pin_lies_in_its_range():
    asked, pinned, lock = ranges(), pins(ROOT / "requirements.txt"), pins(ROOT / "constraints.txt")
    assert all(re.fullmatch(r">=[\d.]+", str(each.specifier)) for each in asked.values())  # a cap would bind others
    assert asked.keys() - pinned.keys() == {"pip", "jinja2", "starlette", "datasets", "ray"}
    # of Python's own, of torch, of Streamlit, of TransformerLens; Ray has a venv of its own
    assert pinned.keys() <= asked.keys()
    for name, each in asked.items():
        if name not in ("pip", "ray"):
            assert each.specifier.contains(lock[name]), f"{name} {lock[name]}"
    assert pinned.items() <= lock.items()


def test_core_asks_for_nothing_of_the_app():
    core = {canonicalize_name(Requirement(each).name) for each in PROJECT["dependencies"]}
    assert not core & {"streamlit", "starlette", "transformer-lens", "kaleido", "pillow", "umap-learn", "gguf"}
