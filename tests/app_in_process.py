"""The app without a browser: a new visitor, and what a visitor does and sees on every page."""

import json
from pathlib import Path

from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

MAIN = Path(__file__).parents[1] / "app" / "main.py"


def new_app() -> AppTest:
    """A visitor of the app who has not come in yet: `run()` opens the first page."""
    return AppTest.from_file(str(MAIN), default_timeout=120)


def turn_to(app: AppTest, path: str) -> AppTest:
    """Go to the page that stands at `path` in the address, such as "write_ledger".

    `AppTest.switch_page` knows only pages that are files; like it, this sets which page the next run is of.
    """
    app._page_hash = calc_hash(path)
    return app.run()


def press(app: AppTest, label: str) -> AppTest:
    """Press the button of this label."""
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception
    return app


def trace_text(app: AppTest, text: str) -> AppTest:
    """Type a text and trace it."""
    app.text_area[0].set_value(text).run()
    return press(app, "Trace")


def charts(app: AppTest) -> list[dict]:
    """The charts of the page, as Plotly JSON."""
    return [json.loads(element.proto.spec) for element in app.get("plotly_chart")]


def captions(app: AppTest) -> list[str]:
    """The small lines of the page."""
    return [caption.value for caption in app.caption]


def plain_texts(app: AppTest) -> list[str]:
    """What is told above the page, and every other plain text."""
    return [element.value for element in app.text]


def prompt_chooser(app: AppTest):
    """The list of the prompts of a file or a pasted list, to choose one from."""
    return next(each for each in app.selectbox if each.label.endswith(": choose one"))
