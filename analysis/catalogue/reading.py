"""Figures that read one trace: what happened to every token."""

from analysis import difficulty, experts, figures, gate, overview, recursion
from analysis.catalogue.figure_spec import FigureSpec
from analysis.texts import chance

READING: tuple[FigureSpec, ...] = (
    FigureSpec(
        "compute_map",
        "overview",
        "What every token costs",
        "A bar is one token: how often the shared FFN ran for it, mean over layers (orange), and what its experts "
        "cost on top (blue). The dotted line is one dense FFN. Experts are cheap: a small part of a bar can carry a "
        "large mixing share λ.",
        figures.compute_map_figure,
        overview.compute_table,
        follows=(),
        by_token=True,
    ),
    FigureSpec(
        "loops_by_layer",
        "overview",
        "Loops by layer",
        "Mean over tokens, with the range of their middle 80 %. Hollow: what the depth head expected before it chose.",
        figures.loops_by_layer_figure,
        overview.loops_by_layer,
        follows=(),
    ),
    FigureSpec(
        "difficulty_map",
        "difficulty",
        "Difficulty of every token in every layer",
        "Strong colour is hard. Soft difficulty is what the depth head leaned to, hard difficulty the loops that ran. "
        "The scale always runs from 0 to 1, so two texts compare.",
        figures.difficulty_map_figure,
        difficulty.difficulty_table,
        ("kind", {"soft": "Soft", "hard": "Hard"}, "Kind of difficulty"),
        follows=(),
    ),
    FigureSpec(
        "difficulty_surprisal",
        "difficulty",
        "Does difficulty follow surprise?",
        "Each dot is a token. A rising cloud: harder tokens are those with more surprisal. Token read: the one that "
        "stands there, which the model has already seen. Next token: the one that it predicts from there; only this "
        "says whether difficulty rises where the model predicts badly. By chance: how far from 0 ρ comes when the "
        "surprisals are moved along the text by up to half of it, but for the farthest 5 % of the moves. Moving does "
        "not hold the position fixed: what merely rises or falls along the text with difficulty may lie beyond.",
        figures.difficulty_surprisal_figure,
        difficulty.difficulty_surprisal,
        ("of", {"read": "Token read", "next": "Next token"}, "Surprisal of which token"),
        follows=("token",),
    ),
    FigureSpec(
        "difficulty_by_loops",
        "difficulty",
        "How certain was the choice?",
        "Soft difficulty of all pairs of token and layer, by the loops that ran; each hill is scaled to its own peak. "
        "Far from the dotted line: the depth head hesitated. Near it, it need not have been sure: leaning to both "
        "sides cancels out.",
        figures.difficulty_by_loops_figure,
        difficulty.difficulty_by_loops,
        follows=(),
    ),
    FigureSpec(
        "gate_map",
        "gate",
        "Width share λ",
        "λ is the mixing share: the weight of the experts when a layer mixes its two paths; the loops weigh 1 − λ. "
        "Blue: the experts weigh more. Orange: the loops. Grey: half and half. The scale runs from 0 to 1 "
        "although λ never reaches 1.",
        figures.gate_map_figure,
        gate.gate_table,
        follows=(),
    ),
    FigureSpec(
        "gate_levels",
        "gate",
        "Gate levels in each layer",
        "λ takes one level per number of loops. The bar shows the share of tokens, in per cent, at each.",
        figures.gate_levels_figure,
        gate.gate_level_shares,
        follows=(),
    ),
    FigureSpec(
        "gate_along_text",
        "gate",
        "Along the text",
        "Dots: the selected layer. Line: mean over layers, smoothed over 7 tokens. Smoothing makes waves of any order: "
        "the band is the middle 95 % of that mean for shuffled tokens. Chance alone puts one place in twenty outside, "
        "and neighbours leave it together.",
        figures.gate_along_text_figure,
        gate.gate_along_text_table,
        follows=("layer",),
        by_token=True,
    ),
    FigureSpec(
        "expert_map",
        "experts",
        "Chosen expert of every token in every layer",
        "Colour names the expert, a slice of this layer's weights: expert 3 of layer 2 and of layer 5 are unrelated. "
        "In a short text its number stands in the cell, and the colour is strong where the first choice clearly "
        "outweighs the second. A stroke: the token took all its loops and did not route; no load counts it.",
        figures.expert_map_figure,
        experts.expert_table,
        ("choice", {"first": "First choice", "second": "Second choice"}, "Which choice"),
        follows=(),
        by_token=True,
    ),
    FigureSpec(
        "expert_load",
        "experts",
        "Load in the selected layer",
        "Share of the layer's routed choices. Tokens that did not route have their own bar and are in no other.",
        figures.expert_load_figure,
        experts.expert_load,
        follows=("layer",),
    ),
    FigureSpec(
        "expert_load_by_layer",
        "experts",
        "Load in every layer",
        "Each row sums to 100. Strong colour: a favourite. Beside it, the share of tokens that did not route.",
        figures.expert_load_by_layer_figure,
        experts.expert_load,
        follows=(),
    ),
    FigureSpec(
        "expert_path",
        "experts",
        "Path of the token through the layers",
        "Filled: first choice. Ring: second choice. Size grows with the weight as far as the rows leave room; grey is "
        "the router's probability for every expert. The line breaks where the token did not route.",
        figures.expert_path_figure,
        experts.all_expert_paths,
        follows=("token",),
    ),
    FigureSpec(
        "expert_pairs",
        "experts",
        "Which experts are chosen together",
        "Above 0 (green): more often than the experts' loads alone would bring. Below 0 (magenta): less often. "
        "Bold: beyond the middle 95 % of what comes out when every token draws its pair by the loads alone; that makes "
        "at most one pair in twenty bold. Tokens that depend on their neighbours reach further: bold is a hint, no "
        "proof. "
        "Pairs that chance would bring together fewer than 5 times are left out.",
        figures.expert_pairs_figure,
        chance.all_pairs_against_chance,
        follows=("layer",),
    ),
    FigureSpec(
        "loop_map",
        "recursion",
        "Loops of every token in every layer",
        "Colour (and number, in short texts): how often the shared FFN ran. More loops: stronger colour, less width. "
        "All loops switch the width path off.",
        figures.loop_map_figure,
        recursion.loop_table,
        follows=(),
    ),
    FigureSpec(
        "loop_shares",
        "recursion",
        "How often each number of loops ran",
        "Share of tokens per layer, in per cent.",
        figures.loop_shares_figure,
        recursion.loop_shares,
        follows=(),
    ),
    FigureSpec(
        "depth_choice",
        "recursion",
        "What the depth head believed",
        "Probability of each number of loops for the selected token, in every layer. Outlined: what ran. Ring: the "
        "expected number.",
        figures.depth_choice_figure,
        recursion.depth_table,
    ),
    FigureSpec(
        "depth_logits",
        "recursion",
        "The choice in the selected layer",
        "The depth logits of the selected token. Only differences matter, so the bars start at the runner-up; "
        "the numbers are the logits themselves. Filled: what ran.",
        figures.depth_logits_figure,
        recursion.depth_table,
    ),
    FigureSpec(
        "depth_margin",
        "recursion",
        "How close was the choice?",
        "Winner minus runner-up, in logits. Inside the shaded band a small change would flip the choice.",
        figures.depth_margin_figure,
        recursion.margin_table,
    ),
)
