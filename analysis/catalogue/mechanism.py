"""Figures that explain one text: margins, writes, states, attention and cost."""

from analysis import figures
from analysis.catalogue.figure_spec import FigureSpec
from analysis.explain import (
    attention,
    attribution,
    cost,
    embedding,
    geometry,
    ledger,
    lens,
    near_miss,
    slices,
    walkthrough,
)
from analysis.explain.attribution import Attribution
from analysis.explain.embedding import Embedding
from hooks.attention_trace import AttentionTrace
from hooks.lens_trace import LensTrace
from hooks.path_trace import PathTrace
from hooks.slice_trace import SliceTrace

MECHANISM: tuple[FigureSpec, ...] = (
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
        follows=(),
        by_token=True,
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
        follows=("layer",),
        by_token=True,
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
        follows=("token",),
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
        "stream that came in, which alone makes them alike; writes are what each adds to it. The "
        "experts are parts of the FFN that the loops run, so any two agree with them somewhat: circles show the mean "
        "when tokens are dealt the experts of other tokens of the layer. A stroke: the token did not route, so there "
        "is only one path.",
        figures.path_agreement_figure,
        geometry.cosine_table,
        ("of", {"outputs": "Outputs", "writes": "Writes"}, "What is compared"),
        PathTrace,
        follows=(),
        by_token=True,
    ),
    FigureSpec(
        "first_loop",
        "geometry",
        "What the experts make of loop 1",
        "The first loop's step is exactly the sum of all experts' outputs. Each piece is an expert's share of it; "
        "strong and numbered ones were chosen by the router. Tick: how long the chosen ones are together, relative to "
        "the whole step: a ratio of lengths, not a share. Dealt: the same with experts of other tokens of the layer.",
        figures.first_loop_figure,
        geometry.first_loop_table,
        of=PathTrace,
        follows=("layer",),
        by_token=True,
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
        "layer vary most; directions outside the plane are not seen. Later loops, not used, are dotted.",
        figures.trajectory_figure,
        geometry.plane_table,
        ("colour", {"loops": "Loops", "gate": "Gate", "expert": "Expert", "token": "Place"}, "Colour of the lines"),
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
        "neighbourhoods",
        "geometry",
        "Which states are neighbours",
        "UMAP: states that are close lie close together here, as far as a plane allows; lengths, directions and the "
        "gaps between groups mean nothing. Trustworthiness, 0 to 1, falls with every state that lies beside one to "
        "which it is not close; PCA's is for the same states. At most 2,000 states are placed: of more, whole tokens "
        "are drawn with a fixed seed. Later loops, not used, are dotted.",
        figures.embedding_figure,
        embedding.embedding_table,
        (
            "colour",
            {"loops": "Loops", "gate": "Gate", "expert": "Expert", "layer": "Layer", "token": "Place"},
            "Colour of the neighbours",
        ),
        Embedding,
    ),
    FigureSpec(
        "attention_map",
        "attention",
        "What every head read",
        "A row is one head of the selected layer, a column a token that the selected one could read: itself and those "
        "before; strong colour is much attention, and a row sums to 100 %. Below: the loops and λ of every token in "
        "this layer (a stroke: it did not route). The heads read what the layers below left; this layer routes only "
        "afterwards. Attention says what was read, not what it did to the choice. In a text longer than the trained "
        "context all of this is of the selected token's window, which routes the tokens of its overlap anew.",
        figures.attention_map_figure,
        attention.attention_table,
        of=AttentionTrace,
        by_token=True,
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
        "What one token costs",
        "Mean over layers, where one pass through a dense FFN is 1; beside it the FLOPs of one token through the FFNs "
        "of all layers. Baselines have the same sizes. On paper: the loops, and the experts' share of the FFN. "
        "Released code: the authors' code loops all tokens of a batch, here this text, as often as the layer's deepest "
        "one. This project: later loops run only the tokens that chose them, and the experts ride on a pass that runs "
        "anyway.",
        figures.cost_ledger_figure,
        cost.cost_ledger,
        follows=(),
        needs=cost.dense_flops,
    ),
    FigureSpec(
        "cost_by_layer",
        "cost",
        "Cost by layer",
        "Mean over tokens, by the three accounts. One deep token is enough to lift a whole layer of the released code.",
        figures.cost_by_layer_figure,
        cost.cost_by_layer,
        follows=(),
        needs=cost.dense_flops,
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
        follows=(),
        by_token=True,
    ),
)
