"""Every figure that the pages show, once: name, words, picture and the table behind it. Pages and exports walk this."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import plotly.graph_objects as go

from analysis import (
    attention,
    attribution,
    cost,
    difficulty,
    experts,
    figures,
    gate,
    geometry,
    ledger,
    lens,
    near_miss,
    null,
    overview,
    recursion,
    sampling,
    slices,
    walkthrough,
)
from analysis import study as studies
from analysis.attribution import Attribution
from analysis.study import Study
from hooks.attention_trace import AttentionTrace
from hooks.lens_trace import LensTrace
from hooks.path_trace import PathTrace
from hooks.slice_trace import SliceTrace
from hooks.trace import RoutingTrace

Page = Literal[
    "overview",
    "difficulty",
    "gate",
    "experts",
    "recursion",
    "walkthrough",
    "write ledger",
    "recursion lens",
    "geometry",
    "attention",
    "near misses",
    "cost",
    "what decides",
    "validity",
    "models",
]
Drawn = RoutingTrace | PathTrace | Attribution | LensTrace | SliceTrace | AttentionTrace | Study
"""What a figure may draw: a trace, a result that holds the trace of the same text as `routing`, or several texts."""


@dataclass(frozen=True)
class FigureSpec:
    """One figure: how it is called, read and drawn, and the data that it draws."""

    name: str
    """Telling file name, such as gate_map."""
    page: Page
    title: str
    how_to_read: str
    figure: Callable[..., go.Figure]
    """(what it draws, view, *, the option of `choice`) -> figure."""
    table: Callable[[Drawn], pd.DataFrame]
    """The data drawn, for all that was captured, tidy."""
    choice: tuple[str, dict[str, str], str] | None = None
    """An option of the figure function that readers may set, {value: label} (the first value is its default), and
    what is chosen, in words for screen readers."""
    of: type = RoutingTrace
    """What `figure` and `table` take. Only figures of a RoutingTrace can be made from a trace file alone."""


CATALOGUE: tuple[FigureSpec, ...] = (
    FigureSpec(
        "compute_map",
        "overview",
        "What every token costs",
        "A bar is one token: how often the shared FFN ran for it, mean over layers (orange), and what its experts "
        "cost on top (blue). The dotted line is one dense FFN. Experts are cheap: a small part of a bar can carry a "
        "large mixing share λ.",
        figures.compute_map_figure,
        overview.compute_table,
    ),
    FigureSpec(
        "loops_by_layer",
        "overview",
        "Loops by layer",
        "Mean over tokens, with the range of their middle 80 %. Hollow: what the depth head expected before it chose.",
        figures.loops_by_layer_figure,
        overview.loops_by_layer,
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
    ),
    FigureSpec(
        "difficulty_surprisal",
        "difficulty",
        "Does difficulty follow surprise?",
        "Each dot is a token. A rising cloud: harder tokens are those with more surprisal. Token read: the one that "
        "stands there, which the model has already seen. Next token: the one that it predicts from there; only this "
        "says whether difficulty rises where the model predicts badly. By chance: the middle 95 % of ρ when the "
        "surprisals are moved along the text by any number of tokens.",
        figures.difficulty_surprisal_figure,
        difficulty.difficulty_surprisal,
        ("of", {"read": "Token read", "next": "Next token"}, "Surprisal of which token"),
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
    ),
    FigureSpec(
        "gate_levels",
        "gate",
        "Gate levels in each layer",
        "λ takes one level per number of loops. The bar shows the share of tokens, in per cent, at each.",
        figures.gate_levels_figure,
        gate.gate_level_shares,
    ),
    FigureSpec(
        "gate_along_text",
        "gate",
        "Along the text",
        "Dots: the selected layer. Line: mean over layers, smoothed over 7 tokens.",
        figures.gate_along_text_figure,
        gate.gate_table,
    ),
    FigureSpec(
        "expert_map",
        "experts",
        "Chosen expert of every token in every layer",
        "Colour (and number, in short texts) name the expert, a slice of this layer's weights: expert 3 of "
        "layer 2 and of layer 5 are "
        "unrelated. Strong colour: the first choice clearly outweighs the second. A stroke: the token took all its "
        "loops and did not route; no load counts it.",
        figures.expert_map_figure,
        experts.expert_table,
        ("choice", {"first": "First choice", "second": "Second choice"}, "Which choice"),
    ),
    FigureSpec(
        "expert_load",
        "experts",
        "Load in the selected layer",
        "Share of the layer's routed choices. Tokens that did not route have their own bar and are in no other.",
        figures.expert_load_figure,
        experts.expert_load,
    ),
    FigureSpec(
        "expert_load_by_layer",
        "experts",
        "Load in every layer",
        "Each row sums to 100. Strong colour: a favourite. Beside it, the share of tokens that did not route.",
        figures.expert_load_by_layer_figure,
        experts.expert_load,
    ),
    FigureSpec(
        "expert_path",
        "experts",
        "Path of the token through the layers",
        "Filled: first choice. Ring: second choice. Size grows with the weight as far as the rows leave room; grey is "
        "the router's probability for every expert. The line breaks where the token did not route.",
        figures.expert_path_figure,
        experts.all_expert_paths,
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
        null.all_pairs_against_chance,
    ),
    FigureSpec(
        "loop_map",
        "recursion",
        "Loops of every token in every layer",
        "Colour (and number, in short texts): how often the shared FFN ran. More loops: stronger colour, less "
        "width. All loops switch the "
        "width path off.",
        figures.loop_map_figure,
        recursion.loop_table,
    ),
    FigureSpec(
        "loop_shares",
        "recursion",
        "How often each number of loops ran",
        "Share of tokens per layer, in per cent.",
        figures.loop_shares_figure,
        recursion.loop_shares,
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
        "The depth logits of the selected token. Only differences matter, so the bars start at the runner-up. "
        "Filled: what ran.",
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
    FigureSpec(
        "near_miss_map",
        "near misses",
        "How close was every choice?",
        "Strong colour is close: the margin between the choice and the runner-up, in logits, from 0 to 2 and more. "
        "The number in a cell is what a near miss (below 0.25) almost became. Experts: the last one kept against the "
        "first left out, only where the token routed. Soft gate: λ as the depth head's whole belief would set it, "
        "minus the λ that ran; blue leaned more to width than it decided, orange more to depth.",
        figures.near_miss_map_figure,
        near_miss.near_miss_table,
        ("of", {"loops": "Loops", "experts": "Experts", "gate": "Soft gate"}, "Which choice"),
    ),
    FigureSpec(
        "flip_distance",
        "near misses",
        "How large a change flips the loops?",
        "Read upwards: the share of a layer's tokens that a change of this size in their depth logits could flip, if "
        "it pushed the worst way; most changes of that size flip fewer. The smallest that flips a choice is its margin "
        "divided by √2. Dotted: the selected token in the selected layer.",
        figures.flip_distance_figure,
        near_miss.flip_table,
    ),
    FigureSpec(
        "recursion_states",
        "walkthrough",
        "How the state grows, loop by loop",
        "Left: length of the selected token's state, from H on. Right: length of what each loop added to it. Outlined: "
        "where the token left; pale bars were computed for this figure only. Steps that shrink: the recursion settles.",
        figures.recursion_states_figure,
        walkthrough.state_table,
        of=PathTrace,
    ),
    FigureSpec(
        "fusion_plane",
        "walkthrough",
        "The two paths and their mixture, to scale",
        "The plane through H and the outputs of both paths, seen from above: lengths and angles are the true ones. The "
        "output lies on the dotted line, λ of the way from depth to width. A short blue arrow: the experts add little, "
        "so a large λ mostly shortens what the loops wrote.",
        figures.fusion_plane_figure,
        walkthrough.fusion_table,
        of=PathTrace,
    ),
    FigureSpec(
        "write_stack",
        "write ledger",
        "What the selected layer wrote, token by token",
        "Each bar splits the layer's update of a token into its exact parts: (1 − λ) times the step of each loop that "
        "ran (orange, stronger is later) and λ times the weighted output of each expert (blue, with its number). Parts "
        "below zero work against the update; the ink tick is the whole of it. No blue: the token did not route.",
        figures.write_stack_figure,
        ledger.ledger_table,
        ("measure", {"projection": "Projection", "norm": "Norm", "share": "Share"}, "Measure of the writes"),
        PathTrace,
    ),
    FigureSpec(
        "write_waterfall",
        "write ledger",
        "The selected token, write by write",
        "Each bar starts where the one before ended; the last is the whole update. Weight: 1 − λ of a loop, λ times "
        "the router's weight of an expert; the norm includes it. Cosine: between the write and the update.",
        figures.write_waterfall_figure,
        ledger.ledger_table,
        of=PathTrace,
    ),
    FigureSpec(
        "stream_ledger",
        "write ledger",
        "The whole stream of the selected token",
        "All that was ever written to this token's residual stream, projected on the stream as the final norm reads "
        "it. Parts below zero were undone later; the line is the sum so far and ends at the stream's full length.",
        figures.stream_ledger_figure,
        ledger.stream_table,
        of=PathTrace,
    ),
    FigureSpec(
        "logit_attribution",
        "write ledger",
        "What each write adds to the prediction",
        "Green adds to the logit, magenta takes from it, read straight from the stream with the final norm frozen as "
        "it was: so the parts sum exactly. Diamond: how far the logit really falls when this write alone is "
        "removed. The difference is the answer of what comes after, the later layers and the norm.",
        figures.logit_attribution_figure,
        attribution.attribution_table,
        ("writes", {"layer": "This layer", "largest": "Largest of all"}, "Which writes"),
        Attribution,
    ),
    FigureSpec(
        "attribution_by_layer",
        "write ledger",
        "Where the logit comes from",
        "The same contributions for all layers. The line adds them up and ends at the model's own logit, or difference "
        "of logits.",
        figures.attribution_by_layer_figure,
        attribution.attribution_table,
        of=Attribution,
    ),
    FigureSpec(
        "lens_grid",
        "recursion lens",
        "The prediction, layer by layer and loop by loop",
        "Each cell is the likeliest next token, strong where it is probable. Read the state: final norm and "
        "unembedding read the state as it is, as if nothing came after. Leave here: the layer lets the token go after "
        "this loop, λ follows, and the rest of the network runs. Outlined: where it left.",
        figures.lens_grid_figure,
        lens.lens_table,
        ("reading", {"state": "Read the state", "exit": "Leave here"}, "How the loops are read"),
        LensTrace,
    ),
    FigureSpec(
        "lens_layer",
        "recursion lens",
        "The selected layer, loop by loop",
        "Rank and probability are those of the token that you chose. KL: how far this prediction is from the model's "
        "own, in nats; 0 is the same. Loops after the outlined one were computed only to look.",
        figures.lens_layer_figure,
        lens.lens_table,
        ("reading", {"state": "Read the state", "exit": "Leave here"}, "How the loops of the layer are read"),
        LensTrace,
    ),
    FigureSpec(
        "lens_path",
        "recursion lens",
        "How the prediction comes about",
        "Each layer holds its loops from left to right, beginning before the first. The line follows the states that "
        "were used. A diamond is the final prediction, had the token left that layer after that loop.",
        figures.lens_path_figure,
        lens.lens_table,
        ("measure", {"kl": "KL", "probability": "Probability", "entropy": "Entropy"}, "Measure of the prediction"),
        LensTrace,
    ),
    FigureSpec(
        "path_agreement",
        "geometry",
        "Do the two paths agree?",
        "Cosine between what width and depth give, from -1 (opposite) to 1 (the same direction). Outputs both hold the "
        "stream that came in, which alone makes them alike; writes are what each adds to it. A stroke: the token did "
        "not route, so there is only one path.",
        figures.path_agreement_figure,
        geometry.cosine_table,
        ("of", {"outputs": "Outputs", "writes": "Writes"}, "What is compared"),
        PathTrace,
    ),
    FigureSpec(
        "first_loop",
        "geometry",
        "What the experts make of loop 1",
        "The first loop's step is exactly the sum of all experts' outputs. Each piece is an expert's share of it; "
        "strong and numbered ones were chosen by the router. Tick: how long the chosen ones are together, relative to "
        "the whole step.",
        figures.first_loop_figure,
        geometry.first_loop_table,
        of=PathTrace,
    ),
    FigureSpec(
        "loop_slices",
        "geometry",
        "Which slices the loops use",
        "The depth path asks no router: every loop uses the whole FFN. Its step is exactly the sum of what the "
        "experts' slices give; each piece is one slice's share, below zero where it works against the step.",
        figures.loop_slices_figure,
        slices.slice_table,
        ("tokens", {"all": "All tokens", "selected": "Selected token"}, "Whose loops"),
        SliceTrace,
    ),
    FigureSpec(
        "trajectories",
        "geometry",
        "Where the loops lead",
        "Each line is a token's state from before the layer to where it left, in the plane in which all states of the "
        "layer vary most; directions outside the plane are not seen. The selected token's later loops, not used, are "
        "dotted.",
        figures.trajectory_figure,
        geometry.plane_table,
        ("colour", {"loops": "Loops", "gate": "Gate", "expert": "Expert"}, "Colour of the lines"),
        PathTrace,
    ),
    FigureSpec(
        "steps",
        "geometry",
        "Does the recursion settle?",
        "Left of 1 the steps shrink, right of it they grow; high up they turn back. All loops count, used or not. "
        + geometry.RULE,
        figures.steps_figure,
        geometry.steps_table,
        of=PathTrace,
    ),
    FigureSpec(
        "attention_map",
        "attention",
        "What every head read",
        "A row is one head of the selected layer, a column a token that the selected one could read: itself and those "
        "before; strong colour is much attention, and a row sums to 100 %. Below: the loops and λ of every token in "
        "this layer (a stroke: it did not route). The heads read what the layers below left; this layer routes only "
        "afterwards. Attention says what was read, not what it did to the choice.",
        figures.attention_map_figure,
        attention.attention_table,
        of=AttentionTrace,
    ),
    FigureSpec(
        "attention_by_loops",
        "attention",
        "Does it read the tokens that loop more?",
        "Wide bars: the selected token's attention, mean over heads, by the loops that the tokens read take in the "
        "same layer. Narrow bars: the share of those tokens, which is what their attention would be on average if the "
        "loops were dealt out anew among them. The token itself and those that the tokenizer added are not counted; "
        "the first token of the text is, and one such token can make a bar.",
        figures.attention_by_loops_figure,
        attention.attention_by_loops,
        of=AttentionTrace,
    ),
    FigureSpec(
        "cost_ledger",
        "cost",
        "What one token costs in one layer",
        "One pass through a dense FFN is 1; beside it the FLOPs of one token through the FFNs of all layers. Baselines "
        "have the same sizes. On paper: the loops, and the experts' share of the FFN. Released code: the authors' code "
        "loops all tokens of a batch, here this text, as often as the layer's deepest one. This project: later loops "
        "run only the tokens that chose them, and the experts ride on a pass that runs anyway.",
        figures.cost_ledger_figure,
        cost.cost_ledger,
    ),
    FigureSpec(
        "cost_by_layer",
        "cost",
        "Cost by layer",
        "Mean over tokens, by the three accounts. One deep token is enough to lift a whole layer of the released code.",
        figures.cost_by_layer_figure,
        cost.cost_by_layer,
    ),
    FigureSpec(
        "cost_map",
        "cost",
        "Where the cost arises",
        "Strong colour is costly: dense FFN passes of every token in every layer, by the account that you choose.",
        figures.cost_map_figure,
        cost.cost_table,
        (
            "account",
            {"nominal": "On paper", "released": "Released code", "ours": "This project"},
            "By which account",
        ),
    ),
    FigureSpec(
        "routing_sources",
        "what decides",
        "How much do token and place foretell?",
        "How much of the uncertainty about a token's loops, and about its first expert, counts from the other texts "
        "remove, with 95 % intervals over texts. Filled: beyond chance (p below 0.05, Benjamini-Hochberg over layers); "
        "below 0 the counts mislead. Routing follows from the text alone, so what is left is context, and what so few "
        "texts cannot teach.",
        figures.sources_figure,
        lambda study: study.routing_sources,
        of=Study,
    ),
    FigureSpec(
        "together",
        "what decides",
        "Which choices go together?",
        "Information that two choices of the same token share, less what chance gives: 1 if one settles the other, 0 "
        "at chance. Filled: p below 0.05, corrected over layers. Experts count only where a token routed. It names no "
        "cause: both choices follow from the same state.",
        figures.together_figure,
        studies.together_table,
        of=Study,
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
    ),
    FigureSpec(
        "validity_by_layer",
        "validity",
        "What difficulty goes together with",
        "Spearman's ρ within each text, averaged over texts by their tokens. Bold: p below 0.05, two-sided, by "
        "rotation within texts, Benjamini-Hochberg over layers. Only the surprisal of the next token says how badly "
        "the model predicts from there. None of this shows a cause.",
        figures.validity_by_layer_figure,
        studies.validity_table,
        ("kind", {"soft": "Soft", "hard": "Hard"}, "Kind of difficulty studied"),
        Study,
    ),
    FigureSpec(
        "validity_intervals",
        "validity",
        "How far would other texts agree?",
        "95 % intervals of ρ, from texts drawn anew. One that holds 0 leaves open even the direction.",
        figures.validity_intervals_figure,
        studies.validity_table,
        ("kind", {"soft": "Soft", "hard": "Hard"}, "Kind of difficulty in the intervals"),
        Study,
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
    ),
    FigureSpec(
        "drawn_loops",
        "models",
        "Would training have chosen the same loops?",
        "In training, Gumbel noise is added to the depth logits and the largest wins; here the same is done 32 times "
        "to this text. Filled: share of tokens whose drawn loops are those that eval picks. Hollow: weight of the "
        "drawn loops in the softmax at τ, on which the gradient rests. Bars: middle 80 % of the draws. τ moves the "
        "hollow dots alone: it changes no choice.",
        figures.drawn_loops_figure,
        sampling.sampling_table,
        ("tau", {"0.1": "τ 0.1", "1": "τ 1", "5": "τ 5"}, "Temperature"),
    ),
)


def routing_of(drawn: Drawn) -> RoutingTrace | Study:
    """What the numbers and the source of a figure speak of: the trace of its text, or the study of its texts."""
    return drawn if isinstance(drawn, RoutingTrace | Study) else drawn.routing


_BY_NAME = {each.name: each for each in CATALOGUE}


def spec(name: str) -> FigureSpec:
    """The catalogue's entry of this name; ValueError names the known ones."""
    if name not in _BY_NAME:
        raise ValueError(f"there is no figure {name!r}; there are {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


__all__ = ["CATALOGUE", "Drawn", "FigureSpec", "routing_of", "spec"]
