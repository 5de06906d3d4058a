"""Each rule of the house finds a violation that is planted in a small tree, and none in the tree without it."""

import pytest

from tests import source_rules
from tests.source_rules import Modules

HOUSE = {
    "hooks/__init__.py": "import typing\nif typing.TYPE_CHECKING:\n    from hooks.capturing import capture\n",
    "hooks/capturing.py": "import torch\ndef capture(): ...\ndef capture_bytes(): ...\n",
    "hooks/trace.py": "class RoutingTrace: ...\n",
    "analysis/__init__.py": "",
    "analysis/gate.py": "from hooks import RoutingTrace\n",
    "app/__init__.py": "",
    "app/server/__init__.py": "",
    "app/server/captures.py": "@cached(8, 'Tracing')\ndef trace_of():\n    from hooks import capture\n",
    "app/server/models.py": "def loaded_model():\n    import hooks.capturing\n",
    "app/session/__init__.py": "",
    "app/session/state.py": "import streamlit as st\nst.session_state.a = 1\n",
    "app/views/page.py": "from app.session import state\nfrom hooks.trace import RoutingTrace\n",
}
ROOMS = ("app.views", "app.session", "app.server", "app", "analysis", "hooks")


@pytest.fixture
def house(tmp_path):
    """A small house of the same rooms; files that are given come on top, or in place of its own."""

    def built(**files: str) -> Modules:
        for path, content in (HOUSE | {f"{name.replace('__', '/')}.py": text for name, text in files.items()}).items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(content, encoding="utf-8")
        return source_rules.parsed(tmp_path, ("hooks", "analysis", "app"))

    return built


@pytest.mark.parametrize(
    "imports",
    [
        "import app.views.page",
        "from app.views import page",
        "def late():\n    from app.views.page import state",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import app.views.page",
        "from importlib import import_module\nimport_module('app.views.page')",
    ],
)
def test_an_import_of_a_higher_room_and_a_circle_are_found_however_they_are_written(house, imports):
    plain = house()
    assert source_rules.upward_imports(plain, ROOMS) == source_rules.import_cycles(plain) == set()
    planted = house(app__session__state=imports)
    assert source_rules.upward_imports(planted, ROOMS) == {("app.session.state", "app.views.page")}
    assert source_rules.import_cycles(planted) == {"app.session.state", "app.views.page"}


def test_a_relative_import_and_a_module_in_no_room_are_refused(house):
    with pytest.raises(ValueError, match="line 2: imports must be absolute"):
        source_rules.import_graph(house(app__session__state="\nfrom . import other\n"))
    with pytest.raises(ValueError, match="app.server.* is in none of the rooms"):
        source_rules.upward_imports(house(app__session__state=""), ("app.views", "app.session", "analysis", "hooks"))


def test_a_name_that_a_package_resolves_late_leads_to_the_module_that_defines_it(house):
    graph = source_rules.import_graph(house())
    assert graph["app.server.captures"] == {"hooks.capturing"} and graph["analysis.gate"] == {"hooks.trace"}


@pytest.mark.parametrize(
    "touch", ["st.session_state.a = 1", "from streamlit import session_state", "getattr(st, 'session_state')"]
)
def test_session_state_outside_its_room_is_found_however_it_is_reached(house, touch):
    assert source_rules.modules_naming(house(), "session_state") == {"app.session.state"}
    planted = house(app__views__other=f"import streamlit as st\n{touch}\n")
    assert source_rules.modules_naming(planted, "session_state") == {"app.session.state", "app.views.other"}


def test_words_in_a_docstring_or_comment_touch_nothing(house):
    assert source_rules.modules_naming(
        house(app__views__other='"""Not st.session_state."""  # session_state\n'), "session_state"
    ) == {"app.session.state"}


@pytest.mark.parametrize(
    "write", ["path.write_text('x')", "open('x', 'w')", "path.open(mode='ab')", "folder.mkdir()", "os.makedirs('x')"]
)
def test_what_writes_files_is_found_and_what_reads_them_is_not(house, write):
    reads = "open('x')\nopen('a', encoding='utf-8')\npath.open('rb')\npath.read_text()\nImage.open(x)\n"
    assert source_rules.writing_files(house(analysis__gate=reads)) == set()
    assert source_rules.writing_files(house(analysis__gate=f"{reads}{write}\n")) == {"analysis.gate"}


@pytest.mark.parametrize(
    "touch",
    [
        "from hooks import capture",
        "def late():\n    from hooks.capturing import capture",
        "import torch",
        "import importlib\nimportlib.import_module('hooks.capturing')",
        "from app.server import models\nmodels.loaded_model('a').model(ids)",
        "from app.server.models import loaded_model\nloaded = loaded_model('a')\nloaded.model.eval()",
    ],
)
def test_a_page_that_runs_a_model_is_found_however_it_gets_at_it(house, touch):
    allowed = {"app.server.captures", "app.server.models"}
    assert source_rules.running_models(house()) == allowed
    assert source_rules.running_models(house(app__views__other=f"{touch}\n")) == allowed | {"app.views.other"}


def test_a_capture_that_takes_no_turn_is_found(house):
    in_turn = "def traces_of():\n    from hooks import capture\n    with model_turn():\n        capture()\n"
    size = "def size_of():\n    from hooks import capture_bytes\n"
    plain = house(app__server__captures=in_turn + size)
    assert source_rules.outside_the_queue(plain, "app.server.captures") == set()
    planted = house(app__server__captures=in_turn + "def at_once():\n    from hooks import capture\n    capture()\n")
    assert source_rules.outside_the_queue(planted, "app.server.captures") == {"at_once"}


def test_a_library_is_found_through_other_modules_and_not_through_types(house):
    assert source_rules.importers_of(house(), "torch") == {
        "hooks.capturing",
        "app.server.captures",
        "app.server.models",
    }
    planted = house(
        analysis__gate="def late():\n    from hooks import capture\n", analysis__other="import analysis.gate\n"
    )
    assert source_rules.importers_of(planted, "torch") >= {"analysis.gate", "analysis.other"}
    types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n"
    assert "analysis.gate" not in source_rules.importers_of(house(analysis__gate=types, analysis__other=""), "torch")


def test_public_definitions_without_a_word_are_found(house):
    source = 'def said():\n    """Said."""\ndef silent(): ...\nclass Silent: ...\ndef _own(): ...\n'
    assert source_rules.undocumented(house(analysis__gate=source)["analysis.gate"]) == {"silent", "Silent"}
    named = house(analysis__gate=f'{source}__all__ = ["said", "Silent"]\n')["analysis.gate"]
    assert source_rules.undocumented(named) == {"Silent"}
