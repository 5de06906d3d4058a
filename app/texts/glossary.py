"""The glossary: the field's terms in plain words, for the tooltips of the pages and the glossary dialog."""

from collections.abc import Collection
from math import exp

import streamlit as st

from analysis.recursion import NEAR_MISS
from app.texts.markdown import literal
from hooks.trace_checks import PARTS

GROUPS: dict[str, dict[str, str]] = {
    "Text": {
        "token": "A piece of text that the model reads as one unit: a word, a part of one, a sign, a line break. "
        "Tokens count from 0. A leading space belongs to the token.",
        "special token": "A token that the tokenizer added by itself, such as a mark for the beginning. It is drawn "
        "but enters no mean and no count.",
        "surprisal": "−log p of a token, given those before it, in nats: 0 for what the model was sure of, 0.7 at one "
        "half, 7 at one in a thousand. The first token has none. Note which token is meant: "
        "the state at a token has already read it and predicts the next one.",
        "entropy": "How spread out a distribution is, in nats: 0 for one certain outcome, log n for n equally likely "
        "ones. The entropy of a prediction is over all tokens that could come next.",
        "logit": "A score before it becomes a probability. Only differences of logits matter; softmax turns them into "
        "probabilities.",
    },
    "Model": {
        "layer": "One block of the model: attention, then the FFN. Layers count from 0, upwards.",
        "residual stream": "The vector that each token carries through the layers. The attention and the FFN of every "
        "layer read it and add to it.",
        "attention": "How a token reads itself and the tokens before it: every head of a layer gives each of them a "
        "weight, and the weights of a head sum to 1.",
        "FFN": "The feed-forward network of a layer. Here one set of weights serves both paths: the depth path runs "
        "all of it repeatedly, the width path runs slices of it once.",
        "loop": "One pass of a token through the whole shared FFN of a layer. Every token takes at least one loop and "
        "at most the model's maximum.",
        "depth path": "The whole FFN, run in loops. Its output is the state after the loops that the token took.",
        "depth head": "A small linear layer that reads a token's state and gives one logit for each number of loops. "
        "The largest wins.",
        "width path": "A few virtual experts, chosen by the router, run once; their outputs are added to the FFN's "
        "input with the router's weights.",
        "virtual expert": "A slice of the layer's shared FFN, with no weights of its own; expert for short. Expert 3 "
        "of one layer and expert 3 of another are unrelated.",
        "router": "A small linear layer that gives every virtual expert a logit. The top two are kept, and a softmax "
        "over these two gives their weights. (The published models keep two; others may keep more or fewer.)",
        "λ": "The gate, or width share: the weight of the width path when a layer mixes its two paths; the depth path "
        "weighs 1 − λ. λ = (max loops − loops) / max loops, so more loops mean less width, and λ never reaches 1. It "
        "is a weight, not a part of the output: both paths contain the layer's input.",
    },
    "Measures": {
        "E[L]": "The expected number of loops: all numbers of loops, weighted by the depth head's probabilities. What "
        "runs is the most probable number, so the two can differ.",
        "hard difficulty": "(loops − 1) / (max loops − 1), from 0 to 1: the depth that a token got.",
        "soft difficulty": "(E[L] − 1) / (max loops − 1), from 0 to 1: the depth that the depth head "
        "expects to give. It is not how hard a token is; the page Validity shows what it correlates with. A token's "
        "difficulty is the mean over layers.",
        "margin": "The winner's logit minus the runner-up's: how sure a choice was.",
        "near miss": f"A choice with a margin below {NEAR_MISS:g} logits (odds of less than {exp(NEAR_MISS):.1f} to "
        "1): a small change would have flipped it. The bound is the same in every layer, though logits are spread "
        "more widely in some.",
        "did not route": "Said of a token that took all loops: λ is 0, so its width path did not run and it used no "
        "expert. That is neither a zero nor expert 0: it is hatched or marked by a stroke, and left out of every load.",
        "run": (
            "The routing of every token of whole files or datasets, traced once and kept in a folder. Pages about a "
            "run count all of its tokens, or those that pass a filter."
        ),
        "routing vector": "The numbers that say how the model routed a token, over all layers: its loops, the weights "
        "of its experts, its soft difficulty or λ. Each of these blocks is scaled to the same variance, so that each "
        "counts the same.",
        "trustworthiness": (
            "How well a map keeps neighbours: 1 if the points nearest to each other in the plane are also nearest by "
            "their vectors, and lower the farther off they are. Distances between groups do not count."
        ),
        "load": "The share of a layer's routed choices that go to an expert. Tokens that did not route count in none.",
        "load CV": "How uneven the load of a layer's experts is: the standard deviation of their loads over the mean. "
        "It is 0 if all are alike.",
        "balance loss": "What training adds to the loss so that experts share the load: the number of experts times "
        "the sum of load times the router's mean probability. It is 1 if either is even, and larger where the experts "
        "that get most choices are also the likeliest.",
        "dead expert": "An expert that gets less than about a third of an even share of its layer's choices: of eight, "
        "under 4%. Layers with fewer than 20 choices per expert are not judged.",
        "lift": "How often something happens, compared with what is expected. Of a token or class on a card: its share "
        "that made the choice over the share of all tokens. Of pairs of experts: over what their loads alone predict, "
        "in powers of two, where +1 is twice and −1 half as often.",
        "card": "What an expert of a layer, or a number of loops in a layer, serves in a run: its tokens, their "
        "classes, their loops and other experts, and where they stand.",
        "mutual information": "How much knowing one thing, such as the token, says about another, such as its expert. "
        "Normalised: the share of the uncertainty about the choice that is gone. With few tokens and many labels it is "
        "large by chance alone.",
        "FFN-equivalent": "Cost in passes of one token through a dense FFN of the same size: the loops plus the "
        "experts' share of the FFN where the width path ran.",
        "position": "The number of a token, counted from the start of the text. A text beyond the trained context is "
        "read in windows that each begin anew; its positions still count from the start of the text.",
        "generation": "The model goes on with a text: it reads the prompt, chooses a next token from its prediction, "
        "reads that too, and so on. What was computed of earlier tokens is kept (a KV cache): each runs once.",
        "temperature": "What the logits are divided by before a token is drawn: below 1 likely tokens become likelier, "
        "above 1 rarer ones get more chance. At 0 the likeliest token is taken (greedy). Top k and top p leave out all "
        "but the likeliest tokens.",
        "branch": (
            "A generated text that shares its beginning with another one and continues differently from some token "
            "on, because of another choice there or other random numbers."
        ),
        "write": "What one part of a layer (a loop, an expert, attention) adds to the residual stream.",
        "cosine": "How well two directions agree, whatever their lengths: 1 for the same, 0 for orthogonal, −1 for "
        "opposite ones.",
        "regret": "What the best number of loops of a token in a layer would have gained over the one that ran, in "
        "nats of log-probability, with only this cell forced. It is 0 where the choice was best, and never negative.",
        "oracle": (
            "A gate that has read the text that follows, and takes in every cell the loops that help it most. No "
            "real gate can do that; it shows how much there is to gain at most."
        ),
        "KL": "How different a prediction is from another, here the model's own, in nats: 0 if they are the same.",
        "beyond chance": (
            "Over several texts: p below 0.05, corrected over layers. Chance is what remains when one of two series "
            "is reversed within texts or exchanged between texts at equal positions. The larger p counts, so a trend "
            "that all texts share does not count. For position itself, the series are only reversed. "
            "With few texts, p cannot be tiny."
        ),
        "intervention": (
            "A choice forced on the model: the loops, λ or experts of some tokens in some layers. What then differs "
            "is an effect of it, in this model and on this text."
        ),
        "cascade": (
            "The cells (a token in a layer) that choose differently although no intervention names them, because "
            "they read what a named cell wrote: later layers of the same token or of later tokens."
        ),
        "paraphrase": (
            "Two texts that say nearly the same in different words. How much their routing differs shows what a "
            "rewording alone does."
        ),
        "routing transplant": "A text read with the loops, λ and experts that another text had at the same positions. "
        "The words stay, so what changes comes from the decisions.",
        "effect not shown": (
            "The measured effect is within the range of chance. These texts show neither an effect nor its absence."
        ),
        "knock-out": "A run of the text without an expert, to see what the loss becomes. The router may pick another "
        "expert instead, nothing may stand in its place, or the mean of the others. The loops run the same weights, so "
        "an expert can be taken from the width path, from the depth path, or from both.",
        "control": (
            "Another run in which the choices are shuffled among tokens, or made all alike. If it costs something, "
            "the model does worse this way; that does not show that its own choices are the best, since it was "
            "trained with these only."
        ),
        "given frequency": "A partial correlation: what two quantities share beyond how often the token "
        "occurs. Rare tokens are surprising anyway.",
        "Spearman's ρ": "A correlation of ranks, from −1 to 1: whether two quantities rise together, along a line or "
        "not. It shows no cause.",
    },
}
TERMS: dict[str, str] = {term: text for group in GROUPS.values() for term, text in group.items()}
NEEDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("width path", "depth path", "λ", "FFN-equivalent"), ("depth", "gate", "width")),
    **dict.fromkeys(("loop", "depth head", "E[L]", "hard difficulty", "soft difficulty"), ("depth",)),
    **dict.fromkeys(("regret", "oracle"), ("depth",)),
    **dict.fromkeys(("virtual expert", "router", "load", "load CV", "balance loss", "dead expert"), ("width",)),
    **dict.fromkeys(("did not route", "knock-out"), ("width",)),
}
"""Term -> what a model must decide for it to have what the term names; nothing for the others."""
OF_OTHERS: dict[str, tuple[str, str]] = {
    "loop": ("loop", "One pass of a token through all layers or, in a model that can exit after every layer, through "
    "the next one. Every token takes at least one loop and at most the model's maximum."),
    "depth head": ("exit gate", "A small linear layer that reads a token's state after every loop and says whether "
    "the token exits there. Together these give every number of loops a probability, and the likeliest is taken."),
    "E[L]": ("E[L]", "The expected number of loops: all numbers of loops, weighted by their probabilities. What counts "
    "is the most probable number, so the two can differ."),
    "soft difficulty": ("soft difficulty", "(E[L] − 1) / (max loops − 1), from 0 to 1: the depth that the exit gate "
    "expects to give. It is not how hard a token is."),
    "virtual expert": ("expert", "One of several FFNs of a layer, with weights of its own. The router chooses which "
    "of them run for a token. Expert 3 of one layer and expert 3 of another are unrelated."),
    "router": ("router", "A small linear layer that gives every expert a logit. The experts with the largest logits "
    "run, and their weights come from a softmax."),
    "did not route": ("did not route", "Said of a token for which no expert ran in a layer: the layer has no router, "
    "or an intervention took its experts away. That is neither a zero nor expert 0: it is hatched or marked by a "
    "stroke, and left out of every load."),
    "FFN": ("FFN", "The feed-forward network of a layer. A mixture of experts has several in a layer, and a token runs "
    "some of them."),
    "knock-out": ("knock-out", "A run of the text without an expert, to see what the loss becomes. The router may pick "
    "another expert instead, nothing may stand in its place, or the mean of the others."),
    "intervention": ("intervention", "A choice forced on the model: the loops or experts of some tokens in some "
    "layers. What then differs is an effect of it, in this model and on this text."),
}  # fmt: skip
"""Term -> its name and its explanation for models of other families, where those of a VersatileFFN are not true."""


def explained(*terms: str, parts: Collection[str] = PARTS) -> str:
    """These terms with their explanations, as Markdown for a tooltip. KeyError for a term not in the glossary.

    For a model of another family, which decides only these `parts`, terms that name what it does not have are left out,
    and the others are explained as they are true of it.
    """
    return _as_markdown(_told({term: TERMS[term] for term in terms}, parts))


def found(query: str, parts: Collection[str] = PARTS) -> dict[str, dict[str, str]]:
    """The groups with the terms that hold every word of `query`, in the term or in its explanation; all for none.

    Upper and lower case are the same. Terms that hold a word by name come first in their group, and groups that have
    such terms first of all. `parts` are as in `explained`.
    """
    words = query.casefold().split()
    kept = {}
    for group, terms in GROUPS.items():
        told = _told(terms, parts)
        hits = {term: text for term, text in told.items() if all(word in f"{term} {text}".casefold() for word in words)}
        if hits:
            kept[group] = dict(sorted(hits.items(), key=lambda hit: not _by_name(hit[0], words)))
    return dict(sorted(kept.items(), key=lambda group: not any(_by_name(term, words) for term in group[1])))


def _told(terms: dict[str, str], parts: Collection[str]) -> dict[str, str]:
    """Terms and explanations as they are true of a model that decides these parts."""
    if set(parts) == set(PARTS):
        return terms
    return dict(OF_OTHERS.get(term, (term, text)) for term, text in terms.items() if _has(term, parts))


def _has(term: str, parts: Collection[str]) -> bool:
    return set(NEEDS.get(term, ())) <= set(parts)


def _as_markdown(terms: dict[str, str]) -> str:
    return "\n\n".join(f"**{term}**: {text}" for term, text in terms.items())


def _by_name(term: str, words: list[str]) -> bool:
    return any(word in term.casefold() for word in words)


@st.dialog("Glossary", width="large")
def glossary_dialog(parts: Collection[str] = PARTS) -> None:
    """A search, and the terms that it finds, by group: all at first. `parts` are as in `explained`."""
    query = st.text_input("Search the glossary", placeholder="such as: gate, hard, chance", max_chars=80)
    groups = found(query, parts)
    if not groups:
        st.markdown(f"No term has “{literal(query)}”. Try a single word of it.")
    for group, terms in groups.items():
        st.subheader(group, anchor=False)
        st.markdown(_as_markdown(terms))


__all__ = ["GROUPS", "NEEDS", "OF_OTHERS", "TERMS", "explained", "found", "glossary_dialog"]
