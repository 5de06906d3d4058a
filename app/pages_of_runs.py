"""The pages about runs beside the Atlas, one row each, for `app.pages`."""

from analysis.figures.runs.atlas import ATLAS_FIGURES
from analysis.figures.runs.cards import CARD_FIGURES
from analysis.figures.runs.contrasts import CONTRAST_FIGURES
from analysis.figures.runs.token_map import TOKEN_MAP
from app.parts.page import Page, fold
from app.views import atlas, expert_cards, token_map

RUN_PAGES = (
    Page(
        name="Expert cards",
        group="Corpus",
        question="What does this expert serve, and what takes this many loops?",
        terms=("run", "card", "virtual expert", "did not route", "lift", "mutual information", "beyond chance"),
        body=(
            expert_cards.card_of_choice,
            fold("Which other experts serve these tokens?", expert_cards.other_experts),
            fold("Do two kinds of prompts choose differently?", expert_cards.domains),
            fold("What does each layer follow: the token, its class, or the domain?", expert_cards.specialised),
            fold("How early in training did the routing become what it is?", expert_cards.saturated),
            atlas.behind,
        ),
        run_figures=(*CARD_FIGURES, *CONTRAST_FIGURES),
        about="run",
    ),
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
        run_figures=(TOKEN_MAP, *(each for each in ATLAS_FIGURES if each.name != "run_gate")),
        about="run",
    ),
)

__all__ = ["RUN_PAGES"]
