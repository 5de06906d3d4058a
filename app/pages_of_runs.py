"""The pages about runs beside the Atlas, one row each, for `app.pages`."""

from app.parts.page import Page, fold
from app.views import atlas, token_map

RUN_PAGES = (
    Page(
        name="Token map",
        group="Corpus",
        question="How are the tokens of a run arranged by how the model routes them?",
        terms=("run", "loop", "routing vector", "trustworthiness"),
        body=(
            token_map.map_of_tokens,
            fold("Which texts are the chosen tokens in?", atlas.texts),
            fold("How many loops do the chosen tokens take in each layer?", atlas.loops),
            fold("Which experts run for the chosen tokens?", atlas.experts),
            atlas.behind,
        ),
        about="run",
    ),
)

__all__ = ["RUN_PAGES"]
