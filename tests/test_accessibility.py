"""axe, the automatic accessibility check, on every page that the app offers."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
SEVERE = ("serious", "critical")
PAPER = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}


@pytest.mark.parametrize("theme", PAPER)
def test_no_page_has_a_serious_finding_and_all_are_drawn_on_the_theme_s_paper(visit, theme):
    here = visit(color_scheme=theme)
    page = here.open()
    expect(page.get_by_role("link", name="Recursion", exact=True)).to_be_visible()
    names = page.locator("[data-testid=stSidebarNav] a").all_inner_texts()
    found = []
    for name in names:
        here.turn_to(name)
        page.locator("[data-testid=stSidebarNavItems][role=presentation]").wait_for()
        for finding in Axe().run(page).response["violations"]:
            if finding["impact"] in SEVERE:
                found += [f"{name}: {finding['id']}: {node['html'][:150]}" for node in finding["nodes"]]
        for figure in page.locator(".js-plotly-plot .main-svg:first-child").all():
            assert figure.evaluate("svg => getComputedStyle(svg).backgroundColor") == PAPER[theme], name
    assert not found, "\n".join(found)
