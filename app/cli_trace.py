"""`python -m app trace`: texts in, one trace file per prompt and one long table out."""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli_inputs import add_out, empty_folder, interventions_of, prompts_of
from app.cli_loading import MODEL_HELP, add_loading, loading_of
from app.cli_output import add_output, progress, result, say

if TYPE_CHECKING:
    from sample_models.loading import LoadedModel

BATCH = 32
"""Prompts that are given to the model at a time; between two batches their files are written."""
EARLIER = "numbered traces and routing.parquet of an earlier run"


def trace(args: argparse.Namespace) -> None:
    """Trace texts and write one trace file per prompt and one long table."""
    prompts, interventions = prompts_of(args), interventions_of(args)
    out, how = empty_folder(args, EARLIER), loading_of(args)
    from analysis.export.captions import reading
    from analysis.export.files import ROUTING_TABLE, numbered_trace, write_routing_table
    from hooks import capture
    from hooks.intervening import check_for_text
    from sample_models import load_model

    loaded = load_model(args.model, **how)
    check_for_text(loaded, interventions, None)  # before anything of an earlier run is removed
    if args.chat:
        _ = loaded.chat  # refused before earlier traces are removed
    tell_of_model(loaded)
    remove_earlier(out)

    def written():
        """Every trace, once its file is there; no more of them than a batch are in memory."""
        for first in range(0, len(prompts), BATCH):
            texts = [prompt.text for prompt in prompts[first : first + BATCH]]
            traces = capture(loaded, texts, chat=args.chat, interventions=interventions)
            for number, prompt in enumerate(prompts[first : first + BATCH], start=first):
                plain = traces.pop(0)
                traced = dataclasses.replace(plain, meta={**plain.meta, "prompt_id": prompt.name})
                path = numbered_trace(out, number)
                traced.save(path)
                read = f", {sentence}" if (sentence := reading(traced)) else ""
                with bar.aside():
                    result(
                        args,
                        f"{number:04d}  {traced.num_tokens} tokens{read}  {prompt.name}",
                        prompt=number,
                        prompt_id=prompt.name,
                        tokens=traced.num_tokens,
                        windows=len(traced.windows),
                        file=path,
                    )
                bar.step()
                yield traced

    with progress(args, len(prompts), "prompts") as bar:
        write_routing_table(out / ROUTING_TABLE, written())


def tell_of_model(loaded: "LoadedModel") -> None:
    """What the reader of a loaded model's traces should know, on stderr."""
    if loaded.gates_trained is False:
        say(f"{loaded.name}: its gates are untrained, so its routing is noise", to=sys.stderr)
    if loaded.reads_ids:
        say(f"{loaded.name}: it has no tokenizer, so the text is read as token ids", to=sys.stderr)


def remove_earlier(out: Path) -> None:
    """Remove the files of an earlier run, which are only there with --overwrite, and say how many there were."""
    from analysis.export.files import remove_traced_files

    if earlier := remove_traced_files(out):
        say(f"{out}: removed {earlier} file{'s' * (earlier > 1)} of an earlier run", to=sys.stderr)


def add_trace(commands: argparse._SubParsersAction) -> None:
    """The command's arguments."""
    command = commands.add_parser("trace", help="trace texts and write the traces to files")
    command.add_argument("text", nargs="?", help="the text to trace; - reads it from the standard input")
    command.add_argument("--file", type=Path, help="txt, md, jsonl, csv or parquet file of prompts")
    command.add_argument(
        "--per", choices=["line", "paragraph", "file"], help="txt, md, standard input: what counts as one prompt"
    )
    command.add_argument("--paragraphs", dest="per", action="store_const", const="paragraph", help="--per paragraph")
    command.add_argument("--column", help="jsonl, csv, parquet: the column of texts (default: text or prompt)")
    command.add_argument("--id-column", help="jsonl, csv, parquet: the column of names (default: id)")
    command.add_argument("--model", help=f"{MODEL_HELP} (default: the best one here, see models)")
    add_loading(command)
    command.add_argument("--intervene", type=Path, help="JSON file of interventions, such as forced loops")
    command.add_argument(
        "--chat", action="store_true", help="put each text into the model's chat template, as a user's message"
    )
    add_out(command, "the traces and routing.parquet", EARLIER)
    add_output(command, of="prompt")
    command.set_defaults(run=trace)


__all__ = ["EARLIER", "add_trace", "remove_earlier", "tell_of_model", "trace"]
