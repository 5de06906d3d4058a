"""`python -m app generate`: the model goes on with a text, and the trace of both is written to a file."""

import argparse
import sys
from pathlib import Path

from app.cli_inputs import interventions_of, writable_folder
from app.cli_output import say

NUMBER = 0
"""Of the one trace that is written."""


def generate(args: argparse.Namespace) -> None:
    """Generate a text and write its trace file and the routing table, named as `trace` names them."""
    from app.texts.prompts import check_text
    from hooks.sampling import Sampling

    sampling = Sampling(args.temperature, args.top_k, args.top_p, args.seed)  # a mistake is told before all else
    check_text(args.text)
    if args.tokens < 1:
        raise ValueError(f"--tokens must be at least 1, got {args.tokens}")
    interventions, out = interventions_of(args), writable_folder(args.out)
    from analysis.export.files import numbered_trace, remove_numbered_traces, write_routing_table
    from hooks import Generation
    from sample_models import load_model

    loaded = load_model(args.model)
    written = Generation(loaded, args.text, sampling=sampling, interventions=interventions, chat=args.chat)
    if loaded.gates_trained is False:
        say(f"{loaded.name}: its gates are untrained, so its routing is noise", to=sys.stderr)
    if earlier := remove_numbered_traces(out):
        say(f"{out}: removed {earlier} trace{'s' * (earlier > 1)} from an earlier run", to=sys.stderr)
    for step in written.steps(args.tokens):
        loops = f"{step.loops.mean():.2f} loops  " if "depth" in loaded.config.parts else ""
        say(f"{step.position:4d}  {loops}{step.token}")
    trace = written.trace()
    trace.save(numbered_trace(out, NUMBER))
    write_routing_table(out / "routing.parquet", [trace])
    ended = {"ended": ", ended by the model", "full": ", the context is full"}.get(written.finished, "")
    say(
        f"{NUMBER:04d}  {trace.num_tokens} tokens, {written.generated} of them generated ({sampling.words()}){ended}  "
        f"{numbered_trace(out, NUMBER)}"
    )


def add_generate(commands: argparse._SubParsersAction) -> None:
    """The command's arguments."""
    command = commands.add_parser("generate", help="let the model go on with a text, and trace both")
    command.add_argument("text", help="the prompt")
    command.add_argument("--tokens", type=int, default=40, help="most tokens to generate (default: 40)")
    command.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token (default: 0)")
    command.add_argument("--top-k", type=int, help="draw from the k likeliest tokens")
    command.add_argument("--top-p", type=float, help="draw from the likeliest tokens that sum to p")
    command.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    command.add_argument("--model", default=None, help="name of a shipped model, or a folder")
    command.add_argument("--intervene", type=Path, help="JSON file of interventions, such as forced loops")
    command.add_argument("--chat", action="store_true", help="put the prompt into the model's chat template")
    command.add_argument("--out", type=Path, required=True, help="folder for the trace and routing.parquet")
    command.set_defaults(run=generate)


__all__ = ["add_generate", "generate"]
