"""Commands about models: `models`, `check`, `import-olmo`, `upcycle`, `export-model` and `get-model`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.words.numbers import millions
from app.cli_inputs import existing_folders, prompts_of, tell_strange_folders
from app.cli_loading import MODEL_HELP, add_loading, loading_of
from app.cli_output import add_output, result, say

if TYPE_CHECKING:
    from sample_models.loading import LoadedModel


def models(args: argparse.Namespace) -> None:
    """One line per model: name, folder, and which one is the default."""
    from sample_models.adapter_families import family_of
    from sample_models.foreign import read_json
    from sample_models.recipes import built_roots
    from sample_models.registry import CHECKPOINTS, available_models, default_models, is_olmo

    for name, folder in available_models([CHECKPOINTS, *built_roots(), *existing_folders(args.models)]):
        olmo, default = is_olmo(folder), name == default_models()[0]
        config = {} if olmo else read_json(folder / "config.json")
        family = family_of(config.get("model_type"))
        trained = None if olmo or family else bool(config.get("gates_trained"))
        if olmo:
            kind = "\tcheckpoint of the authors' trainer"
        elif family:
            kind = f"\t{family} ({config['model_type']})"
        else:
            kind = "" if trained else "\tgates untrained"
        line = f"{name}\t{folder}{kind}" + ("\t(default)" if default else "")
        result(args, line, name=name, folder=folder, olmo=olmo, family=family, gates_trained=trained, default=default)
    tell_strange_folders(args.models)


def check(args: argparse.Namespace) -> int:
    """Print every check of a model and the verdict; 0 if it is healthy, 1 if it is sick."""
    from app.texts.examples import CHECKED

    texts = CHECKED if args.file is None else [prompt.text for prompt in prompts_of(args)]
    from analysis.models.health import health_checks, is_healthy, verdict
    from hooks import SickWeights, load_to_check, measure_health

    try:
        loaded = load_to_check(args.model, **loading_of(args))
    except SickWeights as error:
        result(args, f"{'sick':<17} weights: {error}", check="weights", status="sick", figure=None, meaning=str(error))
        return 1
    checks = health_checks(measure_health(loaded, texts))
    for each in checks:
        lines = [f"{each.status:<17} {each.name}: {each.figure}".rstrip()]
        lines += [f"{'':<17} {each.meaning}"] if each.status != "healthy" else []
        found = {"check": each.name, "status": each.status, "figure": each.figure, "meaning": each.meaning}
        result(args, "\n".join(lines), **found)
    said = f"{loaded.name} is {verdict(checks)}"
    result(args, said, model=loaded.name, healthy=is_healthy(checks), verdict=verdict(checks))
    return 0 if is_healthy(checks) else 1


def import_checkpoint(args: argparse.Namespace) -> None:
    """Write somebody else's checkpoint as a model folder of ours, and say what it is."""
    from sample_models import conversion

    write = conversion.import_olmo if args.command == "import-olmo" else conversion.upcycle
    loaded = write(args.source, args.target, tokenizer=args.tokenizer, progress=_tell_progress)
    gates = (
        "gates trained" if loaded.gates_trained else "gates untrained: the routing is noise until the model is trained"
    )
    tokenizer = "no tokenizer: it reads token ids" if loaded.reads_ids else f"{len(loaded.tokenizer)} tokens"
    result(
        args,
        f"{args.target}\t{millions(loaded.parameter_count)} parameters\t{tokenizer}\t{gates}",
        folder=args.target,
        parameters=loaded.parameter_count,
        gates_trained=loaded.gates_trained,
        reads_ids=loaded.reads_ids,
    )


def export_model(args: argparse.Namespace) -> None:
    """Write a model with its code as a folder, and say where it is."""
    from transformers.utils import logging

    from sample_models.conversion import save_with_code

    logging.disable_progress_bar()
    loaded = save_with_code(args.model, args.target)
    result(args, f"{loaded.name}\t{args.target}", name=loaded.name, folder=args.target)


def get_model(args: argparse.Namespace) -> None:
    """Build a model that ships as an update of a dense one: download that, put both together, say where it is."""
    from sample_models.recipes import recipes

    name = args.name or next(iter(recipes()), "")
    if name not in recipes():
        raise ValueError(f"cannot build a model {name}: the known names are {', '.join(recipes()) or 'none'}")
    recipe = recipes()[name]
    if not recipe.is_built:  # else no library is needed
        from transformers.utils import logging

        from sample_models.distil.building import build_model

        logging.disable_progress_bar()
        build_model(name, progress=_tell_progress, finish=_trace_examples)
    result(args, f"{name}\t{recipe.target}", name=name, folder=recipe.target)


def _trace_examples(loaded: "LoadedModel") -> None:
    """Trace the example texts into the model's folder, so that the first page waits for nothing."""
    from app.texts.examples import EXAMPLES, save_traces
    from hooks import capture

    traces = {}
    for number, (key, prompt) in enumerate(EXAMPLES.items()):
        _tell_progress("tracing the examples", number, len(EXAMPLES))
        traces[key] = capture(loaded, prompt.text)
    save_traces(traces, loaded.folder)


def _tell_progress(what: str, done: int, steps: int) -> None:
    """One line on stderr for every tenth of the steps, and for each new thing that is done."""
    if done < steps and done * 10 // steps != (done - 1) * 10 // steps:
        say(f"{what}: {done} of {steps}" if steps > 1 else f"{what} ...", to=sys.stderr)


def add_models(commands: argparse._SubParsersAction) -> None:
    """The commands' arguments."""
    command = commands.add_parser("models", help="list the available models")
    command.add_argument("--models", type=Path, nargs="+", default=[], help="folders of more models to list")
    add_output(command, of="model")
    command.set_defaults(run=models)
    command = commands.add_parser("check", help="check whether a model's routing can be trusted; exit code 1 if not")
    command.add_argument("model", help=MODEL_HELP)
    command.add_argument("--file", type=Path, help="txt, md, jsonl, csv or parquet file of texts (default: built in)")
    command.add_argument("--per", choices=["line", "paragraph", "file"], help="txt, md: what counts as one text")
    command.add_argument("--column", help="jsonl, csv, parquet: the column of texts (default: text or prompt)")
    add_loading(command)
    add_output(command, of="check, and for the verdict")
    command.set_defaults(run=check, text=None, id_column=None)
    olmo, dense = "a checkpoint of the authors' trainer (OLMo)", "a dense Llama"
    for verb, source, or_hub in (("import-olmo", olmo, ", or hf:org/name"), ("upcycle", dense, "")):
        command = commands.add_parser(verb, help=f"write {source} as a model folder of this project")
        command.add_argument("source", type=Path, help=f"folder of {source}{or_hub}")
        command.add_argument("target", type=Path, help="folder to create; it must not exist yet or be empty")
        command.add_argument("--tokenizer", type=Path, help="a folder that holds a tokenizer, or a tokenizer.json")
        add_output(command, of="model")
        command.set_defaults(run=import_checkpoint)
    command = commands.add_parser("export-model", help="write a model with its code, for programs without this project")
    command.add_argument("model", help=MODEL_HELP)
    command.add_argument("target", type=Path, help="folder to create; it must not exist yet or be empty")
    add_output(command, of="model")
    command.set_defaults(run=export_model)
    command = commands.add_parser("get-model", help="download and build a larger model than the shipped ones")
    command.add_argument("name", nargs="?", help="name of the model (default: the first one known)")
    add_output(command, of="model")
    command.set_defaults(run=get_model)


__all__ = ["add_models", "check", "export_model", "get_model", "import_checkpoint", "models"]
