"""`python -m app generate`: the model goes on with a text, and the trace of both is written to a file."""

import argparse
from pathlib import Path

from app.cli_inputs import add_out, empty_folder, interventions_of, text_of
from app.cli_loading import MODEL_HELP, add_loading, loading_of
from app.cli_output import add_output, progress, result
from app.cli_trace import EARLIER, remove_earlier, tell_of_model

NUMBER = 0
"""Of the one trace that is written."""


def generate(args: argparse.Namespace) -> None:
    """Generate a text and write its trace file and the routing table, named as `trace` names them."""
    from app.texts.prompts import check_text
    from hooks.sampling import Sampling

    sampling = Sampling(args.temperature, args.top_k, args.top_p, args.seed)  # a mistake is told before all else
    text = check_text(text_of(args.text))
    if args.tokens < 1:
        raise ValueError(f"--tokens must be at least 1, got {args.tokens}")
    interventions, out, how = interventions_of(args), empty_folder(args, EARLIER), loading_of(args)
    from analysis.export.files import ROUTING_TABLE, numbered_trace, write_routing_table
    from hooks import Generation
    from sample_models import load_model

    loaded = load_model(args.model, **how)
    written = Generation(loaded, text, sampling=sampling, interventions=interventions, chat=args.chat)
    tell_of_model(loaded)
    remove_earlier(out)
    with progress(args, args.tokens, "tokens") as bar:
        for step in written.steps(args.tokens):
            loops = float(step.loops.mean()) if "depth" in loaded.config.parts else None
            with bar.aside():
                told = "" if loops is None else f"{loops:.2f} loops  "
                line = f"{step.position:4d}  {told}{step.token}"
                result(args, line, position=step.position, mean_loops=loops, token=step.token)
            bar.step()
    trace, path = written.trace(), numbered_trace(out, NUMBER)
    trace.save(path)
    write_routing_table(out / ROUTING_TABLE, [trace])
    ended = {"ended": ", ended by the model", "full": ", the context is full"}.get(written.finished, "")
    result(
        args,
        f"{NUMBER:04d}  {trace.num_tokens} tokens, {written.generated} of them generated ({sampling.words()}){ended}  "
        f"{path}",
        prompt=NUMBER,
        tokens=trace.num_tokens,
        generated=written.generated,
        finished=written.finished,
        file=path,
    )


def add_generate(commands: argparse._SubParsersAction) -> None:
    """The command's arguments."""
    command = commands.add_parser("generate", help="let the model go on with a text, and trace both")
    command.add_argument("text", help="the prompt; - reads it from the standard input")
    command.add_argument("--tokens", type=int, default=40, help="most tokens to generate (default: 40)")
    command.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token (default: 0)")
    command.add_argument("--top-k", type=int, help="draw from the k likeliest tokens")
    command.add_argument("--top-p", type=float, help="draw from the likeliest tokens that sum to p")
    command.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    command.add_argument("--model", help=f"{MODEL_HELP} (default: the best one here, see models)")
    add_loading(command)
    command.add_argument("--intervene", type=Path, help="JSON file of interventions, such as forced loops")
    command.add_argument("--chat", action="store_true", help="put the prompt into the model's chat template")
    add_out(command, "the trace and routing.parquet", EARLIER)
    add_output(command, of="token, and for the trace")
    command.set_defaults(run=generate)


__all__ = ["add_generate", "generate"]
