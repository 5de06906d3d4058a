"""The numbers of a family's report as CSV: one row per run, per member, and per logged step."""

import csv
from pathlib import Path

import numpy as np

from sample_models.evaluate import paired_difference
from sample_models.family.measures import Family
from sample_models.family.runs import Run
from sample_models.publish import read_log

COST_COLUMNS = ["parameters", "ffn_parameters", "mean_loops", "routed_share", "ffn_flops_per_token"]


def write_results(path: Path, family: Family) -> None:
    """Write one row per run: loss, sizes and cost."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["member", "seed", "documents", "loss", "standard_error", "minus_dense", "minus_dense_standard_error"]
            + COST_COLUMNS
        )
        dense = {measured.run.seed: measured.losses for measured in family.by_member["dense"]}
        for name in family.members:
            for m in family.by_member[name]:
                row = [name, m.run.seed, len(m.losses), m.losses.mean(), m.losses.std(ddof=1) / len(m.losses) ** 0.5]
                if m.run.seed in dense:
                    apart = paired_difference(m.losses, dense[m.run.seed])
                    row += [apart.mean, apart.standard_error]
                else:
                    row += ["", ""]
                row += [m.parameters, m.ffn_parameters, m.mean_loops, m.routed_share, m.ffn_flops]
                writer.writerow(_rounded(row))


def write_members(path: Path, family: Family) -> None:
    """Write one row per member, over its seeds: the numbers of the report's tables 1 and 2."""
    others = ("dense", "4-loop")
    compared = [(f"minus_{other}", f"minus_{other}_standard_error", f"against_{other}") for other in others]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["member", "seeds", "loss", "lowest", "highest", *(name for names in compared for name in names)]
            + COST_COLUMNS
        )
        for name in family.members:
            losses, runs = family.losses(name), family.by_member[name]
            row = [name, len(losses), float(np.mean(losses)), min(losses), max(losses)]
            for other in others:
                if name == other or other not in family.members:
                    row += ["", "", ""]
                else:
                    ours = family.difference(name, other)
                    row += [ours.mean, ours.standard_error, family.verdict(name, other)]
            row += [runs[0].parameters, runs[0].ffn_parameters, *family.costs(name)]
            writer.writerow(_rounded(row))


def write_curves(path: Path, runs: Path, done: list[Run]) -> None:
    """Write the logs of all runs, one below the other; a held-out loss that was not measured is empty."""
    columns = ("member", "seed", "step", "tokens", "loss", "held_out", "load_balance", "depth_entropy")
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for run in done:
            for row in read_log(runs / run.folder):
                numbers = {name: "" if np.isnan(value) else f"{value:.6g}" for name, value in row.items()}
                writer.writerow({"member": run.member, "seed": run.seed, **numbers})


def _rounded(row: list) -> list:
    """The cells with floats rounded to six digits."""
    return [f"{value:.6g}" if isinstance(value, float) else value for value in row]
