"""How a reader makes the same numbers again: the commands and the Python of a trace, a comparison or a run."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from analysis.compare.pair import AT_STEP, TracePair
from analysis.export.report_page import Block, Code, Words
from analysis.export.snippet import PACKAGE, PYTHON, WHERE, as_here, view_code
from analysis.export.snippet_of_result import LONGEST_TEXT, captured_code, result_code
from analysis.view import View
from hooks.interventions import as_json
from hooks.trace import RoutingTrace

PROGRAM = "versatileffn" if PACKAGE else ".venv/bin/python -m app"
FIRST = "0000.trace.safetensors"
"""The trace file of the first text that the command `trace` reads."""
INTERVENTIONS = "interventions.json"


def trace_again(trace: RoutingTrace, view: View, how: Mapping[str, Any]) -> tuple[Block, ...]:
    """Commands that trace the text and make the report again, and Python that does the same.

    `how` are the arguments of the report beside its view.
    """
    return (
        Words(f"The commands and the code run {WHERE}, with {PYTHON.replace('`', '')}.", muted=True),
        *_files(trace, "traced", "the text"),
        Code(
            f"{PROGRAM} report traced/{FIRST} {_selection(view, how)}--out report.html", f"Make this report{_but(how)}:"
        ),
        Code(_trace_code(trace, view, how), "The same in Python:"),
        *_reservations(trace),
    )


def pair_again(pair: TracePair, view: View, how: Mapping[str, Any]) -> tuple[Block, ...]:
    """Commands that trace both sides of a comparison and make the report again, and Python that does the same.

    `how` is as in `trace_again`.
    """
    imports, names, lines = result_code(pair)
    text = pair.a.meta.get("text") or ""
    lines = [f"loaded = load_model({pair.a.meta.get('model')!r})", f"text = {text!r}", *lines]
    imports = [*imports, "from sample_models import load_model", *_REPORT_IMPORTS]
    code = _code(imports, names, lines, view, how)
    null = " Flips between paraphrases are measured in the explorer and in Python only." if pair.null else ""
    return (
        Words(f"The commands and the code run {WHERE}, with {PYTHON.replace('`', '')}.{null}", muted=True),
        *_files(pair.a, "traced_a", "A"),
        *_files(pair.b, "traced_b", "B"),
        Code(
            f"{PROGRAM} report traced_a/{FIRST} traced_b/{FIRST} {_selection(view, how)}--out report.html",
            f"Make this report{_but(how)}:",
        ),
        Code(code, "The same in Python:"),
        *_reservations(pair.a),
        *_reservations(pair.b, "B: "),
    )


_REPORT_IMPORTS = (
    "from pathlib import Path",
    "from analysis.export.report import report",
    "from analysis.view import View",
)


def _files(trace: RoutingTrace, folder: str, what: str) -> tuple[Block, ...]:
    """The command that writes the trace file of a text, and the file of interventions that it reads."""
    meta, text = trace.meta, trace.meta.get("text") or ""
    blocks, words = [], [PROGRAM, "trace"]
    if needs_file(text):
        words += ["--file", "text.txt", "--per", "file"]
        blocks.append(Words(f"Put the text, which stands at the end, into text.txt first ({what})."))
    else:
        words.append(shlex.quote(text))
    words += model_options(meta)
    if meta.get("chat"):
        words.append("--chat")
    if trace.interventions:
        words += ["--intervene", INTERVENTIONS]
        blocks.append(Code(json.dumps(as_json(trace.interventions)), f"{INTERVENTIONS} holds the interventions:"))
    return (*blocks, Code(" ".join([*words, "--out", folder]), f"Trace {what}:"))


def needs_file(text: str) -> bool:
    """Whether a command reads the text from a file: it is long, or begins as an option does."""
    return len(text) > LONGEST_TEXT or text.startswith("-")


def model_options(meta: Mapping[str, Any]) -> list[str]:
    """The options of a command that load the model of a trace or run."""
    name, at_step, step = str(meta.get("model")).rpartition(AT_STEP)
    words = ["--model", shlex.quote(name if at_step else step)]
    words += ["--step", step] if at_step else []
    return [*words, *(["--dtype", str(meta["dtype"])] if meta.get("dtype", "float32") != "float32" else [])]


def _but(how: Mapping[str, Any]) -> str:
    """What of a report the command line does not make."""
    return ", with every figure's option at its default" if how.get("options") else ""


def _selection(view: View, how: Mapping[str, Any]) -> str:
    chosen = (("--layer", view.layer), ("--token", view.token), ("--colour-by", how.get("colour_by")))
    told = "".join(f"{name} {value} " for name, value in chosen if value)
    return told + ("--of-layer " if how.get("of_layer") else "")


def _trace_code(trace: RoutingTrace, view: View, how: Mapping[str, Any]) -> str:
    name, at_step, step = str(trace.meta.get("model")).rpartition(AT_STEP)
    model = f"{name!r}, step={step}" if at_step else repr(step)
    dtype = str(trace.meta.get("dtype", "float32"))
    imports, text = ["from sample_models import load_model", *_REPORT_IMPORTS], trace.meta.get("text") or ""
    if dtype != "float32":
        imports, model = [*imports, "import torch"], f"{model}, dtype=torch.{dtype}"
    if trace.interventions:
        imports.append("from hooks.interventions import from_json")
    call = captured_code(trace.interventions)
    if trace.meta.get("chat"):
        call = f"{call.removesuffix(')')}, chat=True)"
    known = repr(text) if len(text) <= LONGEST_TEXT else 'Path("text.txt").read_text("utf-8")'
    lines = [f"loaded = load_model({model})", f"text = {known}", f"drawn = {call}"]
    return _code(imports, ["capture"], lines, view, how)


def _code(imports: list[str], names: list[str], lines: list[str], view: View, how: Mapping[str, Any]) -> str:
    taken = [*dict.fromkeys(imports), f"from hooks import {', '.join(names)}"]
    arguments = ", ".join([view_code(view), *(f"{name}={value!r}" for name, value in how.items())])
    made = f'Path("report.html").write_bytes(report(drawn, {arguments}))'
    return "\n".join([*sorted(map(as_here, taken)), "", *lines, made])


def _reservations(trace: RoutingTrace, side: str = "") -> tuple[Block, ...]:
    """What keeps the same commands from giving the same numbers."""
    told = []
    if trace.meta.get("weights_changed"):
        told.append("The weights were changed after the model was loaded, so its name alone does not bring them back.")
    if trace.first_generated < trace.num_tokens:
        told.append("The model wrote a part of this text. The commands read the whole text at once instead.")
    return tuple(Words(f"{side}{each}") for each in told)


__all__ = ["PROGRAM", "model_options", "needs_file", "pair_again", "trace_again"]
