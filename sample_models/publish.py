"""Make a shipped checkpoint of a finished run: rounded weights, its curves, its evaluation and its model card.

    python -m sample_models.publish RUN --dense-run DENSE --valid held_out/*.txt --out sample_models/checkpoints/NAME

RUN and DENSE are folders that `sample_models.train` finished. The evaluation runs on the rounded weights, read back by
`load_model`; every figure in the card comes from it, from the runs' logs or from their settings. Weights that the run
kept along its training (`train --keep-checkpoints`) are published with it, their held-out loss in each file's header.
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

from sample_models.evaluate import count_decisions, run_controls, unigram_entropy, window_losses
from sample_models.intermediate_checkpoints import FOLDER as KEPT
from sample_models.intermediate_checkpoints import intermediate_checkpoints
from sample_models.loading import LoadedModel, load_model, no_progress_bar
from sample_models.model_card import SOURCES, model_card, sources_table
from sample_models.run_options import read_settings
from sample_models.text_data import document_windows, even_windows, write_tokens
from sample_models.train_options import TrainOptions

CURVE_ROWS = 100
"""Rows kept of each run's log."""

CURVE_COLUMNS = (
    *("run", "step", "tokens", "loss", "held_out", "load_balance", "router_z", "depth_entropy"),
    *("tau", "lr", "tokens_per_s"),
)

PROBE = (
    'The old king looked at the ship and laughed. "We shall go home," he said, "before the moon is up."\n'
    "def add(a, b):\n    return a + b\n12 + 30 = 42\n"
)
"""A short text whose loss is kept with the evaluation, so that anybody can see that it belongs to these weights."""


def publish(
    run: Path, dense_run: Path, valid: list[Path], out: Path, *, windows: int, documents: int, sources: str | None
) -> None:
    """Write the checkpoint folder `out` from the two phases of a training.

    Raises ValueError if `out` exists, a run is unfinished or not of its kind, or a text names no known source.
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
    (partial / "MODEL_CARD.md").write_text(card)
    partial.rename(out)


def run_settings(run: Path, ffn: str) -> TrainOptions:
    """The settings of a finished run, checked to be of the kind wanted."""
    path = run / "settings.json"
    if not path.exists() or not (run / "model.safetensors").exists():
        raise ValueError(
            f"{run} must be a finished training run: give its training command again, it goes on from there"
        )
    settings = read_settings(TrainOptions, path)
    if settings.ffn != ffn:
        raise ValueError(f"{run} must be a run with --ffn {ffn}, got {settings.ffn}")
    if (done := read_log(run)[-1]["step"]) != settings.steps:
        raise ValueError(f"{run} must have done all its {settings.steps} steps, got {done:.0f}: let it run to its end")
    return settings


def read_log(run: Path) -> list[dict[str, float]]:
    """Rows of a run's log.csv."""
    with (run / "log.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def write_curves(path: Path, logs: dict[str, list[dict[str, float]]]) -> None:
    """The logs of all runs in one CSV of at most `CURVE_ROWS` rows each.

    Rows between two kept ones are not lost: training loss and auxiliary terms are means over them, the held-out loss is
    their last (empty where none was measured), all else is the kept row's own.
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
    """Windows of the model's context, spread evenly over all texts together, [window, token]."""
    text = np.concatenate(list(texts.values()))
    return torch.from_numpy(even_windows(text, count, loaded.config.max_position_embeddings))


def publish_training(run: Path, out: Path, windows: torch.Tensor) -> list[dict[str, float]]:
    """Copy the weights that a run kept along its training, and measure each on the windows.

    One row per checkpoint: step, tokens, tau, held_out; the last one is added to the header of its file.
    """
    rows = []
    for kept in intermediate_checkpoints(run):
        loss = float(window_losses(load_model(run, step=kept.step).model, windows).mean())
        (out / KEPT).mkdir(exist_ok=True)
        with safe_open(kept.path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            save_file(tensors, out / KEPT / kept.path.name, metadata=file.metadata() | {"held_out": f"{loss:.6g}"})
        rows.append({"step": kept.step, "tokens": kept.tokens, "tau": kept.tau, "held_out": loss})
    return rows


def evaluate_checkpoint(
    loaded: LoadedModel, dense: LoadedModel, texts: dict[str, np.ndarray], *, windows: int, documents: int
) -> dict:
    """Held-out figures of a versatile model beside those of the dense model it grew from, ready for JSON.

    Losses, unigram entropies, loops and experts come from `windows` windows of the model's context, spread evenly over
    all files together, and from `windows` / files over each alone; several may lie in one document. The controls and
    the own losses that they are compared with come from one window of half the context in each of at most `documents`
    documents, so that their standard errors are over documents.
    """
    length = loaded.config.max_position_embeddings
    even, text = held_out_windows(loaded, texts, windows), np.concatenate(list(texts.values()))
    heads = torch.from_numpy(document_windows(text, loaded.tokenizer.eos_token_id, documents, length // 2))
    own, base = window_losses(loaded.model, even), window_losses(dense.model, even)
    own_of_documents = window_losses(loaded.model, heads)
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
        "controls_on": {
            "documents": len(heads),
            "document_tokens": heads.shape[1],
            "own_loss": float(own_of_documents.mean()),
        },
        "controls": {
            name: asdict(value) for name, value in run_controls(loaded.model, heads, own_of_documents).items()
        },
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
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to make")
    parser.add_argument("--windows", type=int, default=96, help="held-out windows for losses, loops and experts")
    parser.add_argument("--documents", type=int, default=160, help="most held-out documents for the controls")
    parser.add_argument(
        "--sources", type=Path, help=f"markdown that names data and licences; known without it: {', '.join(SOURCES)}"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Publish by the options of `parse`; bad input ends the program with a sentence."""
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
