"""Code that makes a figure: a few lines of Python that run as they stand, from model and text to the picture."""

from analysis.catalogue import Drawn, FigureSpec, routing_of
from analysis.view import PAGE_PX, View
from hooks.path_trace import PathTrace

LONGEST_TEXT = 2_000
"""Characters; longer texts do not stand in the code: it takes them from the trace file."""
TRACE_FILE = "text.trace.safetensors"


def snippet(
    spec: FigureSpec, drawn: Drawn, view: View, *, shipped: bool = True, from_file: bool = False, **options: str
) -> str:
    """Python that draws `spec` as a page shows it: model and text of `drawn`, this view, these options.

    For a model that is not `shipped`, the reader is told to put its folder. A long text, or a trace that was read
    `from_file`, comes from the trace file.
    """
    trace = routing_of(drawn)
    text = trace.meta.get("text") or ""
    read_file = from_file or len(text) > LONGEST_TEXT
    name, result, names = "trace", "capture(loaded, text)", ["capture"]
    if isinstance(drawn, PathTrace):
        whole = drawn.num_tokens == trace.num_tokens
        tokens = "" if whole else f", tokens=({drawn.first_token}, {drawn.end_token})"
        name, result, names = "paths", f"capture_paths(loaded, text{tokens})", ["capture_paths"]
    load = [
        "from sample_models import load_model\n",
        f"loaded = load_model({trace.meta.get('model')!r}){'' if shipped else '  # the path of its folder'}",
    ]
    make = [f"text = {text!r}", f"{name} = {result}"]
    if read_file:
        read = f"RoutingTrace.load({TRACE_FILE!r})"
        note = "  # Export, Trace file" + ("" if from_file else ": the text is too long to stand here")
        if name == "trace":
            load, make, names = [""], [f"trace = {read}{note}"], ["RoutingTrace"]
        else:
            make[0], names = f'text = {read}.meta["text"]{note}', ["RoutingTrace", *names]
    chosen = "".join(f", {option}={value!r}" for option, value in options.items())
    lines = [
        "from analysis import figures",
        "from analysis.view import View",
        f"from hooks import {', '.join(names)}",
        *load,
        *make,
        f"figure = figures.{spec.figure.__name__}({name}, {_view(view)}{chosen})",
        f'figure.write_html("{spec.name}.html")',
    ]
    return "\n".join(lines) + "\n"


def _view(view: View) -> str:
    """The view as code, without what is the default."""
    fields = [f"layer={view.layer}", f"token={view.token}"]
    fields += [f"window={view.window}"] if view.window else []
    fields += [f"theme={view.theme!r}"] if view.theme != "light" else []
    fields += [f"room={view.room}"] if view.room != PAGE_PX else []
    return f"View({', '.join(fields)})"


__all__ = ["LONGEST_TEXT", "TRACE_FILE", "snippet"]
