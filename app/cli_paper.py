"""`python -m app paper`: the paper's figures of a run."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli_files import add_paper_look, paper_of
from app.cli_inputs import add_out, empty_folder
from app.cli_loading import MODEL_HELP
from app.cli_output import add_output, progress, result, say

if TYPE_CHECKING:
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
        chosen, how = run_filter(args, run), paper_of(args)
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


def run_filter(args: argparse.Namespace, run: "Run") -> "TokenFilter":
    """The filter in the argument `--filter`; every token without it. Raises ValueError for one that the run cannot
    have."""
    import json

    from analysis.runs.filters import ALL_TOKENS, TokenFilter

    if not args.filter:
        return ALL_TOKENS
    try:
        chosen = TokenFilter.from_json(json.loads(args.filter))
    except ValueError as error:
        raise ValueError('--filter must be JSON such as {"sources": ["a.txt"], "layer": 2}') from error
    chosen.where(run.sizes)  # raises for a layer, expert or number of loops that the model does not have
    had = run.manifest.others
    if unknown := [name for name, _ in chosen.others if name not in had]:
        raise ValueError(f"the run has no column {unknown[0]}; it has {', '.join(had) or 'none'}")
    return chosen


def _cosines(args: argparse.Namespace, run: "Run", chosen: "TokenFilter") -> "PathCosines | None":
    """What Fig. 6 shows, for which the model of the run is needed; None without it, which a sentence on stderr says."""
    from analysis.runs.paper_paths import MOST_TOKENS, path_cosines
    from hooks.run_reader import path_reader
    from sample_models import load_model

    try:
        loaded = load_model(args.model or run.meta.get("model"))
        return path_cosines(run, path_reader(loaded, run.manifest.settings, MOST_TOKENS), chosen, count=args.texts)
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
    add_paper_look(command, "column")
    add_output(command, of="file")
    command.set_defaults(run=paper)


__all__ = ["add_filter", "add_paper", "paper", "run_filter"]
