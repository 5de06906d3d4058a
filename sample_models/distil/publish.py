"""Make the recipe of a distillation that ships: its update, curves, evaluation and card.

    python -m sample_models.distil.publish RUN --package NAME==VERSION --sha256 HASH --member FILE.gguf \\
        --licence Apache-2.0 --out sample_models/updates/NAME

RUN is the folder of a run, finished or not; its last saved state is used. If it started from the update of another run
(`--init`), `--earlier` names the folders of the runs before it, first to last, for the curves and the card; a published
update stands for all of its runs. Every number in the card comes from its evaluation, which runs on the update in
bfloat16 as it ships.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from sample_models.distil.card import update_card
from sample_models.distil.dense_control import control_tokens, read_control
from sample_models.distil.evaluation import answer_questions, evaluate_distilled, take_over_control
from sample_models.distil.finished import PastRun, Run, read_past, read_run, write_past
from sample_models.distil.frontier import frontier
from sample_models.distil.run import REFIT_WINDOWS, distilled, draw_windows
from sample_models.distil.teacher import dense_folder, filled, read_pair
from sample_models.multiple_choice import Question, read_questions
from sample_models.recipes import update_digest
from sample_models.text_data import document_windows, write_tokens
from sample_models.tokenizer_files import read_tokenizer

EVALUATION = "evaluation.json"
SHARD_BYTES = 15 * 2**20
"""Most bytes of tensors in one file of the update."""


def publish(
    run: Run,
    earlier: Sequence[PastRun],
    out: Path,
    recipe: dict[str, str],
    licence: str,
    *,
    documents: int,
    length: int,
    questions: dict[str, list[Question]],
    dense_trained: Path | None = None,
) -> None:
    """Write the folder `out` of a run; `earlier` are the runs before it, each of which went on from the one before.

    `questions`: name -> multiple-choice questions that model and dense model answer. `dense_trained`: folder of a
    finished `dense_control`, to be measured beside them, or of a published update, whose figures of one are taken over.

    Raises ValueError if `out` exists, or if those figures are of other texts or questions.
    """
    if out.exists():
        raise ValueError(f"{out} exists: give a new folder, or remove it first")
    evaluation = evaluate_run(run, documents, length, questions, dense_trained)
    partial = out.with_name(out.name + ".partial")
    partial.mkdir(parents=True)
    write_update(run.trained, partial)
    recipe = recipe | {"update_sha256": update_digest(sorted(partial.glob("update*.safetensors")))}
    (partial / "recipe.json").write_text(json.dumps(recipe, indent=2) + "\n")
    (partial / EVALUATION).write_text(json.dumps(evaluation, indent=2) + "\n")
    write_past([*earlier, run], partial)
    card = update_card(out.name, [*earlier, run], evaluation, recipe, licence)
    (partial / "README.md").write_text(card)
    partial.rename(out)


def evaluate_run(
    run: Run, documents: int, length: int, questions: dict[str, list[Question]], dense_trained: Path | None
) -> dict:
    """All that a card says of the model of a run; ready for JSON. The arguments are those of `publish`."""
    options, trained = run.options, run.trained
    dense = dense_folder(options.dense, run.folder / "dense")
    weights = distilled(dense, trained)
    student = filled(weights.config, {name: tensor.float() for name, tensor in weights.tensors.items()}).eval()
    tokenizer = read_tokenizer(dense, weights.config)
    texts = {}
    for path in options.valid:
        tokens = np.array(write_tokens([path], tokenizer, run.folder / f"{path.name}.tokens"))
        kind = path.name.split(".")[0]
        texts[kind] = torch.from_numpy(document_windows(tokens, tokenizer.eos_token_id, documents, length))
    teacher = read_pair(dense)[1]
    known = dense_trained and dense_trained / EVALUATION
    beside = {"dense_trained": read_control(dense_trained, dense)} if known and not known.exists() else {}
    evaluation = evaluate_distilled(student, teacher, texts, tokenizer, beside)
    evaluation["questions"] = {
        name: answer_questions(student, teacher, asked, tokenizer, beside) for name, asked in questions.items()
    }
    training = draw_windows(
        [write_tokens([path], tokenizer, run.folder / f"{path.name}.tokens") for path in options.data],
        options.data_weights or [1.0] * len(options.data),
        REFIT_WINDOWS,
        options.context,
        options.seed,
        step=10**9,
    )
    held_out = torch.cat(list(texts.values()))
    evaluation["frontier"] = frontier(student, teacher, training, held_out, options.loop_shares)
    if beside:
        evaluation["dense_trained"] = {"tokens": control_tokens(dense_trained)}
    elif known:
        take_over_control(evaluation, json.loads(known.read_text()))
    return evaluation


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
    parser.add_argument(
        "--dense-trained", type=Path, help="folder of a finished `dense_control`, or an update with one"
    )
    parser.add_argument("--documents", type=int, default=12, help="most held-out documents of each file")
    parser.add_argument("--length", type=int, default=512, help="tokens of each document")
    parser.add_argument("--questions", type=Path, nargs="+", default=[], help="multiple-choice questions, JSON lines")
    parser.add_argument("--asked", type=int, default=400, help="most questions of the test split of each such file")
    args = parser.parse_args(argv)
    recipe = {"package": args.package, "sha256": args.sha256, "member": args.member}
    try:
        questions = {path.stem: read_questions(path, "test", args.asked) for path in args.questions}
        sizes = {"documents": args.documents, "length": args.length}
        run, earlier = read_run(args.run), [past for folder in args.earlier for past in read_past(folder)]
        beside = {"questions": questions, "dense_trained": args.dense_trained}
        publish(run, earlier, args.out, recipe, args.licence, **sizes, **beside)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    print(f"{args.out} is ready")


if __name__ == "__main__":
    main()
