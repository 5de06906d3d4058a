"""Models of other families in a real browser: their pages are drawn, and those without a part are a sentence."""

import pytest
from playwright.sync_api import expect

from tests.app_server import app_server
from tests.other_models import save_other
from tests.visit import Visit

pytestmark = pytest.mark.browser


def test_other_families_are_offered_and_walked_through(browser, tmp_path):
    save_other(tmp_path / "models" / "tiny olmoe", "olmoe", experts=64, num_experts_per_tok=8)
    save_other(tmp_path / "models" / "tiny looped", "looped_llama")
    with app_server(tmp_path / "log.txt", "--models", str(tmp_path / "models")) as address:
        here = Visit(browser, address)
        page = here.open("experts?model=tiny%20olmoe&example=fox", "Experts")
        page.get_by_text("the 32 of 64 experts with the most choices").first.wait_for()
        expect(page.get_by_role("option").first).to_contain_text("+7")
        here.turn_to("Gate")
        expect(page.get_by_text("This model is a mixture of experts and has no gate (λ)")).to_be_visible()
        expect(page.locator(".js-plotly-plot")).to_have_count(0)
        here.turn_to("Attention")
        page.locator(".js-plotly-plot .main-svg").first.wait_for()
        here.open("recursion?model=tiny%20looped&example=fox", "Recursion")
        expect(page.get_by_text("This model is a looped model: 3 layers, up to 4 loops.")).to_be_visible()
        page = here.open("experts?example=fox", "Experts")
        gap = "all => all.at(-1).getBoundingClientRect().left - all.at(-2).getBoundingClientRect().right"
        apart = page.locator(".legend .swatch").evaluate_all(gap)
        assert apart >= 4, "what did not route stands apart from the last number"
        here.open("overview?example=fox", "Overview")
        assert not page.get_by_role("dialog").count() and page.url.startswith(f"{address}/overview?")
        here.turn_to("Gate")
        here.turn_to("Overview")
        assert not here.errors and not here.foreign
        here.context.close()
