"""Figures of what several texts say together, and of training."""

from analysis import figures
from analysis.catalogue.figure_spec import FigureSpec
from analysis.models import sampling, training
from analysis.texts import sources
from analysis.texts import study as studies
from analysis.texts.study import Study
from hooks.training_trace import TrainingTrace

MANY_TEXTS: tuple[FigureSpec, ...] = (
    FigureSpec(
        "routing_sources",
        "what decides",
        "How much do token and place foretell?",
        "How much of the uncertainty about a token's loops, and about its first expert, counts from the other texts "
        "remove, with 95 % intervals over texts. The counts of a case are mixed with those of the next wider one, "
        f"which weighs as much as {sources.SMOOTHING:g} tokens. Position is counted from the start of the text, also "
        "where it is read in windows, in bins that double: 0, 1, 2–3, 4–7, 8–15 and so on. Filled: beyond chance (p "
        "below 0.05, Benjamini-Hochberg over layers), whether the routing is read backwards within texts or exchanged "
        "between texts at equal positions, so a trend that all texts share is no finding; for position itself, read "
        "backwards alone. Such a trend, in texts that also differ as a whole, may still pass. Below 0 the counts "
        "mislead. Routing follows from the text alone, so what is left is context, and what so few texts cannot teach.",
        figures.sources_figure,
        lambda study: study.routing_sources,
        of=Study,
        follows=(),
    ),
    FigureSpec(
        "together",
        "what decides",
        "Which choices go together?",
        "Information that two choices of the same token share, less what chance gives: 1 if one settles the other, 0 "
        "at chance. Filled: p below 0.05, corrected over layers, whether one choice is read backwards within texts or "
        "exchanged between texts at equal positions; a shared trend, in texts that also differ as a whole, may still "
        "pass. Experts count only where a token routed. It names no cause: both choices follow from the same state.",
        figures.together_figure,
        studies.together_table,
        of=Study,
        follows=(),
    ),
    FigureSpec(
        "loop_flow",
        "what decides",
        "From layer to layer",
        "A bar is the tokens that took so many loops in a layer, a band those of them that took so many in the next. "
        "Experts are in the table: those of two layers are different weights.",
        figures.loop_flow_figure,
        lambda study: study.transitions,
        of=Study,
        follows=("layer",),
    ),
    FigureSpec(
        "validity_by_layer",
        "validity",
        "What difficulty goes together with",
        "Spearman's ρ within each text, averaged over texts by their tokens. Position is counted from the start of the "
        "text, also where it is read in windows. Frequency is how often the token occurs in all of these texts. Given "
        "frequency: a partial ρ, with the ranks of frequency taken off both sides, since rare tokens surprise. Bold: p "
        "below 0.05, two-sided, Benjamini-Hochberg over layers (the means: over measures), whether the measure is "
        "read backwards within texts or exchanged between texts at equal positions, so a trend that all texts share is "
        "no finding; for position itself, read backwards alone. n: tokens that have the measure. Only the surprisal of "
        "the next token says how badly the model predicts from there. None of this shows a cause.",
        figures.validity_by_layer_figure,
        studies.validity_table,
        ("kind", {"soft": "Soft", "hard": "Hard"}, "Kind of difficulty studied"),
        Study,
        follows=(),
    ),
    FigureSpec(
        "validity_intervals",
        "validity",
        "How far would other texts agree?",
        "95 % intervals of ρ, from leaving out one text at a time (Student's t); n: tokens that have the measure. An "
        "interval that holds 0 leaves open even the direction.",
        figures.validity_intervals_figure,
        studies.validity_table,
        ("kind", {"soft": "Soft", "hard": "Hard"}, "Kind of difficulty in the intervals"),
        Study,
        follows=("layer",),
    ),
    FigureSpec(
        "class_difficulty",
        "validity",
        "Which kinds of token are hard?",
        "Mean over tokens and layers, with 95 % intervals over the texts that hold such tokens; none where fewer than "
        "five do. Inside a word: letters that continue the token before.",
        figures.class_difficulty_figure,
        studies.class_table,
        ("kind", {"soft": "Soft", "hard": "Hard"}, "Kind of difficulty by class"),
        Study,
        follows=(),
    ),
    FigureSpec(
        "drawn_loops",
        "models",
        "Would training have chosen the same loops?",
        "In training, Gumbel noise is added to the depth logits and the largest wins; here the same is done 32 times "
        "to eval's logits of this text, layer by layer. In training a draw also changes the logits of the layers "
        "above, which this does not follow. Filled: share of tokens whose drawn loops are those that eval picks. "
        "Hollow: weight of the drawn loops in the softmax at τ, on which the gradient rests. Bars: middle 80 % of the "
        "draws. τ moves the hollow dots alone: it changes no choice.",
        figures.drawn_loops_figure,
        sampling.sampling_table,
        ("tau", {"0.1": "τ 0.1", "1": "τ 1", "5": "τ 5"}, "Temperature"),
        follows=(),
    ),
    FigureSpec(
        "training_course",
        "models",
        "How the routing came about",
        "The current text, read by the model as it was at each kept step. Loss: mean surprisal of this text, and of "
        "the held-out text that the sample was measured on. λ follows from the loops: on the right. Experts: only "
        "tokens that routed count; a stroke: nobody did. Drawn loops: with Gumbel noise, layer by layer, 8 times. "
        "Steps are drawn evenly, although they lie further and further apart. A click selects a layer.",
        figures.training_course_figure,
        training.training_table,
        of=TrainingTrace,
        follows=("layer",),
    ),
    FigureSpec(
        "training_map",
        "models",
        "The text at that step",
        "The same map as on the pages of loops, gate and experts, drawn with the weights of the chosen step. Before "
        "the first update router and depth head are random, so what stands there is chance.",
        figures.training_map_figure,
        training.checkpoint_table,
        ("of", {"loops": "Loops", "gate": "Gate", "experts": "Experts"}, "Map of the step"),
        TrainingTrace,
        follows=(),
        by_token="experts",
    ),
)
