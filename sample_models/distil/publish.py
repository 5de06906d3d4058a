"""Make the recipe of a distillation that ships: its update, curves, evaluation and card.

    python -m sample_models.distil.publish RUN --package NAME==VERSION --sha256 HASH --member FILE.gguf \\
        --licence Apache-2.0 --out sample_models/updates/NAME

RUN is the folder of a run, finished or not; its last saved state is used. If it started from the update of another run
(`--init`), `--earlier` names the folders of the runs before it, first to last, for the curves and the card. Every
number in the card comes from its evaluation, which runs on the update in bfloat16 as it ships.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from sample_models.distil.evaluation import evaluate_distilled, ratio_to_dense
from sample_models.distil.options import DistilOptions
from sample_models.distil.run import distilled
from sample_models.distil.teacher import dense_folder, filled, read_pair
from sample_models.model_card import CONTROLS_READ, controls_table, sources_table, table
from sample_models.recipes import update_digest
from sample_models.run_options import read_settings
from sample_models.text_data import document_windows, write_tokens
from sample_models.tokenizer_files import read_tokenizer

SHARD_BYTES = 15 * 2**20
"""Most bytes of tensors in one file of the update."""


@dataclass(frozen=True)
class Run:
    """A run of `sample_models.distil` as its folder tells it."""

    folder: Path
    options: DistilOptions
    steps: int
    """Steps that were done when its state was saved last."""
    trained: dict[str, torch.Tensor]
    """What it had trained by then, in bfloat16."""

    @property
    def curves(self) -> pd.DataFrame:
        """Rows of stage 2 of its log, with `held_out`, the mean loss over the kinds of text."""
        log = pd.read_csv(self.folder / "log.csv")
        log = log[(log.step > self.options.layer_steps) & (log.step <= self.steps)]
        held_out = log.filter(like="held_out_").mean(axis=1)
        kept = ["step", "tokens", "loss", "kl", "load_balance", "depth_entropy", "loops"]
        return log[kept].assign(held_out=held_out.round(4))


def read_run(folder: Path) -> Run:
    """The run in a folder. Raises ValueError if it has saved nothing yet."""
    if not (folder / "state.pt").exists():
        raise ValueError(f"{folder} has saved nothing yet: let it train for a few minutes")
    state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
    trained = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in state["trained"].items()}
    return Run(folder, read_settings(DistilOptions, folder / "settings.json"), state["step"], trained)


def publish(
    folders: Sequence[Path], out: Path, recipe: dict[str, str], licence: str, *, documents: int, length: int
) -> None:
    """Write the folder `out` of the last run in `folders`; each of them began with what the one before had trained.

    Raises ValueError if `out` exists, or a run has saved nothing yet.
    """
    if out.exists():
        raise ValueError(f"{out} exists: give a new folder, or remove it first")
    runs = [read_run(folder) for folder in folders]
    run, options, trained = runs[-1].folder, runs[-1].options, runs[-1].trained
    dense = dense_folder(options.dense, run / "dense")
    weights = distilled(dense, trained)
    student = filled(weights.config, {name: tensor.float() for name, tensor in weights.tensors.items()}).eval()
    tokenizer = read_tokenizer(dense, weights.config)
    texts = {}
    for path in options.valid:
        tokens = np.array(write_tokens([path], tokenizer, run / f"{path.name}.tokens"))
        kind = path.name.split(".")[0]
        texts[kind] = torch.from_numpy(document_windows(tokens, tokenizer.eos_token_id, documents, length))
    evaluation = evaluate_distilled(student, read_pair(dense)[1], texts, tokenizer)
    partial = out.with_name(out.name + ".partial")
    partial.mkdir(parents=True)
    write_update(trained, partial)
    recipe = recipe | {"update_sha256": update_digest(sorted(partial.glob("update*.safetensors")))}
    (partial / "recipe.json").write_text(json.dumps(recipe, indent=2) + "\n")
    (partial / "evaluation.json").write_text(json.dumps(evaluation, indent=2) + "\n")
    curves = [each.curves.assign(run=f"run {number}") for number, each in enumerate(runs, start=1)]
    pd.concat(curves).to_csv(partial / "curves.csv", index=False)
    card = update_card(out.name, runs, evaluation, recipe, licence)
    (partial / "MODEL_CARD.md").write_text(card)
    partial.rename(out)


def write_update(trained: dict[str, torch.Tensor], folder: Path) -> None:
    """The trained tensors in files of at most SHARD_BYTES."""
    shards: list[dict[str, torch.Tensor]] = [{}]
    for name, tensor in trained.items():
        size = sum(each.nbytes for each in shards[-1].values())
        if shards[-1] and size + tensor.nbytes > SHARD_BYTES:
            shards.append({})
        shards[-1][name] = tensor
    for number, shard in enumerate(shards, start=1):
        save_file(shard, folder / f"update-{number:05d}.safetensors", metadata={"format": "pt"})


def update_card(name: str, runs: Sequence[Run], evaluation: dict, recipe: dict[str, str], licence: str) -> str:
    """The model card in markdown."""
    options = runs[-1].options
    sections = {
        "What it is built from": (
            f"The dense model is `{recipe['member']}` in the Python package `{recipe['package']}` ({licence}), "
            f"dequantised by transformers. This folder holds only the trained parts: updates of rank {options.rank} "
            "of the FFN's matrices with a gain for each output, all norms, routers and depth heads. `recipe.json` "
            "names the package's hash."
        ),
        "Training": _training(runs),
        "Departures from the paper": _departures(runs),
        "Held-out results": _held_out(evaluation),
        "What the decisions are worth": _controls(evaluation),
        "Loops and experts by layer": _layers(evaluation),
        "Limits": (
            "The model was distilled with few tokens on one machine, with one seed, on English and mostly old texts. "
            "At best it says what its dense model says. Do not rely on what it says."
        ),
    }
    head = f"# {name}\n\nA dense language model turned into a VersatileFFN (arXiv 2512.14531) that imitates it."
    return "\n\n".join([head, *(f"## {title}\n\n{text}" for title, text in sections.items())]) + "\n"


def _training(runs: Sequence[Run]) -> str:
    tokens = sum(run.steps * run.options.tokens_per_step for run in runs)
    parts = [f"{tokens:,} tokens in {len(runs)} run{'s' * (len(runs) > 1)}, each from what the one before had trained."]
    parts += [_command(run) for run in runs]
    kinds = dict.fromkeys(path.name.split(".")[0] for run in runs for path in run.options.data)
    return "\n\n".join([*parts, "None of the texts is part of this repository:", sources_table(kinds)])


def _command(run: Run) -> str:
    options = run.options
    names = ("rank", "layer_steps", "steps", "batch", "context", "learning_rate", "kl", "cross_entropy", "streams")
    names += ("loop_cost", "load_balance", "router_z", "depth_entropy", "gate_every", "loop_shares", "seed")
    given = " ".join(f"--{name.replace('_', '-')} {_words(getattr(options, name))}" for name in names)
    data = " ".join(path.name for path in options.data)
    weights = f" --data-weights {_words(options.data_weights)}" if options.data_weights else ""
    begins = " --init UPDATE" * bool(options.init) + " --refit-depth" * options.refit_depth
    return (
        f"{run.steps:,} of {options.layer_steps + options.steps:,} steps of {options.tokens_per_step:,} tokens were "
        f"done with\n\n```sh\npython -m sample_models.distil --dense DENSE{begins} \\\n    --data {data}{weights} "
        f"\\\n    {given}\n```"
    )


def _words(value) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _departures(runs: Sequence[Run]) -> str:
    options = runs[-1].options
    rows = [
        "The model is trained to imitate a dense model (its predictions, by KL divergence, and its residual streams) "
        "as well as to predict the next token; the paper continues pre-training on text alone.",
        "Attention, embeddings and output head are the dense model's and were not trained. The FFN matrices "
        "were trained by low-rank updates.",
        "Routers and depth heads start from a closed-form fit. The depth head is fitted to the entropy of the dense "
        "model's next-token prediction, so that uncertain tokens get more loops. The router is fitted to the part of "
        "the dense FFN's update that each expert's slice writes.",
        f"Only one step in {options.gate_every} of stage 2 draws loops with Gumbel noise and trains the depth heads. "
        "In all other steps every token runs the loops that it takes in evaluation.",
        f"The load-balance factor is {options.load_balance:g} (paper: 1e-5). The loss has an entropy term of the "
        f"depth choice with factor {options.depth_entropy:g}, which is not in the paper.",
        "tau falls from 1 to 0.1 over the first 70 % of stage 2; the released code keeps it at 5.",
    ]
    if any(run.options.refit_depth for run in runs):
        rows.append(
            "Between the runs the depth heads were refitted in closed form to the number of loops with which each "
            "token's layer comes closest to the dense model's residual stream."
        )
    return "\n".join(f"- {row}" for row in rows)


def _held_out(evaluation: dict) -> str:
    columns = ["dense", "own", *(name for name in evaluation["controls"] if name.startswith("always"))]
    heads = [{"dense": "dense model", "own": "this model"}.get(name, name.replace("_", " ")) for name in columns]
    rows = [
        (kind, evaluation["documents"][kind], *(row[name]["bits_per_byte"] for name in columns))
        for kind, row in evaluation["by_kind"].items()
    ]
    losses = [(kind, *(row[name]["loss"] for name in columns)) for kind, row in evaluation["by_kind"].items()]
    return (
        f"Bits per byte on the first {evaluation['document_tokens']} tokens of held-out documents:\n\n"
        + table(("text", "documents", *heads), rows)
        + f"\n\nAveraged over kinds of text, this model has **{ratio_to_dense(evaluation):.3f} times** the dense "
        "model's bits per byte. The loss in nats per token is:\n\n" + table(("text", *heads), losses)
    )


def _controls(evaluation: dict) -> str:
    return f"These controls use the documents above. {CONTROLS_READ}\n\n{controls_table(evaluation['controls'])}"


def _layers(evaluation: dict) -> str:
    loops = range(1, len(evaluation["layers"][0]["loop_shares"]) + 1)
    rows = [
        (
            row["layer"],
            row["mean_loops"],
            *row["loop_shares"],
            row["loop_entropy"],
            min(row["expert_load"]),
            max(row["expert_load"]),
        )
        for row in evaluation["layers"]
    ]
    return f"Mean loops {evaluation['mean_loops']:.2f}.\n\n" + table(
        ("layer", "mean loops", *(f"{n} loop{'s' * (n > 1)}" for n in loops), "entropy (nats)", "load min", "max"), rows
    )


def main(argv: list[str] | None = None) -> None:
    """Publish as the command line says; what cannot be published ends the program with one sentence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--earlier", type=Path, nargs="+", default=[], help="folders of the runs before it, in order")
    parser.add_argument("--package", required=True, help="Python package that holds the dense model, as in name==1.0")
    parser.add_argument("--sha256", required=True, help="SHA-256 of its wheel")
    parser.add_argument("--member", required=True, help="GGUF file in the wheel")
    parser.add_argument("--licence", required=True, help="licence of the dense model")
    parser.add_argument("--out", type=Path, required=True, help="recipe folder to create")
    parser.add_argument("--documents", type=int, default=12, help="most held-out documents of each file")
    parser.add_argument("--length", type=int, default=512, help="tokens of each document")
    args = parser.parse_args(argv)
    recipe = {"package": args.package, "sha256": args.sha256, "member": args.member}
    try:
        publish([*args.earlier, args.run], args.out, recipe, args.licence, documents=args.documents, length=args.length)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    print(f"{args.out} is ready")


if __name__ == "__main__":
    main()
