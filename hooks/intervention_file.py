"""Reads interventions from a JSON file, in which `UseRouting` may name a trace file under "trace".

The path of the trace file is taken from the folder of the JSON file.
"""

import json
from pathlib import Path

from hooks.interventions import Intervention, from_json
from hooks.trace import RoutingTrace
from sample_models.intervention import short
from sample_models.routing import Routing

MAX_SPEC_MB = 64


def read_interventions(path: str | Path) -> tuple[Intervention, ...]:
    """The interventions of a JSON file, a list or one. Raises ValueError, in one sentence, if it holds none."""
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


__all__ = ["read_interventions"]
