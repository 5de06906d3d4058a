"""Interventions in files and in traces: as JSON, checked since it may come from anywhere, and in words.

    [{"kind": "ForceLoops", "loops": 4, "layers": [3]}, {"kind": "DropPath", "path": "width", "tokens": [0, 1]}]

The kinds and their fields are those of `sample_models.interventions`, where each has its equation; fields that are not
given have their default. `UseRouting` holds its decisions under "routing"; `hooks.intervention_file` reads them from a
trace file.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sample_models.intervention import EVERY_PART, Intervention, short
from sample_models.interventions import (
    KINDS,
    DropExpert,
    DropPath,
    ForceExperts,
    ForceGate,
    ForceLoops,
    ForceTopK,
    UseRouting,
    fields_of,
)
from sample_models.routing import Routing

MAX_INTERVENTIONS = 100_000
TOLD = 4
"""Interventions that `in_words` names before it says how many more there are."""


def as_json(interventions: Sequence[Intervention]) -> list[dict[str, Any]]:
    """Interventions as values for `json.dumps`; `from_json` is the inverse."""
    return [
        {"kind": each.kind}
        | {
            name: value.as_json() if isinstance(value, Routing) else list(value) if isinstance(value, tuple) else value
            for name in fields_of(type(each))
            if (value := getattr(each, name)) is not None
        }
        for each in interventions
    ]


def from_json(data: Any) -> tuple[Intervention, ...]:
    """The interventions that `as_json` gave. Raises ValueError, in one sentence, for anything else."""
    if not isinstance(data, list) or not 0 < len(data) <= MAX_INTERVENTIONS:
        raise ValueError(f"interventions must be a list of 1 to {MAX_INTERVENTIONS:,} objects")
    return tuple(map(_from_object, data))


def _from_object(data: Any) -> Intervention:
    if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
        raise ValueError(f'an intervention must be an object with a "kind", got {short(data)}')
    if (kind := KINDS.get(data["kind"])) is None:
        raise ValueError(f"the kind of an intervention must be one of {', '.join(KINDS)}, got {short(data['kind'])}")
    names, given = fields_of(kind), {name: value for name, value in data.items() if name != "kind"}
    if unknown := sorted(given.keys() - set(names)):
        raise ValueError(f"{kind.__name__} has the fields {', '.join(names)}, and not {short(unknown[0])}")
    if names[0] not in given:
        raise ValueError(f"{kind.__name__} needs {names[0]}")
    if kind is UseRouting:
        given["routing"] = Routing.from_json(given["routing"])
    return kind(**given)


def in_words(interventions: Sequence[Intervention], parts: Collection[str] = EVERY_PART) -> str:
    """What interventions do in a model that decides these `parts`, as the end of a sentence; empty for none."""
    if len(interventions) < 2:
        return "".join(each.words(parts) for each in interventions)
    told = [f"({number}) {each.words(parts)}" for number, each in enumerate(interventions[:TOLD], start=1)]
    more = len(interventions) - len(told)
    return ", ".join([*told, f"and {more:,} more"] if more else told)


__all__ = [
    "DropExpert", "DropPath", "ForceExperts", "ForceGate", "ForceLoops", "ForceTopK", "Intervention", "UseRouting",
    "as_json", "from_json", "in_words",
]  # fmt: skip
