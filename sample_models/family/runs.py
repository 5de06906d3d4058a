"""The runs of the paper's family: its members, their training options, and their training, which can be resumed."""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

from sample_models.run_options import option_words, read_settings
from sample_models.train_options import TrainOptions

ROOT = Path(__file__).parents[2]

MEMBERS = {
    "dense": {"ffn": "dense"},
    "moe": {"ffn": "moe"},
    "2-loop": {"ffn": "k_loop", "max_loops": 2},
    "4-loop": {"ffn": "k_loop", "max_loops": 4},
    "6-loop": {"ffn": "k_loop", "max_loops": 6},
    "width": {"ffn": "width"},
    "depth": {"ffn": "depth"},
    "average": {"ffn": "average"},
    "versatile": {"ffn": "versatile"},
    "versatile, no entropy term": {"ffn": "versatile", "depth_entropy": 0.0},
}
"""Name of each member -> its own training options."""

REPEATED = ("versatile", "dense", "4-loop", "moe", "versatile, no entropy term")
"""Members trained with every seed, in this order; the others are trained with the first seed only."""


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
    """All members with the first seed, then the repeated ones seed by seed: an interruption leaves a full table."""
    for member in MEMBERS:
        yield Run(member, seeds[0])
    for seed in seeds[1:]:
        for member in REPEATED:
            yield Run(member, seed)


def finished(folder: Path) -> bool:
    """Whether a run's training is finished: the model is written last."""
    return (folder / "model.safetensors").exists()


def training_options(run: Run, dense: Path, args: argparse.Namespace) -> TrainOptions:
    """The training options of a run: sizes and texts of the dense run, and the member's own options."""
    base = read_settings(TrainOptions, dense / "settings.json")
    inherited = {field.name: getattr(base, field.name) for field in fields(base) if field.metadata["inherited"]}
    return TrainOptions(
        **inherited,
        **MEMBERS[run.member],
        data=tuple(args.data or base.data),
        valid=tuple(args.valid or base.valid),
        init=dense,
        out=args.out / run.folder,
        steps=args.steps,
        learning_rate=args.learning_rate,
        seed=run.seed,
        log_every=args.log_every,
        valid_every=args.valid_every,
    )


def share_tokens(dense: Path, folder: Path) -> None:
    """Link the token files of the dense run, which has the same texts and tokenizer, into a run's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train.tokens", "valid.tokens"):
        if not (folder / name).exists():
            os.link(dense / name, folder / name)


def train_run(run: Run, dense: Path, args: argparse.Namespace) -> bool:
    """Train one run in a subprocess with its output in `FOLDER.log`; return whether it finished."""
    folder = args.out / run.folder
    if finished(folder):
        print(f"{run.folder}: finished before", flush=True)
        return True
    share_tokens(dense, folder)
    print(f"{run.folder}: begins", flush=True)
    with (args.out / f"{run.folder}.log").open("a") as log:
        options = training_options(run, dense, args)
        words = [word for field in fields(options) for word in option_words(options, field)]
        command = [sys.executable, "-m", f"{__package__.rpartition('.')[0]}.train", *words]
        threads = {"OMP_NUM_THREADS": str(args.threads), "OMP_WAIT_POLICY": "PASSIVE"} if args.threads else {}
        code = subprocess.run(command, cwd=ROOT, env=os.environ | threads, stdout=log, stderr=log).returncode
    print(f"{run.folder}: {'done' if code == 0 else f'FAILED with exit code {code}, see {log.name}'}", flush=True)
    return code == 0


def train_family(args: argparse.Namespace) -> bool:
    """Train all planned runs, `args.jobs` at a time; return whether all finished.

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
