"""The app without a browser (Streamlit's AppTest): a new session, and actions and contents of its pages."""

import json
from pathlib import Path

from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from app.pages import PAGES
from app.session.folds import OPEN

MAIN = Path(__file__).parents[1] / "app" / "main.py"


def new_app() -> AppTest:
    """A new session that has not run yet: `run()` opens the first page."""
    return AppTest.from_file(str(MAIN), default_timeout=120)


def unfolded(app: AppTest) -> AppTest:
    """The session with everything opened that pages fold away. Call this before a page is drawn."""
    app.session_state[OPEN] = {folded.key for page in PAGES for folded in page.folds}
    return app


def turn_to(app: AppTest, path: str) -> AppTest:
    """Go to the page with this path in the address, such as "write_ledger".

    `AppTest.switch_page` knows only pages that are files; like it, this sets the page of the next run.
    """
    app._page_hash = calc_hash("" if path == PAGES[0].url_path else path)  # the first page lives at the root
    return app.run()


def press(app: AppTest, label: str) -> AppTest:
    """Press the button with this label."""
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
    """The captions of the page."""
    return [caption.value for caption in app.caption]


def plain_texts(app: AppTest) -> list[str]:
    """The plain texts of the page; the problem above the page is one of them."""
    return [element.value for element in app.text]


def prompt_chooser(app: AppTest):
    """The select box of the prompts of a file or a pasted list."""
    return next(box for box in app.selectbox if box.label.endswith(": choose one"))
