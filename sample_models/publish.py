"""Publish a finished run as a checkpoint folder: rounded weights, curves, evaluation and model card.

    python -m sample_models.publish RUN --dense-run DENSE --valid held_out/*.txt --out sample_models/checkpoints/NAME

RUN and DENSE are folders of finished runs of `sample_models.train`. The evaluation loads the rounded weights; every
number in the card comes from it, from the runs' logs or from their settings. Intermediate checkpoints of the run
(`train --keep-checkpoints`) are published too, with their held-out loss in each file's header.
"""

import argparse
import csv
import json
import math
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sample_models.controls import run_controls
from sample_models.evaluate import count_decisions, unigram_entropy, window_losses
from sample_models.intermediate_checkpoints import FOLDER as CHECKPOINTS_FOLDER
from sample_models.intermediate_checkpoints import intermediate_checkpoints
from sample_models.loading import LoadedModel, load_model, no_progress_bar
from sample_models.model_card import SOURCES, model_card, sources_table
from sample_models.run_options import read_settings
from sample_models.text_data import document_starts, even_windows, write_tokens
from sample_models.train_options import TrainOptions

CURVE_ROWS = 100
"""Most rows of each run's log in curves.csv."""

CURVE_COLUMNS = (
    *("run", "step", "tokens", "loss", "held_out", "load_balance", "router_z", "depth_entropy"),
    *("tau", "lr", "tokens_per_s"),
)

PROBE = (
    'The old king looked at the ship and laughed. "We shall go home," he said, "before the moon is up."\n'
    "def add(a, b):\n    return a + b\n12 + 30 = 42\n"
)
"""A short text whose loss is stored in the evaluation, to verify that evaluation and weights belong together."""


def publish(
    run: Path, dense_run: Path, valid: list[Path], out: Path, *, windows: int, documents: int, sources: str | None
) -> None:
    """Write the checkpoint folder `out` from the two phases of a training.

    Raises ValueError if `out` exists, a run is unfinished or has another `ffn`, or a text's source is unknown.
    """
    if out.exists():
        raise ValueError(f"{out} exists: give a new folder, or remove it first")
    settings = {"dense": run_settings(dense_run, "dense"), "versatile": run_settings(run, "versatile")}
    logs = {"dense": read_log(dense_run), "versatile": read_log(run)}
    data = sources or sources_table(path.name.split(".")[0] for path in valid)
    rounded = load_model(run, dtype=torch.bfloat16)
    rounded.model.config.gates_trained = True
    partial = out.with_name(out.name + ".partial")
    with no_progress_bar():
        rounded.model.save_pretrained(partial)
    rounded.tokenizer.save_pretrained(partial)
    write_curves(partial / "curves.csv", logs)
    loaded = load_model(partial)
    texts = read_texts(loaded, valid)
    measured = evaluate_checkpoint(loaded, load_model(dense_run), texts, windows=windows, documents=documents)
    training = publish_training(run, partial, held_out_windows(loaded, texts, windows))
    evaluation = {"model": out.name, **measured, "training": training}
    (partial / "evaluation.json").write_text(json.dumps(evaluation, indent=2) + "\n")
    card = model_card(out.name, loaded, settings, {kind: log[-1] for kind, log in logs.items()}, evaluation, data)
    (partial / "README.md").write_text(card)
    partial.rename(out)


def run_settings(run: Path, ffn: str) -> TrainOptions:
    """The settings of a run. ValueError if it is unfinished or was trained with another `ffn`."""
    path = run / "settings.json"
    if not path.exists() or not (run / "model.safetensors").exists():
        raise ValueError(f"{run} must be a finished training run: give its training command again to continue it")
    settings = read_settings(TrainOptions, path)
    if settings.ffn != ffn:
        raise ValueError(f"{run} must be a run with --ffn {ffn}, got {settings.ffn}")
    if (done := read_log(run)[-1]["step"]) != settings.steps:
        raise ValueError(f"{run} must have done all its {settings.steps} steps, got {done:.0f}: let it finish")
    return settings


def read_log(run: Path) -> list[dict[str, float]]:
    """Rows of a run's log.csv."""
    with (run / "log.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def write_curves(path: Path, logs: dict[str, list[dict[str, float]]]) -> None:
    """Write the logs of all runs to one CSV, each thinned to at most `CURVE_ROWS` rows.

    A written row stands for a block of log rows: training loss and auxiliary losses are means over the block, the
    held-out loss is its last measured one (empty if there is none), and all else is from its last row.
    """
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, CURVE_COLUMNS)
        writer.writeheader()
        for run, rows in logs.items():
            for part in np.array_split(np.array(rows, dtype=object), min(CURVE_ROWS, len(rows))):
                averaged = ("loss", "load_balance", "router_z", "depth_entropy")
                row = part[-1] | {
                    name: float(np.mean([r[name] for r in part])) for name in averaged if name in part[-1]
                }
                measured = [r["held_out"] for r in part if not math.isnan(r["held_out"])]
                row["held_out"] = measured[-1] if measured else math.nan
                shown = {name: "" if math.isnan(value) else f"{value:.6g}" for name, value in row.items()}
                writer.writerow({"run": run, **shown})


def read_texts(loaded: LoadedModel, valid: list[Path]) -> dict[str, np.ndarray]:
    """Held-out file -> its tokens."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            path.name: np.array(write_tokens([path], loaded.tokenizer, Path(folder) / str(number)))
            for number, path in enumerate(valid)
        }


def held_out_windows(loaded: LoadedModel, texts: dict[str, np.ndarray], count: int) -> torch.Tensor:
    """Windows [window, token] of the model's context length, spread evenly over the concatenated texts."""
    text = np.concatenate(list(texts.values()))
    return torch.from_numpy(even_windows(text, count, loaded.config.max_position_embeddings))


def publish_training(run: Path, out: Path, windows: torch.Tensor) -> list[dict[str, float]]:
    """Copy the intermediate checkpoints of a run, with their loss on the windows added to each file's header.

    Returns one row per checkpoint: step, tokens, tau, held_out.
    """
    rows = []
    for checkpoint in intermediate_checkpoints(run):
        loss = float(window_losses(load_model(run, step=checkpoint.step).model, windows).mean())
        (out / CHECKPOINTS_FOLDER).mkdir(exist_ok=True)
        with safe_open(checkpoint.path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            save_file(
                tensors,
                out / CHECKPOINTS_FOLDER / checkpoint.path.name,
                metadata=file.metadata() | {"held_out": f"{loss:.6g}"},
            )
        rows.append({"step": checkpoint.step, "tokens": checkpoint.tokens, "tau": checkpoint.tau, "held_out": loss})
    return rows


def evaluate_checkpoint(
    loaded: LoadedModel, dense: LoadedModel, texts: dict[str, np.ndarray], *, windows: int, documents: int
) -> dict:
    """Held-out results of a versatile model and of the dense model that it continued from, ready for JSON.

    Losses, unigram entropies, loops and experts are measured on `windows` windows of the model's context length, spread
    evenly over all files (several may be in one document); losses by file on `windows` / files of each. Controls:
    `measured_controls`.
    """
    length = loaded.config.max_position_embeddings
    even = held_out_windows(loaded, texts, windows)
    own, base = window_losses(loaded.model, even), window_losses(dense.model, even)
    decisions = count_decisions(loaded.model, even)
    by_file = {
        name: {
            "loss": float(window_losses(loaded.model, part).mean()),
            "unigram_entropy": unigram_entropy(part),
            "windows": len(part),
        }
        for name, tokens in texts.items()
        for part in [torch.from_numpy(even_windows(tokens, max(1, windows // len(texts)), length))]
    }
    return {
        "weights_sha256": loaded.weights_sha256,
        "probe": {"text": PROBE, "loss": probe_loss(loaded)},
        "held_out": {
            "windows": len(even),
            "window_tokens": length,
            "loss": float(own.mean()),
            "standard_error_over_windows": float(own.std(ddof=1) / math.sqrt(len(own))),
            "dense_run_loss": float(base.mean()),
            "unigram_entropy": unigram_entropy(even),
            "by_file": by_file,
        },
        "layers": [
            {
                "layer": layer,
                "loop_shares": decisions.loop_shares[layer].tolist(),
                "loop_entropy": float(decisions.loop_entropy[layer]),
                "expert_load": decisions.expert_load[layer].tolist(),
                "not_routed": float(decisions.not_routed[layer]),
            }
            for layer in range(loaded.config.num_hidden_layers)
        ],
        **measured_controls(loaded, texts, documents),
    }


def measured_controls(loaded: LoadedModel, texts: dict[str, np.ndarray], documents: int) -> dict:
    """`run_controls` on the beginnings of at most `documents` documents, and which they are, ready for JSON.

    One window of half the model's context length in each, so that the standard errors are over documents.
    """
    tokens, length = np.concatenate(list(texts.values())), loaded.config.max_position_embeddings // 2
    starts = document_starts(tokens, loaded.tokenizer.eos_token_id, documents, length)
    file = np.searchsorted(np.cumsum([len(text) for text in texts.values()]), starts, side="right")
    heads = torch.from_numpy(np.stack([tokens[start : start + length] for start in starts]).astype(np.int64))
    own = window_losses(loaded.model, heads)
    return {
        "controls_on": {
            "documents": len(heads),
            "documents_by_file": {name: int((file == number).sum()) for number, name in enumerate(texts)},
            "document_tokens": length,
            "own_loss": float(own.mean()),
        },
        "controls": {name: asdict(value) for name, value in run_controls(loaded.model, heads, own).items()},
    }


def probe_loss(loaded: LoadedModel) -> float:
    """Mean next-token loss in nats over the probe text."""
    ids = loaded.tokenizer(PROBE, return_tensors="pt").input_ids
    return float(window_losses(loaded.model, ids)[0])


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of the command; wrong ones end the program with a message."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the finished versatile run")
    parser.add_argument("--dense-run", type=Path, required=True, help="folder of the dense run it continued from")
    parser.add_argument("--valid", nargs="+", type=Path, required=True, help="held-out text files, named KIND.*")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to create")
    parser.add_argument("--windows", type=int, default=96, help="held-out windows for losses, loops and experts")
    parser.add_argument("--documents", type=int, default=160, help="most held-out documents for the controls")
    parser.add_argument(
        "--sources", type=Path, help=f"Markdown that names data and licences; not needed for {', '.join(SOURCES)}"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Publish as the command line says; bad input ends the program with one sentence."""
    args = parse(argv)
    sources = args.sources.read_text(encoding="utf-8").strip() if args.sources else None
    try:
        publish(
            args.run,
            args.dense_run,
            args.valid,
            args.out,
            windows=args.windows,
            documents=args.documents,
            sources=sources,
        )
    except ValueError as error:
        raise SystemExit(str(error)) from error
    print(f"{args.out} is ready")


if __name__ == "__main__":
    main()
