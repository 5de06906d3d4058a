"""The program that reads one upload and ends: `python -m app.server.upload_reader`, started by `app.server.uploads`.

It gets a line of JSON (what to read, how, and within which limits) and the bytes of the file, and answers in JSON. It
imports little, so that it starts fast, and limits itself before it imports what reads files. Once its answer is out it
leaves without cleaning up: see the end.
"""

import dataclasses
import json
import os
import sys

from sample_models.bounded import limit_self


def main() -> None:
    """Read what stands on stdin and answer on stdout."""
    request = json.loads(sys.stdin.buffer.readline())
    if request["limits"]:
        limit_self(**request["limits"])
    data = sys.stdin.buffer.read()
    try:
        answer = {"prompts": read_prompts, "trace": check_trace}[request["what"]](request["name"], data, request["how"])
    except MemoryError:
        answer = {"no_memory": True}
    sys.stdout.buffer.write(json.dumps(answer).encode())


def read_prompts(name: str, data: bytes, how: dict) -> dict:
    """The list of prompts in a file, or why there is none."""
    from app.texts.prompt_columns import ColumnNeeded
    from app.texts.prompt_files import read_prompt_file
    from app.texts.prompts import PromptError

    try:
        return {"list": dataclasses.asdict(read_prompt_file(name, data, **how))}
    except ColumnNeeded as needed:
        return {"refused": str(needed), "choose": needed.names}
    except PromptError as error:
        return {"refused": str(error)}


def check_trace(name: str, data: bytes, how: dict) -> dict:
    """Nothing if the file is a trace, else why it is none."""
    from hooks.trace import RoutingTrace

    try:
        RoutingTrace.from_bytes(data, name=name)
    except ValueError as error:
        return {"refused": str(error)}
    return {}


if __name__ == "__main__":
    main()
    sys.stdout.buffer.flush()
    # A usual exit runs the destructors of the libraries while a thread that Arrow started may still run. Then C++ calls
    # terminate(), and a reader that has answered would end by signal 6, as if the file had crashed it.
    os._exit(0)
