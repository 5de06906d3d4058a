"""Command line of the explorer: `python -m app serve | models | trace | generate | answers | check | diff | export`
and more, which `--help` lists.

Exit codes: 0 done, 1 diff found a difference or check a sick model, 2 bad input (a few clear lines on stderr, never a
traceback), 130 stopped by Ctrl-C.
"""

import argparse
import os
import sys
from pathlib import Path

from app.cli_completion import add_completion
from app.cli_files import add_files
from app.cli_generate import add_generate
from app.cli_inputs import existing_file, existing_folders, port, tell_strange_folders, without_extra
from app.cli_models import add_models
from app.cli_output import say, say_no_more
from app.cli_paper import add_paper
from app.cli_report import add_report
from app.cli_run import add_run
from app.cli_trace import add_trace
from app.limits import MOST_THREADS


class Version(argparse.Action):
    """Prints the version and ends; it is looked up only then."""

    def __call__(self, parser, *_) -> None:
        from app.version import version

        say(f"VersatileFFN Explorer {version()}")
        parser.exit()


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake is answered in two lines."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


def serve(args: argparse.Namespace) -> None:
    """Run the app in this process until it is stopped."""
    if roots := existing_folders(args.models):
        os.environ["VERSATILEFFN_MODELS"] = os.pathsep.join(str(root.resolve()) for root in roots)
        tell_strange_folders(roots)
    if args.keep_nothing:
        os.environ["VERSATILEFFN_KEEP"] = "no"
    if args.trace:
        from app.server.trace_files import served_trace

        path = existing_file(args.trace).resolve()
        served_trace(path)  # a file that cannot be shown is told here, not to every visitor; theirs is read hereby
        os.environ["VERSATILEFFN_TRACE"] = str(path)
    if args.run_folders:
        from app.server.runs import RUNS_VARIABLE, check_folders

        os.environ[RUNS_VARIABLE] = os.pathsep.join(map(str, check_folders(args.run_folders)))
    # Half of the cores for the models: threads that wait for each other must not also wait for the app.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, min(MOST_THREADS, (os.cpu_count() or 1) // 2))))
    from app.server import web

    try:
        web.run(args.address, args.port, args.hosts)
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(
            f"cannot listen on {args.address}, port {args.port} ({reason}): choose another address or port"
        ) from error


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="python -m app", description="VersatileFFN Explorer: see how a model routes the tokens of your text."
    )
    top.add_argument("--version", action=Version, nargs=0, help="print the version")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("serve", help="run the app in the browser")
    command.add_argument("--port", type=port, default=8501)
    command.add_argument("--address", default="127.0.0.1", help="address to listen on; 127.0.0.1 is this machine only")
    command.add_argument("--hosts", nargs="+", default=[], help="more host names to answer to (see docs/hosting.md)")
    command.add_argument("--models", type=Path, nargs="+", default=[], help="folders of more models to offer")
    command.add_argument("--trace", type=Path, help="start with this trace file, which needs no model")
    command.add_argument(
        "--run",
        type=Path,
        nargs="+",
        default=[],
        dest="run_folders",
        metavar="FOLDER",
        help="runs to offer on the page Atlas, made by `python -m app run`",
    )
    command.add_argument("--keep-nothing", action="store_true", help="keep no texts in browser tabs across a reload")
    command.set_defaults(run=serve)
    add_trace(commands)
    add_generate(commands)
    add_run(commands)
    add_files(commands)
    add_report(commands)
    add_paper(commands)
    add_models(commands)
    add_completion(commands, top)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code.

    `trace diff A B` is `diff A B`: the text "diff" would need --out.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):  # there is none where a shell has closed it
        stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot write ends nothing half-way
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    finally:
        try:
            if sys.stdout:
                sys.stdout.flush()
        except BrokenPipeError:  # of --help
            say_no_more(sys.stdout)


def _run(argv: list[str]) -> int:
    if argv[:2] == ["trace", "diff"] and not any(each.startswith("--o") for each in argv):
        argv = argv[1:]
    args = parser().parse_args(argv)
    if args.command in ("trace", "run", "generate") and args.model is None:
        from sample_models.registry import default_models

        args.model = default_models()[0]
    try:
        return args.run(args) or 0
    except ValueError as error:
        say(error, to=sys.stderr)
        return 2
    except OSError as error:
        say(f"{error.filename or 'writing'}: {error.strerror}", to=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if (sentence := without_extra(error.name)) is None:
            raise
        say(sentence, to=sys.stderr)
        return 2
    except KeyboardInterrupt:
        say("stopped", to=sys.stderr)
        return 130
