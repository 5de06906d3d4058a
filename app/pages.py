"""The pages of the explorer, one row each, in the order of the navigation."""

from app.parts.page import Page, fold
from app.parts.schematic import first_schematic, schematic
from app.parts.study_picker import texts_of_study
from app.parts.training_slider import training_slider
from app.parts.umap_panel import umap_panel
from app.views import (
    cost,
    difficulty,
    models,
    near_misses,
    overview,
    prompts,
    recursion_lens,
    walkthrough,
    write_ledger,
)

PAGES = (
    Page(
        name="Overview",
        group="Read",
        question="How does the model share its computation over this text, between the wide path and the deep path?",
        terms=("token", "layer", "width path", "depth path"),
        body=(
            first_schematic,
            overview.numbers_of_the_text,
            "compute_map",
            fold("How often do tokens loop in each layer?", "loops_by_layer"),
            fold("Which tokens have the highest and lowest difficulty?", overview.extremes),
        ),
    ),
    Page(
        name="Difficulty",
        group="Read",
        question="Which tokens does the model find hard, and in which layers does it say so?",
        terms=("soft difficulty", "hard difficulty", "E[L]", "surprisal"),
        body=(
            "difficulty_map",
            difficulty.words,
            fold("Does difficulty go with surprisal?", "difficulty_surprisal"),
            fold("How certain was the depth head?", "difficulty_by_loops"),
        ),
        colour_by="Difficulty",
    ),
    Page(
        name="Gate",
        group="Read",
        question="How does each layer mix its two paths: the experts (width) and the loops (depth)?",
        terms=("λ", "width path", "depth path"),
        body=(
            "gate_levels",
            fold("What is λ of every token in every layer?", "gate_map"),
            fold("Does the mixture change along the text?", "gate_along_text"),
        ),
    ),
    Page(
        name="Experts",
        group="Read",
        question="Which sub-experts does the width path choose, and is the load shared?",
        terms=("router", "virtual expert", "did not route", "load", "lift"),
        body=(
            "expert_map",
            fold("Is the load shared?", ("expert_load", "expert_load_by_layer")),
            fold("Which experts did the selected token choose, layer by layer?", "expert_path"),
            fold("Which experts are chosen together?", "expert_pairs"),
        ),
        colour_by="Experts",
    ),
    Page(
        name="Recursion",
        group="Read",
        question="How many times does each token go through the shared FFN, and how sure was that choice?",
        terms=("loop", "depth head", "E[L]", "margin"),
        body=(
            "loop_map",
            fold("How sure was the depth head of the selected token?", ("depth_choice", "depth_logits")),
            fold("How close were all the choices?", "depth_margin"),
            fold("How often did each number of loops run?", "loop_shares"),
        ),
        colour_by="Loops",
    ),
    Page(
        name="Walkthrough",
        group="Explain",
        question="What happens to the selected token in the selected layer, step by step and with its own numbers?",
        terms=("residual stream", "logit", "λ", "did not route"),
        body=(schematic, walkthrough.six_steps),
        more_figures=("layer_schematic", "recursion_states", "fusion_plane"),
    ),
    Page(
        name="Write ledger",
        group="Explain",
        question="What exactly did this layer write into the residual stream, and which part of it wrote what?",
        terms=("residual stream", "write", "λ"),
        body=(
            "write_stack",
            fold("What did each write add for the selected token?", ("write_waterfall", "stream_ledger")),
            fold(
                "Which writes made the model predict its next token?",
                write_ledger.targets_and_removals,
                ("logit_attribution", "attribution_by_layer"),
            ),
        ),
    ),
    Page(
        name="Recursion lens",
        group="Explain",
        question="What would the model predict after each loop, and what if the token had left there?",
        terms=("loop", "residual stream", "logit", "entropy", "KL"),
        body=(
            recursion_lens.target,
            "lens_grid",
            recursion_lens.rounding,
            fold("What would each loop of the selected layer predict?", "lens_layer"),
            fold("Where in the model does the prediction appear?", "lens_path"),
        ),
        colour_by="Loops",
    ),
    Page(
        name="Geometry",
        group="Explain",
        question="Do the two paths agree, and where do the loops lead?",
        terms=("width path", "depth path", "virtual expert", "cosine"),
        body=(
            "path_agreement",
            fold("How much of the first loop do the chosen experts hold?", "first_loop"),
            fold("Which parts of the FFN does each loop use?", "loop_slices"),
            fold("Where do the loops lead, and do their steps shrink?", ("trajectories", "steps")),
            fold("Which states lie close together?", umap_panel),
        ),
        more_figures=("neighbourhoods",),
    ),
    Page(
        name="Attention",
        group="Explain",
        question="What had this token read when it was routed?",
        terms=("attention", "loop", "λ", "did not route"),
        body=("attention_map", fold("Did it read the tokens that loop more?", "attention_by_loops")),
        colour_by="Loops",
    ),
    Page(
        name="Near misses",
        group="Explain",
        question="Where would a small change have flipped a choice?",
        terms=("margin", "near miss", "logit"),
        body=(
            "near_miss_map",
            fold("How large a change flips the loops?", "flip_distance"),
            fold("Does rounding to bfloat16 flip a choice?", near_misses.half_precision),
        ),
        more_figures=("precision_map",),
        colour_by="Loops",
    ),
    Page(
        name="Cost",
        group="Explain",
        question="What does this text cost, on paper and in fact?",
        terms=("FFN-equivalent", "loop", "virtual expert"),
        body=(
            "cost_ledger",
            cost.not_counted,
            fold("Which layers cost most?", "cost_by_layer"),
            fold("Which tokens cost most?", "cost_map"),
            fold("How long does it take on this machine?", cost.by_the_clock),
        ),
        colour_by="Loops",
    ),
    Page(
        name="What decides",
        group="Explain",
        question="What decides the routing: the token, its place in the text, or its context?",
        terms=("token", "loop", "router", "beyond chance"),
        body=(
            texts_of_study,
            "routing_sources",
            fold("Which choices go together?", "together"),
            fold("How do loops change from layer to layer?", "loop_flow"),
        ),
        about="study",
    ),
    Page(
        name="Validity",
        group="Explain",
        question="Is difficulty difficulty? Are the tokens that get more loops those that are hard in any other sense?",
        terms=("soft difficulty", "hard difficulty", "surprisal", "Spearman's ρ", "beyond chance"),
        body=(
            texts_of_study,
            "validity_by_layer",
            fold("Would other texts say the same?", "validity_intervals"),
            fold("Which kinds of token have the highest difficulty?", "class_difficulty"),
        ),
        colour_by="Difficulty",
        about="study",
    ),
    Page(
        name="Models",
        group="Models",
        question="What is this model made of, how was it trained, and can its routing be trusted?",
        terms=("router", "depth head"),
        body=(
            (models.parameters, models.cost),
            models.health,
            "training_curve",
            fold("Would training have chosen the same loops?", "drawn_loops"),
            fold("How did the routing come about?", training_slider),
            fold("How do the paper's designs compare at small scale?", models.family),
            fold("How do I bring a model of my own?", models.bring_your_own),
        ),
        more_figures=("training_course", "training_map"),
    ),
    Page(
        name="Prompts",
        group="Corpus",
        question="Which of my texts does the model treat differently?",
        terms=("soft difficulty", "λ", "did not route", "surprisal"),
        body=(prompts.list_of_prompts,),
        about="list",
    ),
)
"""To add a page, add a row here, its numbers to `analysis`, its answer to `analysis.answers`, its figures to
`analysis.figures`. What every visitor should see first, above the main figure, begins its `body`."""
