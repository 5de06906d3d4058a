"""Snippets: the few lines of Python that make a figure from model and text, and the files that they need."""

import re
import unicodedata
from dataclasses import dataclass

from analysis.catalogue import Drawn, FigureSpec, OfTexts, routing_of
from analysis.compare.pair import TracePair
from analysis.explain.near_miss import TwoPrecisions
from analysis.export.snippet_of_map import map_code
from analysis.export.snippet_of_result import (
    LONGEST_TEXT,
    TEXTS_FILE,
    from_run,
    long_list,
    result_code,
)
from analysis.figures.figure_pair import FigurePair
from analysis.models.training import TrainingCurves
from analysis.runs.map import TokenMap
from analysis.texts.study import Study
from analysis.view import PAGE_PX, View
from analysis.what_if.comparison import Comparison
from hooks.trace import RoutingTrace
from hooks.transplant_trace import TransplantTrace

TRACE_FILE = "text.trace.safetensors"
"""Name of the trace file of a text without a name; see `trace_file_name`."""
PACKAGE = "versatileffn." if __package__.startswith("versatileffn.") else ""
"""What stands before the names of our packages in an import: "" in a checkout, "versatileffn." where installed."""
WHERE = "in any folder" if PACKAGE else "in this project's folder"
PYTHON = "the Python that has `versatileffn`" if PACKAGE else "`.venv/bin/python`"
"""Where the code runs, and what runs it."""
NAME_LETTERS = 60
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)
"""Names that Windows keeps for devices, whatever follows their first dot."""


def trace_file_name(prompt: str) -> str:
    """Name of the trace file of a text with this name: letters, digits and hyphens, safe on every system."""
    words = re.findall(r"\w+", unicodedata.normalize("NFC", prompt))
    name = "-".join(words)[:NAME_LETTERS].strip("-_")
    if not name:
        return TRACE_FILE
    return f"{'text-' if _RESERVED.fullmatch(name) else ''}{name}.trace.safetensors"


@dataclass(frozen=True)
class Needs:
    """What the code of a figure needs beside this project's folder."""

    files: tuple[str, ...] = ()
    """Files from the export dialog: the trace file, TEXTS_FILE."""
    model: str | None = None
    """Name of a model that is not shipped; in the code, the path of its folder must replace the name."""


def needs(drawn: Drawn, *, shipped: bool = True, from_file: bool = False, trace_file: str = TRACE_FILE) -> Needs:
    """What the code of `snippet` needs for the same arguments."""
    if isinstance(drawn, TokenMap):
        return Needs()
    if isinstance(drawn, OfTexts):
        files = (TEXTS_FILE,) if long_list(drawn) else ()
    elif isinstance(drawn, TrainingCurves):
        files = ()
    else:
        files = (trace_file,) if from_file or _in_file(drawn) else ()
    loads_model = not (isinstance(drawn, RoutingTrace) and files) and not from_run(drawn)
    return Needs(files, str(routing_of(drawn).meta.get("model")) if loads_model and not shipped else None)


def _in_file(drawn: Drawn) -> bool:
    """Whether the code reads a trace file: its text is too long, or a new trace would lack its interventions."""
    return len(routing_of(drawn).meta.get("text") or "") > LONGEST_TEXT or _holds_interventions(drawn)


def _holds_interventions(drawn: Drawn) -> bool:
    """Whether the interventions are in the trace file; those of a comparison stand in its code."""
    in_code = isinstance(drawn, Comparison | TracePair | FigurePair | TransplantTrace)
    return "interventions" in routing_of(drawn).meta and not in_code


def snippet(
    spec: FigureSpec,
    drawn: Drawn,
    view: View,
    *,
    shipped: bool = True,
    from_file: bool = False,
    trace_file: str = TRACE_FILE,
    **options: str,
) -> str:
    """Python that draws `spec` as a page shows it, from the model and text of `drawn`, with this view and options.

    For a model that is not `shipped`, a comment asks for the path of its folder. A long text, or a trace that was read
    `from_file`, is read from `trace_file`, and the texts of a study from TEXTS_FILE if they are long.
    """
    about = routing_of(drawn)
    model = repr(about.meta.get("model"))
    its_folder = "" if shipped else "  # the path of its folder"
    text = about.meta.get("text") or ""
    read_file, again = from_file or _in_file(drawn), not _holds_interventions(drawn)  # again: traced from its text
    why = ": the text is too long to stand here" if again else ": it holds the interventions"
    note = "  # Export, Trace file" + ("" if from_file else why)
    file = f"RoutingTrace.load({trace_file!r})"
    imports = ["from analysis import figures", "from analysis.view import View"]
    names: list[str] = []
    lines: list[str] = []
    if isinstance(drawn, RoutingTrace) and read_file:
        names, lines = ["RoutingTrace"], [f"drawn = {file}{note}"]
    elif isinstance(drawn, TokenMap):
        imports, lines = map_code(drawn)
    elif isinstance(drawn, TrainingCurves):
        more_imports, lines = _curves_code(model, shipped)
        imports += more_imports
    elif from_run(drawn):
        more_imports, lines = _run_code(drawn)
        imports += more_imports
    else:
        imports.append("from sample_models import load_model")
        lines.append(f"loaded = load_model({model}){its_folder}")
        if not isinstance(drawn, OfTexts):
            names = ["RoutingTrace"] if read_file else []
            its_text = '.meta["text"]' if again else ""
            lines.append(f"text = {file}{its_text}{note}" if read_file else f"text = {text!r}")
        if isinstance(drawn, TwoPrecisions):
            imports.append("import torch")
            lines.append(f"rounded = load_model({model}, dtype=torch.bfloat16){its_folder}")
        more_imports, more_names, more_lines = result_code(drawn)
        imports, names, lines = imports + more_imports, names + more_names, lines + more_lines
    if names:
        imports.append(f"from hooks import {', '.join(names)}")
    chosen = "".join(f", {option}={value!r}" for option, value in options.items())
    lines += [
        f"figure = figures.{spec.figure.__name__}(drawn, {view_code(view)}{chosen})",
        f'figure.write_html("{spec.name}.html")',
    ]
    return "\n".join([*sorted(map(as_here, imports)), "", *lines]) + "\n"


def as_here(line: str) -> str:
    """An import as it works here: of the installed package where the explorer is a part of that."""
    return re.sub(r"^from (?=(sample_models|hooks|analysis)\b)", f"from {PACKAGE}", line)


def _run_code(drawn: Study) -> tuple[list[str], list[str]]:
    """Code that studies the texts of a run: imports, and lines up to `drawn = ...`."""
    imports = ["from analysis.runs.run import Run", "from analysis.texts.study import study"]
    imports += ["from analysis.runs.filters import TokenFilter"] if "TokenFilter" in drawn.code else []
    return imports, [
        f"read = {drawn.code}  # the path of the run's folder",
        f"drawn = study(read, name={drawn.name!r})",
    ]


def _curves_code(model: str, shipped: bool) -> tuple[list[str], list[str]]:
    """Code that reads the curves of a model: imports, and lines up to `drawn = ...`."""
    imports = ["from analysis.models.training import TrainingCurves, read_curves"]
    if shipped:
        imports.append("from sample_models.registry import CHECKPOINTS")
        folder = f"folder = CHECKPOINTS / {model}"
    else:
        imports.append("from pathlib import Path")
        folder = f"folder = Path({model})  # the path of its folder"
    return imports, [folder, 'drawn = TrainingCurves(read_curves((folder / "curves.csv").read_bytes()))']


def view_code(view: View) -> str:
    """The view as code, without the fields that have their default."""
    fields = [f"layer={view.layer}", f"token={view.token}"]
    fields += [f"window={view.window}"] if view.window else []
    fields += [f"theme={view.theme!r}"] if view.theme != "light" else []
    fields += [f"level={view.level!r}"] if view.level != "token" else []
    fields += [f"checkpoint={view.checkpoint}"] if view.checkpoint is not None else []
    fields += [f"room={view.room}"] if view.room != PAGE_PX else []
    return f"View({', '.join(fields)})"


__all__ = [
    "PACKAGE",
    "PYTHON",
    "TRACE_FILE",
    "WHERE",
    "Needs",
    "as_here",
    "needs",
    "snippet",
    "trace_file_name",
    "view_code",
]
