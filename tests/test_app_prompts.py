"""The ways in, run in-process: uploaded files, pasted lists, what the reader chooses of them."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

MAIN = Path(__file__).parents[1] / "app" / "main.py"


@pytest.fixture
def app():
    return AppTest.from_file(str(MAIN), default_timeout=120)


def opened(app: AppTest, way: str) -> AppTest:
    app.session_state.way = way
    app.run()
    assert not app.exception
    return app


def of_key(elements, key: str):
    return next(element for element in elements if element.key == key)


def test_uploaded_table_is_read_from_the_columns_that_the_reader_chooses(app):
    opened(app, "File")
    app.file_uploader[0].upload("p.csv", b"id,question,answer\nx,Who is there?,The fox.\n", "text/csv").run()
    of_key(app.selectbox, "text of p.csv").select("answer").run()
    of_key(app.button, "trace-file").click().run()
    assert not app.exception
    assert (app.session_state.prompt.name, app.session_state.prompt.text) == ("x", "The fox.")


def test_pasted_list_is_cut_into_prompts(app):
    opened(app, "Type")
    app.text_area[0].set_value("The first line.\n\nThe second one.").run()
    app.session_state.pasted_per = "line"
    app.run()
    of_key(app.selectbox, "chosen-typed").select_index(1).run()
    of_key(app.button, "trace-typed").click().run()
    assert not app.exception and app.session_state.prompt.text == "The second one."
