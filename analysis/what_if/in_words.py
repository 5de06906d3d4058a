"""Interventions that a reader writes in words, such as "all tokens, layer 3: 4 loops".

Before the colon stands where, after it what; without a colon it is meant everywhere. Several are parted by semicolons.
Upper and lower case are the same. What a phrase can say is in `EXAMPLES`.
"""

import re
from collections.abc import Callable
from functools import partial

from analysis.words.labels import how_many
from hooks.interventions import (
    DropExpert,
    DropPath,
    ForceExperts,
    ForceGate,
    ForceLoops,
    ForceTopK,
    Intervention,
)
from sample_models.intervention import Indices, Sizes, short

_PHRASES = {
    "all tokens, layer 3: 4 loops": ("depth",),
    "token 5, layers 0-2: 1 loop, λ held": ("depth", "gate"),
    "tokens 3-6: λ = 0.5": ("gate",),
    "layer 2: experts 1 and 4": ("width",),
    "layer 2: best 1 expert": ("width",),
    "layer 3: no expert 5, then kept": ("width",),
    "layers 4-5: no width path": ("gate",),
    "layers 4-5: no experts": ("width",),
}
"""One phrase of every kind -> the parts that a model must decide for it."""
_NO_EXPERTS = "layers 4-5: no experts"
"""The same as without a width path, for models with no other path."""
EXAMPLES = tuple(_PHRASES)
_PLACE = "token 5, layers 0-2"
MOST_CHARACTERS = 300
_NUMBER = re.compile(r"\d{1,6}")
_WHERE = re.compile(r"(?P<what>layer|token)s? (?P<numbers>\d+(?:(?:\s|,|and|-)+\d+)*)")
_ALL = re.compile(r"(?:all|every|each) (?P<what>layer|token)s?|everywhere|all")
_RANGE = re.compile(r"(?P<first>\d{1,6}) ?- ?(?P<last>\d{1,6})")
_NAMED = re.compile(r"\b(?:(layer|token|expert)s? (\d+)(?:(-| and )(\d+))?|(\d+) loops?)")
"""What an example names that a model or a text may not have."""
_MOST_NUMBERS = 100_000
"""A range holds no more numbers: no text has so many tokens."""


def examples_of(sizes: Sizes) -> list[str]:
    """The examples for a model and a text of these sizes, which have all that they name; none if it decides nothing."""
    had = [phrase for phrase, needed in _PHRASES.items() if set(needed) <= sizes.parts]
    if "gate" in sizes.parts:
        had.remove(_NO_EXPERTS)
    return [_NAMED.sub(partial(_fitted, sizes), phrase) for phrase in had]


def _fitted(sizes: Sizes, found: re.Match) -> str:
    """What an example names, with numbers that a model and a text have."""
    what, first, between, last, loops = found.groups()
    if loops:
        return how_many(min(int(loops), sizes.max_loops), "loop")
    most = {"layer": sizes.layers, "token": sizes.tokens or _MOST_NUMBERS, "expert": sizes.experts}[what] - 1
    if last is None or most == 0:
        return f"{what} {min(int(first), most)}"
    moved = max(int(last) - most, 0)
    return f"{what}s {max(int(first) - moved, 0)}{between}{int(last) - moved}"


def interventions_in_words(text: str, example: str = EXAMPLES[0]) -> tuple[Intervention, ...]:
    """What a reader has written, at least one.

    Raises ValueError, with one sentence, for what is not understood; `example` stands there as what can be written.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"Write at most {MOST_CHARACTERS} characters, this has {len(text):,}.")
    phrases = [phrase for phrase in map(_plain, text.split(";")) if phrase]
    if not phrases:
        raise ValueError(f"Write where and what, such as “{example}”.")
    return tuple(_of_phrase(phrase, example) for phrase in phrases)


def _plain(phrase: str) -> str:
    """A phrase in small letters, with single spaces and one kind of dash."""
    phrase = re.sub("[\u2010-\u2015\u2212]", "-", phrase.casefold())
    return " ".join(phrase.split())


def _of_phrase(phrase: str, example: str) -> Intervention:
    where, colon, what = phrase.rpartition(":")
    places = _places(where) if colon else {}
    what = what.strip(" .")
    for pattern, make in _KINDS:
        if found := re.fullmatch(pattern, what):
            return _made(make, found, places)
    raise ValueError(f"“{_shown(what)}” is not understood as what to change; write it as in “{example}”.")


def _made(make: Callable[..., Intervention], found: re.Match, places: dict[str, Indices]) -> Intervention:
    try:
        return make(found, places)
    except ValueError as error:
        raise ValueError(f"{str(error).removesuffix('.')}.") from error


def _places(where: str) -> dict[str, Indices]:
    """layers and tokens that a phrase names; a kind of place that it does not name is meant whole."""
    places: dict[str, Indices] = {}
    rest = where.strip()
    while rest:
        found = _ALL.match(rest) or _WHERE.match(rest)
        what = found and (found["what"] or "token")
        if not found or f"{what}s" in places:
            raise ValueError(f"“{_shown(rest)}” is not understood as a place; write it as in “{_PLACE}”.")
        places[f"{what}s"] = _numbers(found["numbers"]) if "numbers" in found.groupdict() else None
        rest = re.sub(r"^(?:\s|,|and\b|in\b|of\b)+", "", rest[found.end() :])
    return places


def _numbers(text: str) -> tuple[int, ...]:
    """Numbers and ranges such as "1, 3-5 and 7"."""
    numbers: list[int] = []
    for part in re.split(r",|and|(?<=\d) (?=\d)", text):
        if found := _RANGE.fullmatch(part.strip()):
            first, last = int(found["first"]), int(found["last"])
            if last < first or last - first > _MOST_NUMBERS:
                raise ValueError(f"“{_shown(part.strip())}” is no range; write the smaller number first, as in 3-5.")
            numbers += range(first, last + 1)
        elif _NUMBER.fullmatch(part.strip()):
            numbers.append(int(part))
        elif part.strip():
            raise ValueError(f"“{_shown(part.strip())}” is no number; write numbers as in “{_PLACE}”.")
    if not numbers:
        raise ValueError(f"Write the number of a layer or a token, as in “{_PLACE}”.")
    return tuple(numbers)


def _shown(text: str) -> str:
    """The beginning of what was written, in plain characters."""
    return short(text)[1:-1]


_KINDS: tuple[tuple[str, Callable[..., Intervention]], ...] = (
    (
        r"(\d{1,6}) loops?(?:,? (?:λ|lambda|gate) (held|follows))?",
        lambda found, places: ForceLoops(int(found[1]), gate=found[2] or "follows", **places),
    ),
    (
        r"(?:λ|lambda|gate) ?=? ?(\d{1,3}(?:\.\d{1,6})?)",
        lambda found, places: ForceGate(float(found[1]), **places),
    ),
    (
        r"best (\d{1,6})?(?: ?experts?)?(?:,? weights (renormalised|kept))?",
        lambda found, places: ForceTopK(int(found[1] or 1), weights=found[2] or "renormalised", **places),
    ),
    (
        r"experts? (\d+(?:(?:\s|,|and|-)+\d+)*)(?:,? weights (renormalised|kept))?",
        lambda found, places: ForceExperts(_numbers(found[1]), weights=found[2] or "renormalised", **places),
    ),
    (
        r"(?:no|without) expert (\d{1,6})(?: in (?:the )?(width|depth|both)(?: paths?)?)?"
        r"(?:,? then (repick|renormalised|kept|mean))?",
        lambda found, places: DropExpert(int(found[1]), path=found[2] or "width", then=found[3] or "repick", **places),
    ),
    (
        r"(?:no|without) (width|depth)(?: path)?(?:,? other (kept|renormalised))?",
        lambda found, places: DropPath(found[1], other=found[2] or "kept", **places),
    ),
    (
        r"(?:no|without)(?: any)? experts",
        lambda found, places: DropPath("width", **places),
    ),
)
"""What can be said of a decision -> the intervention."""

__all__ = ["EXAMPLES", "MOST_CHARACTERS", "examples_of", "interventions_in_words"]
