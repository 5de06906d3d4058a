"""The glossary: the field's terms in plain words, for the tooltips of the pages and the glossary dialog."""

from math import exp

import streamlit as st

from analysis.recursion import NEAR_MISS

GROUPS: dict[str, dict[str, str]] = {
    "Text": {
        "token": "A piece of text that the model reads as one unit: a word, a part of one, a sign, a line break. "
        "Tokens count from 0. A leading space belongs to the token.",
        "special token": "A token that the tokenizer added by itself, such as a mark for the beginning. It is drawn "
        "but enters no mean and no count.",
        "surprisal": "−log p of a token, given those before it, in nats: 0 for what the model was sure of, 0.7 at one "
        "half, 7 at one in a thousand. The first token has none. Mind which token: the state at a token has read it "
        "and predicts the next.",
        "entropy": "How spread out a distribution is, in nats: 0 for one certain outcome, log n for n equally likely "
        "ones. Of the prediction: over all tokens that could come next.",
        "logit": "A score before it becomes a probability. Only differences of logits matter; softmax turns them into "
        "probabilities.",
    },
    "Model": {
        "layer": "One block of the model: attention, then the FFN. Layers count from 0, upwards.",
        "residual stream": "The vector that each token carries through the layers. Every attention and every FFN reads "
        "it and adds to it.",
        "attention": "How a token reads itself and the tokens before it. Every head of a layer gives each of them a "
        "weight; the weights of a head sum to 1.",
        "FFN": "The feed-forward network of a layer. Here one set of weights serves both paths: whole and repeatedly "
        "(depth), and in slices (width).",
        "loop": "One pass of a token through the layer's shared FFN. Every token takes at least one, and at most the "
        "model's maximum.",
        "depth path": "The looped FFN. Its output is the state after the loops that the token took.",
        "depth head": "A small linear layer that reads a token's state and gives one logit for each number of loops. "
        "The largest wins.",
        "width path": "Two virtual experts, chosen by the router, added to the FFN's input with their weights.",
        "virtual expert": "A slice of the layer's shared FFN, with no weights of its own. Expert 3 of one layer and "
        "expert 3 of another are unrelated.",
        "router": "A small linear layer that gives every virtual expert a logit. The top two are kept, and a softmax "
        "over these two makes their weights. (The published models keep two; a model's configuration says.)",
        "λ": "The gate: weight of the width path when a layer mixes its two paths; the depth path weighs 1 − λ. "
        "λ = (max loops − loops) / max loops, so more loops mean less width, and λ never reaches 1. It is a mixing "
        "share, not a part of the output: both paths contain the layer's input.",
    },
    "Measures": {
        "E[L]": "Expected loops: the numbers of loops, weighted by the depth head's probabilities. What it leaned to, "
        "where the loops that ran are what it decided.",
        "hard difficulty": "(loops − 1) / (max loops − 1), from 0 to 1: what was decided.",
        "soft difficulty": "(E[L] − 1) / (max loops − 1), from 0 to 1: what the depth head leaned to. A token's "
        "difficulty is the mean over layers.",
        "margin": "The winner's logit minus the runner-up's: how sure a choice was.",
        "near miss": f"A choice with a margin below {NEAR_MISS:g} logits (odds of less than {exp(NEAR_MISS):.1f} to "
        "1): a small change would have flipped it.",
        "did not route": "A token that took all its loops has λ = 0: its width path did not run and it used no expert. "
        "That is no zero and no expert 0, so it is hatched or stroked, and left out of every load.",
        "load": "The share of a layer's routed choices that go to an expert. Tokens that did not route are in none.",
        "lift": "How often two experts are chosen together, against what their loads alone would bring; in powers of "
        "two: +1 is twice as often, −1 half as often.",
        "FFN-equivalent": "Cost in passes of one token through a dense FFN of the same size: the loops, and the "
        "experts' share of the FFN where the width path ran.",
        "write": "What one part of a layer (a loop, an expert, attention) adds to the residual stream.",
        "cosine": "How far two directions agree, whatever their lengths: 1 for the same, 0 for right angles, −1 for "
        "opposite ones.",
        "KL": "How far one prediction is from another, in nats: 0 if they are the same. Here from the model's own "
        "prediction.",
        "beyond chance": "Over several texts: p below 0.05, corrected over layers. Chance is what is left when one of "
        "two series is read backwards within texts, and when texts exchange it at equal positions: the larger p holds; "
        "so a trend that all texts share is no finding. For position itself: only read backwards. p of few texts is "
        "never tiny.",
        "Spearman's ρ": "Correlation of ranks, from −1 to 1: whether two quantities rise together, along a line or "
        "not. It shows no cause.",
    },
}
TERMS: dict[str, str] = {term: text for group in GROUPS.values() for term, text in group.items()}


def explained(*terms: str) -> str:
    """These terms with their explanations, as Markdown for a tooltip. KeyError for a term not in the glossary."""
    return "\n\n".join(f"**{term}**: {TERMS[term]}" for term in terms)


@st.dialog("Glossary", width="large")
def glossary_dialog() -> None:
    """All terms, by group."""
    for group, terms in GROUPS.items():
        st.subheader(group, anchor=False)
        st.markdown(explained(*terms))


__all__ = ["GROUPS", "TERMS", "explained", "glossary_dialog"]
