"""The app without a browser: a new visitor, and what a visitor does and sees on every page."""

import json
from pathlib import Path

from streamlit.testing.v1 import AppTest

MAIN = Path(__file__).parents[1] / "app" / "main.py"


def new_app() -> AppTest:
    """A visitor of the app who has not come in yet: `run()` opens the first page."""
    return AppTest.from_file(str(MAIN), default_timeout=120)


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


def told(app: AppTest) -> list[str]:
    """What is told above the page, and every other plain text."""
    return [element.value for element in app.text]


def chooser(app: AppTest):
    """The list of the prompts of a file or a pasted list, to choose one from."""
    return next(each for each in app.selectbox if each.label.endswith(": choose one"))
