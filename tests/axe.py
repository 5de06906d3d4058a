"""axe, the automatic accessibility check, on what a browser shows."""

from pathlib import Path

import axe_playwright_python
from playwright.sync_api import Page

SEVERE = ("serious", "critical")
THEMES = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}
"""Theme -> colour of the paper that figures are drawn on."""
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text("utf-8")
FADED = """() => document.getAnimations().every(each => each.playState !== 'running'
    || each.effect.getComputedTiming().endTime === Infinity)"""
"""What opens has its own colours: a spinner turns on, but nothing fades in any more."""


def severe(page: Page, where: str, theme: str = "light") -> list[str]:
    """Serious and critical findings, one line for each place, once the list of pages has its roles.

    Of the dark theme only the contrast is asked about: all else is the same in both.
    """
    page.locator("[data-testid=stSidebarNavItems][role=presentation]").wait_for()
    page.wait_for_function(FADED)
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE)
    options = {"resultTypes": ["violations"]} | ({"runOnly": ["color-contrast"]} if theme == "dark" else {})
    violations = page.evaluate("options => axe.run(options).then(found => found.violations)", options)
    severe = [each for each in violations if each["impact"] in SEVERE]
    return [f"{where}, {theme}: {each['id']}: {node['html'][:150]}" for each in severe for node in each["nodes"]]
