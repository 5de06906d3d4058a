"""What leaves the app, in-process: data and code under a figure, links with a text, the export dialog."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from analysis.catalogue import spec
from analysis.snippet import snippet
from app import behind

MAIN = Path(__file__).parents[1] / "app" / "main.py"


@pytest.fixture
def app():
    return AppTest.from_file(str(MAIN), default_timeout=120)


def test_data_and_code_are_made_only_when_they_are_opened(app, monkeypatch):
    made = []
    monkeypatch.setattr(behind, "snippet", lambda *args, **options: made.append(args) or snippet(*args, **options))
    monkeypatch.setattr(behind, "table_csv", lambda table: made.append(table) or b"")
    app.run()
    app.switch_page("views/gate.py").run()
    assert not app.exception and not made and not app.code
    app.session_state["gate_map-behind"] = True
    app.session_state.token = 5
    app.run()
    assert not app.exception and len(made) == 2
    found, drawn, view = made[1]
    assert (found, view.token) == (spec("gate_map"), 5)
    assert app.code[0].value.strip() == snippet(found, drawn, view).strip()
    assert app.dataframe[-1].value.equals(found.table(drawn).head(20))


def test_code_holds_the_readers_choice(app):
    app.session_state["difficulty_map-choice"] = "hard"
    app.run()
    app.switch_page("views/difficulty.py").run()
    app.session_state["difficulty_map-behind"] = True
    app.session_state["difficulty_map-choice"] = "hard"
    app.run()
    assert not app.exception and ", kind='hard')" in app.code[0].value
