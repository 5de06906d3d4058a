"""The pages about runs, one row each, for `app.pages`."""

from analysis.figures.runs.atlas import ATLAS_FIGURES
from analysis.figures.runs.cards import CARD_FIGURES
from analysis.figures.runs.contrasts import CONTRAST_FIGURES
from analysis.figures.runs.token_map import TOKEN_MAP
from app.parts.page import Page, fold
from app.views import atlas, expert_cards, paper_figures, run_report, token_map

RUN_PAGES = (
    Page(
        name="Atlas",
        group="Corpus",
        question="How does a model route the tokens of whole files and datasets?",
        terms=("run", "loop", "λ", "load", "load CV", "balance loss", "dead expert"),
        body=(
            atlas.overview,
            fold("How does each layer mix its two paths over the run?", atlas.gate),
            fold("How evenly do the experts share the load over the run?", atlas.experts),
            fold("Which tokens are these, in context?", atlas.texts),
            fold("What do the paper's figures show for this run?", paper_figures.paper_figures),
            fold("What else do you want to know, in SQL?", atlas.sql),
            fold("How does it route a file of your own?", atlas.own_file),
            run_report.report_row,
            atlas.behind,
        ),
        run_figures=ATLAS_FIGURES,
        about="run",
    ),
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
