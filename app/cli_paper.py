"""`python -m app paper`: the paper's figures of a run."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli_inputs import add_out, empty_folder
from app.cli_loading import MODEL_HELP
from app.cli_output import add_output, progress, result, say

if TYPE_CHECKING:
    from analysis.export.paper import Paper
    from analysis.runs.filters import TokenFilter
    from analysis.runs.paper_paths import PathCosines
    from analysis.runs.run import Run

EARLIER = "the paper's figures of an earlier time"


def paper(args: argparse.Namespace) -> None:
    """Write the paper's figures of a run, with their data and captions."""
    from analysis.export.paper_run import FORMATS, paper_files, write_paper
    from analysis.runs.atlas import atlas_of
    from analysis.runs.run import Run

    formats, levels = args.formats.split(","), None
    if unknown := [name for name in formats if name not in FORMATS]:
        raise ValueError(f"unknown format {', '.join(unknown)}; known formats are {', '.join(FORMATS)}")
    if args.levels:
        levels = _numbers(args.levels)
    with Run(args.run_folder) as run:
        chosen, how = run_filter(args, run), _paper(args)
        out = empty_folder(args, EARLIER)
        cosines = None if args.texts < 1 else _cosines(args, run, chosen)
        files = paper_files(atlas_of(run, chosen), cosines, formats=formats, paper=how, levels=levels, seed=args.seed)
        with progress(args, 4 * (len(formats) + 1), "files") as bar:
            for path in write_paper(out, files):
                with bar.aside():
                    result(args, path, file=path)
                bar.step()


def _numbers(given: str) -> list[float]:
    try:
        return [float(each) for each in given.split(",")]
    except ValueError:
        raise ValueError(f"--lambda must be numbers with commas between them, got {given}") from None


def _paper(args: argparse.Namespace) -> "Paper":
    from analysis.export.paper import COLUMNS_MM, Paper

    width = {"column": COLUMNS_MM["one column"], "page": COLUMNS_MM["two columns"]}.get(args.width, args.width)
    try:
        return Paper(float(width), args.font, args.font_size)
    except ValueError as error:
        told = str(error) if "must be" in str(error) else f"--width must be column, page or a number, got {args.width}"
        raise ValueError(told) from None


def run_filter(args: argparse.Namespace, run: "Run") -> "TokenFilter":
    """The filter in the argument `--filter`; every token without it."""
    import json

    from analysis.runs.filters import ALL_TOKENS, TokenFilter

    if not args.filter:
        return ALL_TOKENS
    try:
        chosen = TokenFilter.from_json(json.loads(args.filter))
    except ValueError as error:
        raise ValueError('--filter must be JSON such as {"sources": ["a.txt"], "layer": 2}') from error
    chosen.where(run.sizes)  # a layer that the model has not is told here
    return chosen


def _cosines(args: argparse.Namespace, run: "Run", chosen: "TokenFilter") -> "PathCosines | None":
    """Fig. 6, which the model of the run is needed for; without it a sentence on stderr says so."""
    from analysis.runs.paper_paths import MOST_TOKENS, path_cosines
    from hooks.interventions import from_json

    chat, changed = bool(run.manifest.settings.get("chat")), run.manifest.settings.get("interventions")
    how = {"chat": chat, "interventions": from_json(changed) if changed else ()}
    try:
        from hooks import capture, capture_paths
        from sample_models import load_model

        loaded = load_model(args.model or run.meta.get("model"))

        def read(text: str):
            trace = capture(loaded, text, **how)
            return capture_paths(loaded, trace, tokens=(0, min(trace.num_tokens, MOST_TOKENS)))

        return path_cosines(run, read, chosen, count=args.texts)
    except ValueError as error:
        if args.model:
            raise
        say(f"Fig. 6 is left out: {error} (--model names the model, --texts 0 says that none is wanted)", to=sys.stderr)
        return None


def add_filter(command: argparse.ArgumentParser) -> None:
    """The option that `run_filter` reads."""
    command.add_argument("--filter", help='which tokens count, as JSON: {"sources": ["a.txt"], "layer": 2}')


def add_paper(commands: argparse._SubParsersAction) -> None:
    """The command's arguments."""
    command = commands.add_parser("paper", help="write the paper's figures of a run: Fig. 4, 5 and 6, and Table 2")
    command.add_argument("run_folder", type=Path, metavar="RUN", help="the folder of a run")
    add_out(command, "the files", EARLIER)
    command.add_argument(
        "--formats",
        default="html,csv",
        help="comma-separated: html, csv, parquet, json and, if Chrome or Chromium is installed, svg, png, pdf "
        "(default: html,csv); clouds are svg always",
    )
    command.add_argument("--lambda", dest="levels", help="values of λ of the clouds (default: those of the paper)")
    command.add_argument("--seed", type=int, default=0, help="of the clouds' layout (default: 0)")
    command.add_argument(
        "--texts", type=int, default=20, help="prompts that are read again for Fig. 6; 0: leave it out"
    )
    command.add_argument("--model", help=f"{MODEL_HELP}, for Fig. 6 (default: that of the run)")
    add_filter(command)
    command.add_argument("--width", default="column", help="column (85 mm), page (180 mm), or a width in mm")
    command.add_argument("--font", choices=["sans", "serif"], default="sans", help="typeface of pictures")
    command.add_argument("--font-size", type=float, default=7.0, help="their font size in points (default: 7)")
    add_output(command, of="file")
    command.set_defaults(run=paper)


__all__ = ["add_filter", "add_paper", "paper", "run_filter"]
