"""The form of the filter of a run: its fields' keys, what they begin with, and the filter that they make."""

from dataclasses import replace
from typing import Any

import streamlit as st

from analysis.runs.filters import TokenFilter
from analysis.runs.schema import Sizes
from app.session import run_choice

ANY = None
"""Value of a select box that leaves out no token."""


def field_key(name: str) -> str:
    """Key of a field's widget: another one whenever the filter was changed, so that the field begins with it."""
    return f"run-{name}-{run_choice.filter_number()}"


def begins_with(name: str, sizes: Sizes) -> Any:
    """What a field shows before it is touched."""
    chosen = run_choice.chosen_filter()
    if name.startswith("other-"):
        return dict(chosen.others).get(name.removeprefix("other-"), ANY)
    if name == "positions":
        return "" if chosen.positions is None else "-".join(map(str, chosen.positions))
    value = getattr(chosen, name)
    if name == "difficulty":
        return value or (0.0, 1.0)
    return list(value) if name in ("sources", "loops") else value


def filter_of_form(others: tuple[str, ...]) -> TokenFilter:
    """The filter that the fields make, as they stand now; a field that was not drawn leaves its part as it was."""
    chosen = run_choice.chosen_filter()
    values = {name: value for name in _FIELDS if (value := _value(name)) is not _NOT_DRAWN}
    made: dict[str, Any] = {
        name: values[name] for name in ("in_prompt", "text", "expert", "layer", "special") if name in values
    }
    made |= {name: tuple(sorted(values[name])) for name in ("sources", "loops") if name in values}
    if "difficulty" in values:
        low, high = values["difficulty"]
        made["difficulty"] = None if (low, high) == (0.0, 1.0) else (float(low), float(high))
    if "positions" in values:
        made["positions"] = positions_of(values["positions"])
    drawn = {name: value for name in others if (value := _value(f"other-{name}")) is not _NOT_DRAWN}
    kept = [(name, value) for name, value in chosen.others if name not in drawn]
    made["others"] = (*kept, *((name, value) for name, value in drawn.items() if value is not ANY))
    return replace(chosen, **made)


def positions_of(words: str) -> tuple[int, int] | None:
    """Positions from and to, of words such as "0-9" or "5"; None for anything else, and for nothing."""
    first, dash, last = (part.strip() for part in words.replace("–", "-").partition("-"))
    if not (first.isdecimal() and len(first) < 9 and len(last) < 9 and (last.isdecimal() or not dash)):
        return None
    low, high = int(first), int(last) if dash else int(first)
    return min(low, high), max(low, high)


def take_form(others: tuple[str, ...]) -> None:
    """Have the tokens count that the form says."""
    run_choice.choose_filter(filter_of_form(others))


_FIELDS = ("sources", "in_prompt", "text", "loops", "expert", "layer", "difficulty", "positions", "special")
_NOT_DRAWN = object()


def _value(name: str) -> Any:
    return st.session_state.get(field_key(name), _NOT_DRAWN)


__all__ = ["ANY", "begins_with", "field_key", "filter_of_form", "positions_of", "take_form"]
