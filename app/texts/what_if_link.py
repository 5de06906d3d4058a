"""Interventions in a link: JSON without what is at its default, within a limit, and checked since anybody can write it.

No Streamlit.
"""

import json
from dataclasses import MISSING, fields

from app.limits import MOST_INTERVENTIONS, MOST_INTERVENTIONS_IN_LINK
from hooks.interventions import Intervention, as_json, from_json

TOO_LONG = (
    "These interventions name too many single layers and tokens for a link; name all of them, or a few, or remove one."
)
DAMAGED = "The interventions of this link cannot be read ({}), so the model decides everything itself."
LONGEST_REASON = 120


def to_link(interventions: tuple[Intervention, ...]) -> str:
    """The interventions as a part of an address; empty for none. ValueError if they are too long for one."""
    if not interventions:
        return ""
    made = json.dumps(
        [
            {name: value for name, value in found.items() if name == "kind" or value != _default(each, name)}
            for each, found in zip(interventions, as_json(interventions), strict=True)
        ],
        separators=(",", ":"),
    )
    if len(made) > MOST_INTERVENTIONS_IN_LINK:
        raise ValueError(TOO_LONG)
    return made


def from_link(value: str) -> tuple[Intervention, ...]:
    """The interventions that `to_link` gave. Raises ValueError, with one sentence, for anything else."""
    try:
        if len(value) > MOST_INTERVENTIONS_IN_LINK:
            raise ValueError(f"they are longer than {MOST_INTERVENTIONS_IN_LINK:,} characters")
        found = from_json(json.loads(value))
        if len(found) > MOST_INTERVENTIONS:
            raise ValueError(f"there are more than {MOST_INTERVENTIONS}")
        to_link(found)  # what is shown must fit into the address again, whatever way it was written in
    except json.JSONDecodeError as error:
        raise ValueError(DAMAGED.format("they are no JSON")) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(DAMAGED.format(_shortened(str(error).removesuffix(".")))) from error
    return found


def _shortened(reason: str) -> str:
    """The beginning of a reason, in whole words where it has any, that says that there is more."""
    if len(reason) <= LONGEST_REASON:
        return reason
    words, space, _ = reason[:LONGEST_REASON].rpartition(" ")
    return f"{words.rstrip(',') if space else reason[:LONGEST_REASON]}…"


def _default(intervention: Intervention, name: str) -> object:
    """Default of a field as JSON has it; an object that equals nothing for a field without one."""
    default = next(field.default for field in fields(intervention) if field.name == name)
    return list(default) if isinstance(default, tuple) else default if default is not MISSING else MISSING


__all__ = ["from_link", "to_link"]
