"""`python -m app report`: a text, a comparison or a run as one HTML file or as a PDF."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli_files import add_selection, selection
from app.cli_inputs import trace_file
from app.cli_output import add_output, result
from app.cli_paper import add_filter, run_filter

if TYPE_CHECKING:
    from analysis.export.report_page import Report

ENDINGS = (".html", ".pdf")
QUANTITIES = ("Difficulty", "Gate", "Loops", "Experts", "Surprisal")


def report(args: argparse.Namespace) -> None:
    """Write the report of one trace file, of two beside each other, or of a run."""
    out: Path = args.out
    if out.suffix not in ENDINGS:
        raise ValueError(f"--out must end in .html or .pdf, got {out.name}")
    if out.exists() and not args.overwrite:
        raise ValueError(f"{out} exists: choose another name, or add --overwrite")
    if not out.parent.is_dir():
        raise ValueError(f"{out.parent} is not a folder")
    if len(args.of) > 2:
        raise ValueError("give one trace file, two to compare, or the folder of a run")
    found = _report_of_run(args) if any(path.is_dir() for path in args.of) else _report_of(args)
    from analysis.export.files import write_file
    from analysis.export.printing import pdf

    content = pdf(found) if out.suffix == ".pdf" else found.html()
    write_file(out, content)
    told = f"{out}  {len(content) / 1e6:.1f} MB, {len(found.drawings)} figures"
    result(args, told, file=out, bytes=len(content), figures=len(found.drawings))


def _report_of_run(args: argparse.Namespace) -> "Report":
    from analysis.export.report import report_of
    from analysis.runs.run import Run

    if len(args.of) > 1:
        raise ValueError("a run stands alone: give its folder, and nothing beside it")
    with Run(args.of[0]) as run:
        return report_of(run, chosen=run_filter(args, run))


def _report_of(args: argparse.Namespace) -> "Report":
    if args.filter:
        raise ValueError("--filter is of a run: give the folder of one")
    from analysis.compare.pair import TracePair
    from analysis.export.report import report_of

    traces = list(map(trace_file, args.of))
    view, how = selection(args, traces[0]), {"colour_by": args.colour_by, "of_layer": args.of_layer}
    return report_of(TracePair(*traces) if len(traces) == 2 else traces[0], view, **how)


def add_report(commands: argparse._SubParsersAction) -> None:
    """The command's arguments."""
    command = commands.add_parser(
        "report", help="write everything about a text or a comparison as one HTML or PDF file"
    )
    command.add_argument(
        "of",
        type=Path,
        nargs="+",
        metavar="TRACE_OR_RUN",
        help="a .trace.safetensors file, with a second one what differs, or the folder of a run",
    )
    command.add_argument(
        "--out", type=Path, required=True, help="the file, which ends in .html or, with a Chrome or Chromium, .pdf"
    )
    command.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    add_selection(command)
    add_filter(command)
    command.add_argument("--colour-by", choices=QUANTITIES, help="what the tokens are coloured by")
    command.add_argument("--of-layer", action="store_true", help="colour them in the selected layer, not by means")
    add_output(command, of="file")
    command.set_defaults(run=report)


__all__ = ["add_report", "report"]
