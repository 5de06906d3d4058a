"""Interventions in files and in traces: as JSON, checked since it may come from anywhere, and in words.

    [{"kind": "ForceLoops", "loops": 4, "layers": [3]}, {"kind": "DropPath", "path": "width", "tokens": [0, 1]}]

The kinds and their fields are those of `sample_models.interventions`, where each has its equation; fields that are not
given have their default. `UseRouting` holds its decisions under "routing" or, in a file, names a trace file under
"trace", beside which the path is read.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sample_models.intervention import Intervention, short
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

if TYPE_CHECKING:
    from hooks.trace import RoutingTrace

MAX_INTERVENTIONS = 100_000
MAX_SPEC_MB = 64
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


def read_interventions(path: str | Path) -> tuple[Intervention, ...]:
    """The interventions of a JSON file, a list or one. Raises ValueError, in one sentence, if it holds none."""
    from hooks.trace import RoutingTrace

    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is not a file: give a JSON file of interventions")
    if path.stat().st_size > MAX_SPEC_MB * 2**20:
        raise ValueError(f"{path} is larger than {MAX_SPEC_MB} MB: give a JSON file of interventions")
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0][:80]
        raise ValueError(f"{path} is not a JSON file ({reason}): give a list of interventions") from error
    objects = [data] if isinstance(data, dict) else data
    for each in objects if isinstance(objects, list) else ():
        if isinstance(each, dict) and each.get("kind") == "UseRouting" and isinstance(each.get("trace"), str):
            file = path.parent / each.pop("trace")
            if not file.is_file():
                raise ValueError(f"{path}: {short(str(file))} is not a trace file")
            each["routing"] = Routing.of(RoutingTrace.load(file)).as_json()
    try:
        return from_json(objects)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def in_words(interventions: Sequence[Intervention]) -> str:
    """What interventions do, as the end of a sentence; empty for none."""
    told = [f"({number}) {each.words()}" for number, each in enumerate(interventions[:TOLD], start=1)]
    more = len(interventions) - TOLD
    return (
        ", ".join(told) + (f", and {more:,} more" if more > 0 else "")
        if len(told) > 1
        else "".join(each.words() for each in interventions)
    )


def refuse_intervened(trace: "RoutingTrace", what: str) -> None:
    """Raise ValueError for a trace with interventions, of which `what` would not be true."""
    if trace.interventions:
        raise ValueError(f"this trace was made with interventions, and {what} is of the model's own choices: trace the "
                         "text without them")  # fmt: skip


__all__ = [
    "DropExpert", "DropPath", "ForceExperts", "ForceGate", "ForceLoops", "ForceTopK", "Intervention", "UseRouting",
    "as_json", "from_json", "in_words", "read_interventions", "refuse_intervened",
]  # fmt: skip
