"""The runs of the paper's family: its members, the options that train each, and the training, stopped and resumed."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

MEMBERS = {
    "dense": ("--ffn", "dense"),
    "moe": ("--ffn", "moe"),
    "2-loop": ("--ffn", "k_loop", "--max-loops", "2"),
    "4-loop": ("--ffn", "k_loop", "--max-loops", "4"),
    "6-loop": ("--ffn", "k_loop", "--max-loops", "6"),
    "width": ("--ffn", "width"),
    "depth": ("--ffn", "depth"),
    "average": ("--ffn", "average"),
    "versatile": ("--ffn", "versatile"),
    "versatile, no entropy term": ("--ffn", "versatile", "--depth-entropy", "0"),
}
"""Name of each member -> the options of the training that make it."""

REPEATED = ("versatile", "dense", "4-loop", "moe", "versatile, no entropy term")
"""Members trained with every seed, the others with the first one only; in the order of their further seeds."""

INHERITED = (
    *("hidden_size", "intermediate_size", "layers", "heads", "context", "vocab_size", "batch", "valid_windows"),
    *("load_balance", "router_z", "weight_decay"),
)
"""Options that every member takes over from the dense run."""


@dataclass(frozen=True)
class Run:
    """One member trained with one seed."""

    member: str
    seed: int

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return f"{self.member.replace(', ', '-').replace(' ', '-')}-seed{self.seed}"


def planned_runs(seeds: list[int]) -> Iterator[Run]:
    """All members with the first seed, then the repeated ones seed by seed: a cut leaves a whole table of one seed."""
    for member in MEMBERS:
        yield Run(member, seeds[0])
    for seed in seeds[1:]:
        for member in REPEATED:
            yield Run(member, seed)


def finished(folder: Path) -> bool:
    """Whether a run's training came to its end: the model is written last."""
    return (folder / "model.safetensors").exists()


def training_options(run: Run, dense: Path, args: argparse.Namespace) -> list[str]:
    """The options of `sample_models.train` for a run: sizes and texts of the dense run, the member's own FFN."""
    settings = json.loads((dense / "settings.json").read_text())
    options = [*MEMBERS[run.member], "--init", str(dense), "--out", str(args.out / run.folder)]
    options += ["--steps", str(args.steps), "--learning-rate", str(args.learning_rate), "--seed", str(run.seed)]
    for name in INHERITED:
        options += [f"--{name.replace('_', '-')}", str(settings[name])]
    for name in ("data", "valid"):
        options += [f"--{name}", *map(str, getattr(args, name) or settings[name])]
    options += ["--log-every", str(args.log_every), "--valid-every", str(args.valid_every)]
    if not settings["compile"]:
        options += ["--no-compile"]
    if not settings["bf16"]:
        options += ["--no-bf16"]
    return options


def share_tokens(dense: Path, folder: Path) -> None:
    """Give a run the token files of the dense run, whose texts and tokenizer it uses, without making them again."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train.tokens", "valid.tokens"):
        if not (folder / name).exists():
            os.link(dense / name, folder / name)


def train_run(run: Run, dense: Path, args: argparse.Namespace) -> bool:
    """Train one run in a process of its own, its output to `FOLDER.log`; whether it came to its end."""
    folder = args.out / run.folder
    if finished(folder):
        print(f"{run.folder}: finished before", flush=True)
        return True
    share_tokens(dense, folder)
    print(f"{run.folder}: begins", flush=True)
    with (args.out / f"{run.folder}.log").open("a") as log:
        command = [sys.executable, "-m", "sample_models.train", *training_options(run, dense, args)]
        threads = {"OMP_NUM_THREADS": str(args.threads), "OMP_WAIT_POLICY": "PASSIVE"} if args.threads else {}
        code = subprocess.run(command, cwd=ROOT, env=os.environ | threads, stdout=log, stderr=log).returncode
    print(f"{run.folder}: {'done' if code == 0 else f'FAILED with exit code {code}, see {log.name}'}", flush=True)
    return code == 0


def train_family(args: argparse.Namespace) -> bool:
    """Train all planned runs, `args.jobs` at a time; whether every one came to its end.

    Raises ValueError if the dense run is not finished.
    """
    dense = args.dense.resolve()
    if not finished(dense) or not (dense / "settings.json").exists():
        raise ValueError(
            f"{dense} must be a finished run of sample_models.train --ffn dense: give its training command"
        )
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(args.jobs) as pool:
        return all(list(pool.map(lambda run: train_run(run, dense, args), planned_runs(args.seeds))))
