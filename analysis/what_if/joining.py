"""Joining: a new intervention beside those that are there, so that a list of them stays short."""

from dataclasses import replace

from hooks.interventions import Intervention
from sample_models.intervention import Indices

Interventions = tuple[Intervention, ...]


def joined(interventions: Interventions, new: Intervention) -> Interventions:
    """The interventions with a new one at their end, where it counts before all others.

    Those of its kind that it covers make room for it (of dropped experts and paths only those of the same one). If the
    last one says the same of other tokens in the same layers, or in other layers of the same tokens, the two become
    one.
    """
    rest = tuple(each for each in interventions if not _takes_the_place_of(new, each))
    if rest and type(rest[-1]) is type(new):
        for place in ("tokens", "layers"):
            both = _either(getattr(rest[-1], place), getattr(new, place))
            merged = replace(new, **{place: both})
            if merged == replace(rest[-1], **{place: both}):
                return *rest[:-1], merged
    return *rest, new


def _takes_the_place_of(new: Intervention, old: Intervention) -> bool:
    same = type(old) is type(new) and all(
        getattr(old, what, None) == getattr(new, what, None) for what in ("expert", "path")
    )
    return same and _covers(new.layers, old.layers) and _covers(new.tokens, old.tokens)


def _covers(one: Indices, other: Indices) -> bool:
    return one is None or (other is not None and set(one) >= set(other))


def _either(one: Indices, other: Indices) -> Indices:
    return None if one is None or other is None else (*one, *other)


__all__ = ["joined"]
