"""Make the pictures of the README from the shipped model, in a real browser: `make pictures`.

python -m docs.make_pictures
"""

import tempfile
from pathlib import Path

from sample_models import DEFAULT_MODEL
from tests.app_server import app_server, chromium, wait_idle

PICTURES = {
    "overview": (f"?model={DEFAULT_MODEL}", "Overview", "light"),
    "experts-dark": (f"experts?model={DEFAULT_MODEL}&example=fox", "Experts", "dark"),
}
"""Name of the picture -> (address of the page, its heading, theme)."""
FOLDER = Path(__file__).parent / "pictures"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, app_server(Path(folder) / "log") as address, chromium() as browser:
        for name, (path, heading, theme) in PICTURES.items():
            page = browser.new_page(viewport={"width": 1440, "height": 940}, color_scheme=theme)
            page.goto(f"{address}/{path}")
            page.get_by_role("heading", name=heading, exact=True).wait_for()
            wait_idle(page)
            page.locator(".js-plotly-plot .main-svg").first.wait_for()
            page.wait_for_timeout(1500)  # fonts and the last chart
            page.screenshot(path=FOLDER / f"{name}.png")
            page.close()
            print(FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
