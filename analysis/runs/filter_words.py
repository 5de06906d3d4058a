"""A filter of a run's tokens in words, part by part."""

from dataclasses import replace

from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.words.labels import how_many
from analysis.words.numbers import number

LONGEST = 40
"""Letters of a value that the reader's file brought."""


def filter_parts(chosen: TokenFilter) -> list[tuple[str, TokenFilter]]:
    """Each part of the filter in a few words, with the filter that is left without it."""
    found = [
        (f"source {_short(source)}", replace(chosen, sources=tuple(each for each in chosen.sources if each != source)))
        for source in chosen.sources
    ]
    found += [
        (f"{_short(name)}: {_short(value)}", replace(chosen, others=_without(chosen.others, (name, value))))
        for name, value in chosen.others
    ]
    if chosen.in_prompt:
        found.append((f"prompt has “{_short(chosen.in_prompt)}”", replace(chosen, in_prompt="")))
    if chosen.text:
        found.append((f"token has “{_short(chosen.text)}”", replace(chosen, text="")))
    if chosen.token_ids:
        found.append((how_many(len(chosen.token_ids), "token id"), replace(chosen, token_ids=())))
    if chosen.loops:
        loops = " or ".join(map(str, chosen.loops))
        word = "loop" if chosen.loops == (1,) else "loops"
        found.append((f"{loops} {word}", replace(chosen, loops=())))
    if chosen.expert is not None:
        found.append((f"expert {chosen.expert}", replace(chosen, expert=None)))
    if chosen.difficulty is not None:
        low, high = map(number, chosen.difficulty)
        found.append((f"difficulty {low} to {high}", replace(chosen, difficulty=None)))
    if chosen.layer is not None:
        found.append((f"in layer {chosen.layer}", replace(chosen, layer=None)))
    if chosen.positions is not None:
        first, last = chosen.positions
        found.append((f"positions {first:,} to {last:,}", replace(chosen, positions=None)))
    if chosen.among is not None:
        found.append((f"{how_many(len(chosen.among), 'token')} chosen on the map", replace(chosen, among=None)))
    if chosen.special:
        found.append(("special tokens too", replace(chosen, special=False)))
    return found


def in_words(chosen: TokenFilter) -> str:
    """The whole filter in a few words; empty if all tokens of the texts count."""
    return "" if chosen == ALL_TOKENS else ", ".join(words for words, _ in filter_parts(chosen))


def _without(pairs: tuple, pair: tuple) -> tuple:
    return tuple(each for each in pairs if each != pair)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


__all__ = ["filter_parts", "in_words"]
