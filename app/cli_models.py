"""Commands that make a model folder: `import-olmo`, `upcycle` and `get-model`."""

import argparse
import sys
from typing import TYPE_CHECKING

from app.cli_output import say

if TYPE_CHECKING:
    from sample_models.loading import LoadedModel


def import_checkpoint(args: argparse.Namespace) -> None:
    """Write somebody else's checkpoint as a model folder of ours, and say what it is."""
    from sample_models import conversion

    write = conversion.import_olmo if args.command == "import-olmo" else conversion.upcycle
    loaded = write(args.source, args.target, tokenizer=args.tokenizer, progress=_tell_progress)
    gates = (
        "gates trained" if loaded.gates_trained else "gates untrained: the routing is noise until the model is trained"
    )
    tokenizer = "no tokenizer: it reads token ids" if loaded.reads_ids else f"{len(loaded.tokenizer)} tokens"
    say(f"{args.target}\t{loaded.parameter_count / 1e6:.1f} M parameters\t{tokenizer}\t{gates}")


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
    say(f"{name}\t{recipe.target}")


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


__all__ = ["get_model", "import_checkpoint"]
