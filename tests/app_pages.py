"""Turning the pages of an app that runs in-process."""

from streamlit.testing.v1 import AppTest


def turn_to(app: AppTest, path: str) -> AppTest:
    """Go to the page that stands at `path` in the address, such as "write_ledger"."""
    return app.switch_page(f"views/{path}.py").run()
