"""Command line of the explorer: `python -m app serve | models | trace | export`.

Exit codes: 0 done, 2 bad input (a few clear lines on stderr, never a traceback).
"""

import argparse
import json
import os
import sys
from pathlib import Path

BATCH = 32
"""Prompts that `trace` gives to the model at a time; between two batches their files are written."""


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake is answered in two lines."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


def serve(args: argparse.Namespace) -> None:
    """Run the app in this process until it is stopped."""
    from streamlit.web import cli

    if missing := [root for root in args.models if not root.is_dir()]:
        raise ValueError(f"{missing[0]} is no folder: give folders that hold model folders")
    if args.models:
        os.environ["VERSATILEFFN_MODELS"] = os.pathsep.join(str(root.resolve()) for root in args.models)
    main = Path(__file__).parent / "main.py"
    flags = ["--server.port", str(args.port), "--server.address", args.address]
    # Also in .streamlit/config.toml, which Streamlit reads only when started in this project's folder.
    flags += ["--browser.gatherUsageStats", "false", "--client.showErrorDetails", "none", "--server.headless", "true"]
    sys.argv = ["streamlit", "run", str(main), *flags]
    sys.exit(cli.main())


def models(args: argparse.Namespace) -> None:
    """One line per model: name, folder, and which one is the default."""
    from sample_models.registry import DEFAULT_MODEL, available_models

    for name, folder in available_models():
        untrained = "" if json.loads((folder / "config.json").read_text()).get("gates_trained") else "\tgates untrained"
        print(f"{name}\t{folder}{untrained}" + ("\t(default)" if name == DEFAULT_MODEL else ""))


def trace(args: argparse.Namespace) -> None:
    """Trace texts and write one trace file per prompt and one long table."""
    prompts = _prompts(args)
    out = _writable(args.out)
    from analysis.export import trace_parquet
    from hooks import capture
    from sample_models import load_model

    loaded = load_model(args.model)
    if not loaded.gates_trained:
        print(f"{loaded.name}: gates untrained, its routing is noise", file=sys.stderr)
    traces = []
    for first in range(0, len(prompts), BATCH):
        batch = prompts[first : first + BATCH]
        for prompt, traced in zip(batch, capture(loaded, [each.text for each in batch]), strict=True):
            number = len(traces)
            traces.append(traced)
            traced.save(out / f"{number:04d}.trace.safetensors")
            print(f"{number:04d}  {traced.num_tokens} tokens  {prompt.name}")
    (out / "routing.parquet").write_bytes(trace_parquet(traces))


def export(args: argparse.Namespace) -> None:
    """Write the figures and tables of a trace file."""
    from analysis.export import export_trace
    from hooks.trace import RoutingTrace

    if not args.trace.is_file():
        raise ValueError(f"{args.trace} is no file: give a trace file, as `python -m app trace` writes it")
    read = RoutingTrace.load(args.trace)
    for path in export_trace(read, _writable(args.out), args.formats.split(",")):
        print(path)


def _prompts(args: argparse.Namespace):
    from app.prompt_files import read_prompt_file
    from app.prompts import typed_prompt

    if (args.text is None) == (args.file is None):
        raise ValueError("give either a text or --file PATH")
    if args.text is not None:
        return [typed_prompt(args.text)]
    if not args.file.is_file():
        raise ValueError(f"{args.file} is no file: give a txt, md, jsonl, csv or parquet file of prompts")
    found = read_prompt_file(
        args.file.name,
        args.file.read_bytes(),
        per=args.per,
        text_column=args.column,
        id_column=args.id_column,
        max_prompts=None,
    )
    if found.problems:
        rest = f" ({len(found.problems)} problems in all)" if len(found.problems) > 1 else ""
        raise ValueError(f"{found.problems[0]}{rest}")
    for note in found.notes:
        print(note, file=sys.stderr)
    return found.prompts


def _writable(folder: Path) -> Path:
    """The output folder, made if it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot write to {folder}: {error.strerror}") from error
    return folder


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="python -m app", description="VersatileFFN Explorer: see how a model routes your text.")
    commands = top.add_subparsers(dest="command", required=True, metavar="serve | models | trace | export")
    command = commands.add_parser("serve", help="run the app in the browser")
    command.add_argument("--port", type=int, default=8501)
    command.add_argument("--address", default="127.0.0.1", help="listen here; 127.0.0.1 is this machine only")
    command.add_argument("--models", type=Path, nargs="+", default=[], help="folders with more model folders to offer")
    command.set_defaults(run=serve)
    command = commands.add_parser("models", help="list the models that are there")
    command.set_defaults(run=models)
    command = commands.add_parser("trace", help="trace texts into files")
    command.add_argument("text", nargs="?", help="the text to trace")
    command.add_argument("--file", type=Path, help="txt, md, jsonl, csv or parquet file of prompts")
    command.add_argument("--per", choices=["line", "paragraph", "file"], help="txt, md: what is one prompt")
    command.add_argument("--paragraphs", dest="per", action="store_const", const="paragraph", help="--per paragraph")
    command.add_argument("--column", help="jsonl, csv, parquet: the column of the texts (default: text or prompt)")
    command.add_argument("--id-column", help="jsonl, csv, parquet: the column of their names (default: id)")
    command.add_argument("--model", default=None, help="name of a shipped model, or a folder")
    command.add_argument("--out", type=Path, required=True, help="folder for NNNN.trace.safetensors, routing.parquet")
    command.set_defaults(run=trace)
    command = commands.add_parser("export", help="figures and tables of a trace file")
    command.add_argument("trace", type=Path, help="a .trace.safetensors file")
    command.add_argument("--out", type=Path, required=True, help="folder for the files")
    command.add_argument("--formats", default="html,csv,parquet", help="of html, csv, parquet (default: all)")
    command.set_defaults(run=export)
    return top


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.command == "trace" and args.model is None:
        from sample_models.registry import DEFAULT_MODEL

        args.model = DEFAULT_MODEL
    try:
        args.run(args)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
