"""Command line of the explorer: `python -m app serve | models | trace | generate | answers | check | diff | export`
and more, which `--help` lists.

Exit codes: 0 done, 1 diff found a difference or check a sick model, 2 bad input (a few clear lines on stderr, never a
traceback), 130 stopped by Ctrl-C.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli_generate import add_generate
from app.cli_inputs import (
    existing_file,
    existing_folders,
    interventions_of,
    port,
    prompts_of,
    tell_strange_folders,
    trace_file,
    without_extra,
    writable_folder,
)
from app.cli_models import get_model, import_checkpoint
from app.cli_output import say, say_no_more
from app.limits import MOST_THREADS

if TYPE_CHECKING:
    from analysis.view import View
    from hooks.trace import RoutingTrace

BATCH = 32
"""Prompts that `trace` gives to the model at a time; between two batches their files are written."""


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


def models(args: argparse.Namespace) -> None:
    """One line per model: name, folder, and which one is the default."""
    from sample_models.foreign import read_json
    from sample_models.recipes import built_roots
    from sample_models.registry import CHECKPOINTS, available_models, default_models, is_olmo

    for name, folder in available_models([CHECKPOINTS, *built_roots(), *existing_folders(args.models)]):
        if is_olmo(folder):
            kind = "\tcheckpoint of the authors' trainer"
        else:
            kind = "" if read_json(folder / "config.json").get("gates_trained") else "\tgates untrained"
        say(f"{name}\t{folder}{kind}" + ("\t(default)" if name == default_models()[0] else ""))
    tell_strange_folders(args.models)


def trace(args: argparse.Namespace) -> None:
    """Trace texts and write one trace file per prompt and one long table."""
    prompts, interventions = prompts_of(args), interventions_of(args)
    out = writable_folder(args.out)
    from analysis.export.captions import reading
    from analysis.export.files import numbered_trace, remove_numbered_traces, write_routing_table
    from hooks import capture
    from hooks.intervening import check_for_text
    from sample_models import load_model

    loaded = load_model(args.model)
    check_for_text(loaded, interventions, None)  # before anything of an earlier run is removed
    if not loaded.gates_trained:
        say(f"{loaded.name}: its gates are untrained, so its routing is noise", to=sys.stderr)
    if loaded.reads_ids:
        say(f"{loaded.name}: it has no tokenizer, so the text is read as token ids", to=sys.stderr)

    if args.chat:
        _ = loaded.chat  # refused before earlier traces are removed
    if earlier := remove_numbered_traces(out):
        say(f"{out}: removed {earlier} trace{'s' * (earlier > 1)} from an earlier run", to=sys.stderr)

    def written():
        """Every trace, once its file is there; no more of them than a batch are in memory."""
        for first in range(0, len(prompts), BATCH):
            texts = [prompt.text for prompt in prompts[first : first + BATCH]]
            traces = capture(loaded, texts, chat=args.chat, interventions=interventions)
            for number, prompt in enumerate(prompts[first : first + BATCH], start=first):
                traced = traces.pop(0)
                traced.save(numbered_trace(out, number))
                read = f", {sentence}" if (sentence := reading(traced)) else ""
                say(f"{number:04d}  {traced.num_tokens} tokens{read}  {prompt.name}")
                yield traced

    write_routing_table(out / "routing.parquet", written())


def check(args: argparse.Namespace) -> int:
    """Print every check of a model and the verdict; 0 if it is healthy, 1 if it is sick."""
    from app.texts.examples import CHECKED

    texts = CHECKED if args.file is None else [prompt.text for prompt in prompts_of(args)]
    from analysis.models.health import health_checks, is_healthy, verdict
    from hooks import SickWeights, load_to_check, measure_health

    try:
        loaded = load_to_check(args.model)
    except SickWeights as error:
        say(f"{'sick':<17} weights: {error}")
        return 1
    checks = health_checks(measure_health(loaded, texts))
    for each in checks:
        say(f"{each.status:<17} {each.name}: {each.figure}".rstrip())
        if each.status != "healthy":
            say(f"{'':<17} {each.meaning}")
    say(f"{loaded.name} is {verdict(checks)}")
    return 0 if is_healthy(checks) else 1


def export(args: argparse.Namespace) -> None:
    """Write the figures and tables of a trace file."""
    from analysis.catalogue import spec
    from analysis.export.files import Export, write_export
    from analysis.export.paper import COLUMNS_MM, Paper

    read, out = trace_file(args.trace), writable_folder(args.out)
    view = selection(args, read)
    paper = None
    if args.width:
        width = {"column": COLUMNS_MM["one column"], "page": COLUMNS_MM["two columns"]}.get(args.width, args.width)
        try:
            width = float(width)
        except ValueError:
            raise ValueError(f"--width must be column, page or a number of millimetres, got {args.width}") from None
        paper = Paper(width, args.font, args.font_size, selection=not args.no_selection)
    figures = tuple(map(spec, args.figures.split(","))) if args.figures else None
    chosen = Export(read, view, figures=figures, paper=paper)
    for name, reason in chosen.left_out.items() if figures is None else ():
        say(f"{name} is left out. {reason}", to=sys.stderr)
    for path in write_export(chosen, out, args.formats.split(",")):
        say(path)


def answers(args: argparse.Namespace) -> None:
    """Print what every page that needs no model finds in a trace file."""
    from analysis.export.captions import answers_text

    read = trace_file(args.trace)
    say(answers_text((read,), selection(args, read)).removesuffix("\n"))


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
    say("\n".join(found.lines()) or f"the same: {first.num_tokens} tokens in {first.num_layers} layers")
    return 0 if found.same else 1


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="python -m app", description="VersatileFFN Explorer: see how a model routes the tokens of your text."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("serve", help="run the app in the browser")
    command.add_argument("--port", type=port, default=8501)
    command.add_argument("--address", default="127.0.0.1", help="address to listen on; 127.0.0.1 is this machine only")
    command.add_argument("--hosts", nargs="+", default=[], help="more host names to answer to (see docs/hosting.md)")
    command.add_argument("--models", type=Path, nargs="+", default=[], help="folders of more models to offer")
    command.add_argument("--trace", type=Path, help="start with this trace file, which needs no model")
    command.add_argument("--keep-nothing", action="store_true", help="keep no texts in browser tabs across a reload")
    command.set_defaults(run=serve)
    command = commands.add_parser("models", help="list the available models")
    command.add_argument("--models", type=Path, nargs="+", default=[], help="folders of more models to list")
    command.set_defaults(run=models)
    command = commands.add_parser("trace", help="trace texts and write the traces to files")
    command.add_argument("text", nargs="?", help="the text to trace")
    command.add_argument("--file", type=Path, help="txt, md, jsonl, csv or parquet file of prompts")
    command.add_argument("--per", choices=["line", "paragraph", "file"], help="txt, md: what counts as one prompt")
    command.add_argument("--paragraphs", dest="per", action="store_const", const="paragraph", help="--per paragraph")
    command.add_argument("--column", help="jsonl, csv, parquet: the column of texts (default: text or prompt)")
    command.add_argument("--id-column", help="jsonl, csv, parquet: the column of names (default: id)")
    command.add_argument("--model", default=None, help="name of a shipped model, or a folder")
    command.add_argument("--intervene", type=Path, help="JSON file of interventions, such as forced loops")
    command.add_argument(
        "--chat", action="store_true", help="put each text into the model's chat template, as a user's message"
    )
    command.add_argument("--out", type=Path, required=True, help="folder for the traces and routing.parquet")
    command.set_defaults(run=trace)
    add_generate(commands)
    command = commands.add_parser("answers", help="print what each page finds in a trace file, in a sentence or two")
    command.add_argument("trace", type=Path, help="a .trace.safetensors file")
    _add_selection(command)
    command.set_defaults(run=answers)
    command = commands.add_parser("diff", help="compare two trace files (also: trace diff A B)")
    command.add_argument("traces", type=Path, nargs=2, metavar="TRACE", help="a .trace.safetensors file")
    command.add_argument("--tolerance", type=float, default=0.0, help="ignore differences up to this size (default: 0)")
    command.add_argument("--meta", action="store_true", help="compare model, weights and versions too")
    command.set_defaults(run=diff)
    command = commands.add_parser("check", help="check whether a model's routing can be trusted; exit code 1 if not")
    command.add_argument("model", help="name of a shipped model, a folder, or hf:org/name")
    command.add_argument("--file", type=Path, help="txt, md, jsonl, csv or parquet file of texts (default: built in)")
    command.add_argument("--per", choices=["line", "paragraph", "file"], help="txt, md: what counts as one text")
    command.add_argument("--column", help="jsonl, csv, parquet: the column of texts (default: text or prompt)")
    command.set_defaults(run=check, text=None, id_column=None)
    _add_export(commands)
    olmo, dense = "a checkpoint of the authors' trainer (OLMo)", "a dense Llama"
    for verb, source, or_hub in (("import-olmo", olmo, ", or hf:org/name"), ("upcycle", dense, "")):
        command = commands.add_parser(verb, help=f"write {source} as a model folder of this project")
        command.add_argument("source", type=Path, help=f"folder of {source}{or_hub}")
        command.add_argument("target", type=Path, help="folder to create; it must not exist yet or be empty")
        command.add_argument("--tokenizer", type=Path, help="a folder that holds a tokenizer, or a tokenizer.json")
        command.set_defaults(run=import_checkpoint)
    command = commands.add_parser("get-model", help="download and build a larger model than the shipped ones")
    command.add_argument("name", nargs="?", help="name of the model (default: the first one known)")
    command.set_defaults(run=get_model)
    return top


def _add_selection(command: argparse.ArgumentParser) -> None:
    command.add_argument("--layer", type=int, default=0, help="the selected layer (default: 0)")
    command.add_argument("--token", type=int, default=0, help="the selected token (default: 0)")


def _add_export(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("export", help="write the figures and tables of a trace file")
    command.add_argument("trace", type=Path, help="a .trace.safetensors file")
    command.add_argument("--out", type=Path, required=True, help="folder for the files")
    command.add_argument(
        "--formats",
        default="html,csv,parquet",
        help="comma-separated: html, csv, parquet, json and, if Chrome or Chromium is installed, svg, png, pdf "
        "(default: html,csv,parquet)",
    )
    command.add_argument("--figures", help="comma-separated names of figures (default: all)")
    _add_selection(command)
    command.add_argument("--width", help="draw for a paper: column (85 mm), page (180 mm), or a width in mm")
    command.add_argument("--font", choices=["sans", "serif"], default="sans", help="typeface of pictures for a paper")
    command.add_argument("--font-size", type=float, default=7.0, help="their font size in points (default: 7)")
    command.add_argument(
        "--no-selection", action="store_true", help="leave the selection unmarked in pictures for a paper"
    )
    command.set_defaults(run=export)


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code.

    `trace diff A B` is `diff A B`: the text "diff" would need --out.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot write ends nothing half-way
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:  # of --help
            say_no_more(sys.stdout)


def _run(argv: list[str]) -> int:
    if argv[:2] == ["trace", "diff"] and not any(each.startswith("--o") for each in argv):
        argv = argv[1:]
    args = parser().parse_args(argv)
    if args.command in ("trace", "generate") and args.model is None:
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
