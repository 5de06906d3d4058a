"""Turning the pages of an app that runs in-process."""

from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash


def turn_to(app: AppTest, path: str) -> AppTest:
    """Go to the page that stands at `path` in the address, such as "write_ledger".

    `AppTest.switch_page` knows only pages that are files; like it, this sets which page the next run is of.
    """
    app._page_hash = calc_hash(path)
    return app.run()
