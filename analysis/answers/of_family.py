"""Answers about a text in a model of another family: what it decided, as far as its trace names parts."""

import numpy as np

from analysis.aggregate import ordinary
from analysis.answers.answer import Answer, Piece, a_token, answer, share
from analysis.difficulty import surprisal
from analysis.experts import choice_counts, routed
from analysis.models.facts import model_facts
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import how_many
from analysis.words.numbers import number
from hooks.trace import RoutingTrace
from sample_models.adapter_families import LOOPED


def overview_of_family(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> Answer:
    """What the model decided about the tokens of a text, and how well it predicted the text."""
    facts = model_facts(trace)
    pieces: list[Piece] = []
    if "depth" in trace.parts:
        pieces += _loops(trace)
    if "width" in trace.parts:
        pieces += _experts(trace)
    if not trace.parts and facts.family == LOOPED:
        pieces.append("This looped model decides nothing about a token, so there is no routing to show. ")
    elif not trace.parts:
        pieces.append(
            f"This model is a {facts.family}: every token passes one FFN in each of "
            f"{how_many(trace.num_layers, 'layer')}, and nothing is decided about it, so there is no routing to show. "
        )
    return answer(*pieces, *_loss(trace))


def _experts(trace: RoutingTrace) -> list[Piece]:
    """How many experts every token has, in how many layers, and how many of all experts served a token."""
    with_router = int(trace.width_ran.any(axis=1).sum())
    used = int((choice_counts(trace).sum(axis=1) > 0).sum())
    tokens = int(routed(trace).any(axis=0).sum())
    return [
        f"In {with_router} of {how_many(trace.num_layers, 'layer')} a router sends every token to {trace.own_k} of "
        f"{how_many(trace.num_experts, 'expert')}. Of these {with_router * trace.num_experts:,} experts {used:,} "
        f"served at least one of {how_many(tokens, 'token')}. "
    ]


def _loops(trace: RoutingTrace) -> list[Piece]:
    """Mean loops, and the token with the most."""
    counted = ordinary(trace)
    mean = trace.loops.mean(axis=0)
    if not counted.any():
        return []
    most = int(np.where(counted, mean, 0).argmax())
    deepest = int((trace.loops[:, counted] == trace.max_loops).sum())
    return [
        f"On average a token takes {number(float(trace.loops[:, counted].mean()))} of {trace.max_loops} loops; ",
        a_token(trace, most), f" takes most ({number(float(mean[most]))}), and all loops ran in "
        f"{share(deepest / trace.loops[:, counted].size)} of the choices. ",
    ]  # fmt: skip


def _loss(trace: RoutingTrace) -> list[Piece]:
    """Mean surprisal, and the most surprising token."""
    read = surprisal(trace)
    if not np.isfinite(read).any():
        return ["There are too few tokens to say how well it predicts the text."]
    most = int(np.nanargmax(read))
    return [
        f"The mean surprisal of {how_many(int(np.isfinite(read).sum()), 'token')} is "
        f"{number(float(np.nanmean(read)))} nats; ",
        a_token(trace, most), f" surprises it most ({number(float(read[most]), 1)} nats).",
    ]  # fmt: skip


__all__ = ["overview_of_family"]
