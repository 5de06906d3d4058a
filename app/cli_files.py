"""Commands that read trace files: `export`, `answers` and `diff`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli_inputs import add_out, empty_folder, trace_file
from app.cli_output import add_output, progress, result, say

if TYPE_CHECKING:
    from analysis.export.files import Export
    from analysis.export.paper import Paper
    from analysis.view import View
    from hooks.trace import RoutingTrace

EARLIER = "figures and tables of an earlier export"


def export(args: argparse.Namespace) -> None:
    """Write the figures and tables of a trace file."""
    read, out = trace_file(args.trace), empty_folder(args, EARLIER)
    from analysis.export.files import traced_files, write_export

    if any(path.suffix == ".safetensors" for path in traced_files(out)):
        raise ValueError(f"{out} holds numbered traces, and the routing table of them all: choose another folder")
    chosen, formats = _chosen(args, read), args.formats.split(",")
    for name, reason in chosen.left_out.items() if chosen.figures is None else ():
        say(f"{name} is left out. {reason}", to=sys.stderr)
    once = len({"html", "parquet", "json"} & {*formats})  # plotly.js and both routing tables
    with progress(args, len(chosen.specs) * len(formats) + once, "files") as bar:
        for path in write_export(chosen, out, formats, overwrite=args.overwrite):
            with bar.aside():
                result(args, path, file=path)
            bar.step()


def _chosen(args: argparse.Namespace, read: "RoutingTrace") -> "Export":
    """What is exported of a trace."""
    from analysis.catalogue import spec
    from analysis.export.files import Export

    view = selection(args, read)
    paper = paper_of(args, selection=not args.no_selection) if args.width else None
    return Export(read, view, figures=tuple(map(spec, args.figures.split(","))) if args.figures else None, paper=paper)


def paper_of(args: argparse.Namespace, *, selection: bool = True) -> "Paper":
    """Width and font of pictures for a paper. Raises ValueError if one of them cannot be."""
    from analysis.export.paper import COLUMNS_MM, Paper

    named = {"column": COLUMNS_MM["one column"], "page": COLUMNS_MM["two columns"]}
    try:
        width = named[args.width] if args.width in named else float(args.width)
    except ValueError:
        raise ValueError(f"--width must be column, page or a number of millimetres, got {args.width}") from None
    return Paper(width, args.font, args.font_size, selection=selection)


def answers(args: argparse.Namespace) -> None:
    """Print what every page that needs no model finds in a trace file."""
    from analysis.answers import answers as found
    from analysis.export.captions import answers_text

    read = trace_file(args.trace)
    view = selection(args, read)
    if args.json:
        for page, answer in found((read,), view).items():
            result(args, answer.text, page=page, answer=answer.text)
    else:
        result(args, answers_text((read,), view).removesuffix("\n"))


def selection(args: argparse.Namespace, read: "RoutingTrace") -> "View":
    """The selected layer and token. Raises ValueError for one that the trace does not have."""
    from analysis.view import View

    for name, index, count in (("layer", args.layer, read.num_layers), ("token", args.token, read.num_tokens)):
        if not 0 <= index < count:
            raise ValueError(f"--{name} must be 0..{count - 1} in this trace, got {index}")
    return View(args.layer, args.token)


def diff(args: argparse.Namespace) -> int:
    """Compare two trace files; 0 the same within the tolerance, 1 different."""
    from hooks.trace_diff import trace_difference

    first, second = map(trace_file, args.traces)
    found = trace_difference(first, second, tolerance=args.tolerance, meta=args.meta)
    same = f"the same: {first.num_tokens} tokens in {first.num_layers} layers"
    result(args, "\n".join(found.lines()) or same, same=found.same, differences=found.lines())
    return 0 if found.same else 1


def add_files(commands: argparse._SubParsersAction) -> None:
    """The commands' arguments."""
    command = commands.add_parser("answers", help="print what each page finds in a trace file, in a sentence or two")
    command.add_argument("trace", type=Path, help="a .trace.safetensors file")
    add_selection(command)
    add_output(command, of="page")
    command.set_defaults(run=answers)
    command = commands.add_parser("diff", help="compare two trace files (also: trace diff A B)")
    command.add_argument("traces", type=Path, nargs=2, metavar="TRACE", help="a .trace.safetensors file")
    command.add_argument("--tolerance", type=float, default=0.0, help="ignore differences up to this size (default: 0)")
    command.add_argument("--meta", action="store_true", help="compare model, weights and versions too")
    add_output(command, of="comparison")
    command.set_defaults(run=diff)
    _add_export(commands)


def add_selection(command: argparse.ArgumentParser) -> None:
    """The options that `selection` reads."""
    command.add_argument("--layer", type=int, default=0, help="the selected layer (default: 0)")
    command.add_argument("--token", type=int, default=0, help="the selected token (default: 0)")


def add_paper_look(command: argparse.ArgumentParser, width: str | None = None) -> None:
    """The options that `paper_of` reads, with a default width or none."""
    told = f" (default: {width})" if width else ""
    command.add_argument(
        "--width", default=width, help=f"draw for a paper: column (85 mm), page (180 mm), or a width in mm{told}"
    )
    command.add_argument("--font", choices=["sans", "serif"], default="sans", help="typeface of pictures for a paper")
    command.add_argument("--font-size", type=float, default=7.0, help="their font size in points (default: 7)")


def _add_export(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("export", help="write the figures and tables of a trace file")
    command.add_argument("trace", type=Path, help="a .trace.safetensors file")
    add_out(command, "the files", EARLIER)
    command.add_argument(
        "--formats",
        default="html,csv,parquet",
        help="comma-separated: html, csv, parquet, json and, if Chrome or Chromium is installed, svg, png, pdf "
        "(default: html,csv,parquet)",
    )
    command.add_argument("--figures", help="comma-separated names of figures (default: all)")
    add_selection(command)
    add_paper_look(command)
    command.add_argument(
        "--no-selection", action="store_true", help="leave the selection unmarked in pictures for a paper"
    )
    add_output(command, of="file")
    command.set_defaults(run=export)


__all__ = ["add_files", "add_paper_look", "add_selection", "answers", "diff", "export", "paper_of", "selection"]
