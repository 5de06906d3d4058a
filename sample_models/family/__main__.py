"""The paper's family of models, each continued from one dense checkpoint: what Tables 1 to 3 of the paper compare.

    python -m sample_models.family --dense runs/dense --out runs/family --steps 500
    python -m sample_models.family --report runs/family --out docs

The first command trains every member (`MEMBERS`) with `sample_models.train`: the same steps, batch, schedule and, seed
by seed, the same windows in the same order. Given again it skips finished runs and resumes interrupted ones.
The second measures the finished runs and writes `reproduction.md` with its tables and curves.
"""

import argparse
import sys
from pathlib import Path


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of the command; wrong ones end the program with a message."""
    parser = argparse.ArgumentParser(
        prog="python -m sample_models.family",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--dense", type=Path, help="train: folder of the finished dense run that all continue from")
    mode.add_argument("--report", type=Path, help="measure and report: folder of the family's runs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs, or of the report")
    parser.add_argument("--data", nargs="+", type=Path, help="training texts, if those of the dense run have moved")
    parser.add_argument("--valid", nargs="+", type=Path, help="held-out texts, if those of the dense run have moved")
    parser.add_argument("--steps", type=int, default=500, help="steps of every run")
    parser.add_argument("--learning-rate", type=float, default=1.2e-3, help="peak")
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[1, 2, 3],
        help="seeds of the runs; not the dense run's, which saw the same windows",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, help="runs at a time; for small models, as many as there are cores"
    )
    parser.add_argument("--threads", type=int, help="threads of each run (default: torch's own choice)")
    parser.add_argument("--log-every", type=int, default=20, help="steps")
    parser.add_argument("--valid-every", type=int, default=100, help="steps; a multiple of --log-every")
    parser.add_argument("--documents", type=int, default=400, help="most held-out documents of the report")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Train the family or report on it. The exit code: 0 done, 1 a run failed, 2 bad input."""
    args = parse(argv)
    try:
        if args.report:
            from sample_models.family.report import write_report

            write_report(args.report, args.out, seeds=args.seeds, documents=args.documents)
            return 0
        from sample_models.family.runs import train_family

        return 0 if train_family(args) else 1
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
