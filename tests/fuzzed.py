"""What comes from elsewhere with a part made strange, by chance: files of model folders, lists of texts, links, notes.

Each outcome is "read" or "refused" (a ValueError of one short printable line); anything else is a fault.
"""

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

STRANGE: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        3,
        7,
        0.5,
        1e308,
        -0.0,
        float("nan"),
        float("inf"),
        2**31,
        2**63,
        10**30,
        10**400,
    ),
    *(
        "",
        "x",
        "0",
        "1e9",
        "\u0000",
        "\ud800",
        "é" * 50,
        "x" * 10_000,
        [],
        {},
        [[]],
        [1],
        ["x"],
        {"": 0},
        {"type": "x"},
    ),
    *([[[[[[[[[]]]]]]]]], {"a": {"b": {"c": {}}}}, list(range(500))),
]
"""Values that no field of a configuration or tokenizer should have."""
LONGEST = 700


def outcome(call: Callable[[], object]) -> str:
    """What a call does with a file: "read", "refused", or the fault."""
    try:
        call()
    except ValueError as error:
        told = str(error)
        return (
            "refused" if "\n" not in told and told.isprintable() and len(told) <= LONGEST else f"no sentence: {told!r}"
        )
    except BaseException as error:  # a panic of a library is one too
        return f"{type(error).__name__}: {error}"[:300]
    return "read"


def places(part: Any, above: tuple = ()) -> Iterator[tuple]:
    """The way to every value in nested objects and lists; of long lists and objects to the first few."""
    pairs = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for name, value in list(pairs)[:40]:
        yield (*above, name)
        yield from places(value, (*above, name))


def strange(document: dict, chance: random.Random) -> dict:
    """A copy with one value replaced, removed or added."""
    changed = copy.deepcopy(document)
    *way, name = chance.choice(list(places(document)))
    inner = changed
    for step in way:
        inner = inner[step]
    if isinstance(inner, dict) and chance.random() < 0.15:
        del inner[name]
    elif isinstance(inner, dict) and chance.random() < 0.1:
        inner[chance.choice(["", "type", "vocab", "x" * 300, "quantization_config", "<<"])] = chance.choice(STRANGE)
    else:
        inner[name] = chance.choice(STRANGE)
    return changed


def fuzz_json(path: Path, read: Callable[[], object], count: int, seed: int = 0) -> dict[str, int]:
    """Outcome -> how many of `count` strange versions of a JSON file led to it; the file is as before afterwards."""
    whole, chance = path.read_text(encoding="utf-8"), random.Random(seed)
    found: dict[str, int] = {}
    for _ in range(count):
        path.write_text(json.dumps(strange(json.loads(whole), chance)))
        became = outcome(read)
        found[became] = found.get(became, 0) + 1
    path.write_text(whole, encoding="utf-8")
    return found


PIECES = (
    b"",
    b"&a ",
    b"*a",
    b"<<: ",
    b"!!int ",
    b"\xff",
    b": [",
    b"{",
    b"\0",
    b'"',
    b",",
    b";",
    b"\n",
    b"\r",
    b"\\ud800",
)
"""What a stretch of bytes may be replaced by."""


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """Bytes of which up to three stretches are replaced, doubled or cut out."""
    changed = bytearray(whole)
    for _ in range(chance.randint(1, 3)):
        first = chance.randrange(len(changed))
        end = min(len(changed), first + chance.randint(1, 12))
        changed[first:end] = chance.choice([*PIECES, bytes(changed[first:end]) * 2])
    return bytes(changed)


def fuzz_bytes(path: Path, read: Callable[[], object], count: int, seed: int = 0) -> dict[str, int]:
    """The same for a file of text that is `damaged`."""
    whole, chance = path.read_bytes(), random.Random(seed)
    found: dict[str, int] = {}
    for _ in range(count):
        path.write_bytes(damaged(whole, chance))
        became = outcome(read)
        found[became] = found.get(became, 0) + 1
    path.write_bytes(whole)
    return found
