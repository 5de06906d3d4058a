"""The family of models: which runs, with which options, and a report whose figures are those of the runs."""

import csv
import re
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sample_models import load_model
from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.evaluate import Decisions, Difference, window_losses
from sample_models.family.__main__ import main, parse
from sample_models.family.measures import OPEN, Family, Measured, verdict
from sample_models.family.report import compare_orders
from sample_models.family.runs import MEMBERS, REPEATED, Run, planned_runs, share_tokens, training_options
from sample_models.train import parse as train_parse
from sample_models.train import train

ROOT = Path(__file__).parents[1]
SIZES = "--hidden-size 16 --intermediate-size 32 --layers 2 --heads 2 --context 16 --vocab-size 300 --valid-windows 2"
FIXED = "--no-compile --no-bf16 --device cpu --steps 3 --log-every 1 --valid-every 3"


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """A tiny finished dense run."""
    folder = tmp_path_factory.mktemp("family")
    text = folder / "plays.valid.txt"
    texts = [f"To be, or not to be, that is question {number}.\n" * 6 for number in range(8)]
    text.write_text("<|endoftext|>\n".join(texts))
    files = ["--data", str(text), "--valid", str(text), "--out", str(folder / "dense")]
    train(train_parse([*files, *SIZES.split(), *FIXED.split(), "--ffn", "dense"]))
    return folder / "dense"


def family_args(dense, out, *options):
    return parse(["--dense", str(dense), "--out", str(out), "--steps", "2", "--log-every", "1", *options])


@pytest.fixture(scope="module")
def runs(dense):
    """Three members of the family, two of them with two seeds, trained as the command would."""
    out = dense.parent / "runs"
    args = family_args(dense, out)
    for run in (Run("dense", 1), Run("dense", 2), Run("versatile", 1), Run("versatile", 2), Run("4-loop", 1)):
        share_tokens(dense, out / run.folder)
        train(replace(training_options(run, dense, args), device="cpu"))
    return out


@pytest.fixture(scope="module")
def report(runs):
    out = runs.parent / "docs"
    assert main(["--report", str(runs), "--out", str(out)]) == 0
    return out


def test_every_member_has_a_run_before_any_has_a_second():
    runs = list(planned_runs([1, 2, 3]))
    assert [run.member for run in runs[: len(MEMBERS)]] == list(MEMBERS)
    assert {run.seed for run in runs[: len(MEMBERS)]} == {1}
    assert [run.member for run in runs[len(MEMBERS) :]] == [*REPEATED, *REPEATED]
    assert len({run.folder for run in runs}) == len(runs) == 20


def test_members_share_everything_but_their_ffn(dense, tmp_path):
    args = family_args(dense, tmp_path)
    own = {"ffn", "max_loops", "depth_entropy", "out"}
    settings = [asdict(training_options(Run(name, 1), dense, args)) for name in MEMBERS]
    shared = [{key: value for key, value in each.items() if key not in own} for each in settings]
    assert all(each == shared[0] for each in shared)
    assert (shared[0]["hidden_size"], shared[0]["context"], shared[0]["compile"]) == (16, 16, False)
    assert [each["max_loops"] for each in settings[2:5]] == [2, 4, 6]
    assert (settings[-1]["ffn"], settings[-1]["depth_entropy"]) == ("versatile", 0)


def test_finished_runs_are_skipped_and_failed_ones_told(dense, tmp_path, monkeypatch, capsys):
    started = []

    def fake_process(command, **_):
        options = train_parse(command[3:])
        started.append(options.out)
        if options.ffn != "moe":
            (options.out / "model.safetensors").touch()
        return SimpleNamespace(returncode=int(options.ffn == "moe"))

    monkeypatch.setattr("sample_models.family.runs.subprocess.run", fake_process)
    arguments = ["--dense", str(dense), "--out", str(tmp_path), "--seeds", "1"]
    assert main(arguments) == 1
    assert len(started) == len(MEMBERS)
    assert "moe-seed1: FAILED with exit code 1" in capsys.readouterr().out
    started.clear()
    assert main(arguments) == 1
    assert [out.name for out in started] == ["moe-seed1"]


def test_unfinished_dense_run_is_refused(tmp_path, capsys):
    assert main(["--dense", str(tmp_path), "--out", str(tmp_path / "runs")]) == 2
    assert "must be a finished run" in capsys.readouterr().err


def test_report_states_the_losses_of_the_runs(runs, report):
    with (report / "reproduction" / "results.csv").open() as file:
        rows = {(row["member"], int(row["seed"])): row for row in csv.DictReader(file)}
    assert set(rows) == {("dense", 1), ("dense", 2), ("4-loop", 1), ("versatile", 1), ("versatile", 2)}
    row = rows["4-loop", 1]
    assert (row["documents"], float(row["mean_loops"]), float(row["routed_share"])) == ("8", 4, 0)
    page = (report / "reproduction.md").read_text()
    table = re.search(r"\| versatile \| 2 \| ([\d.]+) \|", page)
    mean = np.mean([float(rows["versatile", seed]["loss"]) for seed in (1, 2)])
    assert float(table.group(1)) == pytest.approx(mean, abs=6e-4)


def test_report_has_a_row_per_member_with_the_same_words_as_its_page(runs, report):
    with (report / "reproduction" / "members.csv").open() as file:
        rows = {row["member"]: row for row in csv.DictReader(file)}
    with (report / "reproduction" / "results.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file) if row["member"] == "versatile"]
    assert list(rows) == ["dense", "4-loop", "versatile"]
    row = rows["versatile"]
    assert row["seeds"] == "2"
    assert [float(row[name]) for name in ("loss", "lowest", "highest")] == pytest.approx(
        [np.mean(losses), min(losses), max(losses)], rel=1e-5
    )
    assert rows["dense"]["minus_dense"] == rows["dense"]["against_dense"] == rows["4-loop"]["against_4-loop"] == ""
    line = next(line for line in (report / "reproduction.md").read_text().splitlines() if "| versatile | 2 |" in line)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[4] == f"{float(row['minus_dense']):+.4f} ({float(row['minus_dense_standard_error']):.4f})"
    assert (cells[6], cells[9]) == (row["against_dense"], row["against_4-loop"])
    assert float(rows["4-loop"]["ffn_flops_per_token"]) == 4 * float(rows["dense"]["ffn_flops_per_token"])


def test_report_measures_the_first_tokens_of_every_document(runs, report):
    with (report / "reproduction" / "results.csv").open() as file:
        row = next(row for row in csv.DictReader(file) if row["member"] == "4-loop")
    loaded = load_model(runs / "4-loop-seed1")
    ids = np.fromfile(runs / "4-loop-seed1" / "valid.tokens", dtype=np.uint16).astype(np.int64)
    texts = np.split(ids, np.flatnonzero(ids == 0) + 1)
    windows = torch.from_numpy(np.stack([text[:16] for text in texts if len(text) > 16]))
    assert float(row["loss"]) == pytest.approx(window_losses(loaded.model, windows).mean(), abs=1e-4)


def test_report_says_first_where_it_differs_and_what_was_left_out(report):
    page = (report / "reproduction.md").read_text()
    assert page.split("\n\n")[1].startswith("All members continue from one dense model, which has a loss of ")
    assert page.split("\n\n")[2].startswith("**Where this differs from the paper.** Of the 3 pairs")
    assert "had not finished when this page was made: moe: seed 1, 2, 3; 2-loop: seed 1; 6-loop: seed 1" in page
    assert "python -m sample_models.family --report" in page


def test_curves_hold_every_step_of_every_run(report):
    with (report / "reproduction" / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 * 2
    assert [row["held_out"] == "" for row in rows[:2]] == [True, False]


def test_report_of_an_empty_folder_is_refused(tmp_path, capsys):
    assert main(["--report", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "holds no finished run" in capsys.readouterr().err


def measured(member, seed, losses, *, ffn="dense", decisions=None, **sizes):
    config = VersatileFFNConfig(
        hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, ffn=ffn, **sizes
    )
    return Measured(Run(member, seed), np.array(losses, dtype=float), 100, 50, config, decisions)


def test_differences_are_paired_by_document_and_by_seed():
    found = Family(
        [
            measured("dense", 1, [3.0, 5.0]),
            measured("dense", 2, [4.0, 6.0]),
            measured("versatile", 1, [2.0, 3.8]),
            measured("versatile", 2, [3.2, 5.0]),
            measured("versatile", 3, [0.0, 0.0]),
        ]
    )
    ours = found.difference("versatile", "dense")
    assert ours.mean == pytest.approx(-1.0)
    assert ours.standard_error == pytest.approx(0.1)  # seed means by document: -0.9 and -1.1
    assert found.by_seed("versatile", "dense") == pytest.approx([-1.1, -0.9])


def test_differences_under_two_standard_errors_are_ties():
    assert [verdict(Difference(mean, 0.1)) for mean in (-0.3, -0.19, 0.19, 0.3)] == ["better", "tie", "tie", "worse"]


def test_difference_on_one_seed_below_the_range_between_seeds_is_open():
    found = [
        verdict(Difference(mean, error), 0.3) for mean, error in ((0.29, 0.01), (-0.29, 0.5), (0.31, 0.2), (-1, 0.1))
    ]
    assert found == [OPEN, OPEN, "tie", "better"]


NOISE = np.array([0.1, -0.1, 0.1, -0.1])


def test_pairs_are_sorted_into_the_papers_order_ties_open_and_reversed():
    """dense moves by 0.5 between its seeds: on one seed only 4-loop, 1 away from all others, is told apart."""
    two_seeds = [measured("dense", seed, loss + NOISE) for seed, loss in ((1, 3), (2, 3.5))]
    two_seeds += [measured("moe", seed, loss - NOISE) for seed, loss in ((1, 3), (2, 3.5))]
    found = Family([*two_seeds, measured("2-loop", 1, 3.4 + NOISE), measured("4-loop", 1, 4 + NOISE)])
    assert found.widest == ("dense", pytest.approx(0.5))
    pairs = {kind: [pair[:2] for pair in those] for kind, those in compare_orders(found).items()}
    assert pairs == {
        "better": [("moe", "4-loop")],
        "tie": [("moe", "dense")],
        OPEN: [("moe", "2-loop"), ("2-loop", "dense")],
        "worse": [("4-loop", "2-loop"), ("4-loop", "dense")],
    }


def test_where_no_member_has_two_seeds_every_pair_is_open():
    found = Family([measured("dense", 1, 3 + NOISE), measured("moe", 1, 1 - NOISE)])
    assert found.widest is None and found.verdict("moe", "dense") == OPEN


def test_ffn_flops_follow_the_papers_formula_from_measured_loops():
    base = 2 * 2 * 3 * 8 * 16
    counts = np.array([[1, 0, 0, 3], [2, 1, 1, 0]])
    chosen = Decisions(loop_counts=counts, expert_counts=np.ones((2, 8)))
    assert measured("dense", 1, [1]).ffn_flops == base
    assert measured("6-loop", 1, [1], ffn="k_loop", max_loops=6).ffn_flops == 6 * base
    mean_loops, routed = (1 + 12 + 2 + 2 + 3) / 8, (1 / 4 + 1) / 2
    versatile = measured("versatile", 1, [1], ffn="versatile", decisions=chosen)
    assert versatile.ffn_flops == pytest.approx(base * (mean_loops + routed / 4))
    average = measured("average", 1, [1], ffn="average", decisions=Decisions(counts, np.ones((2, 8)), gated=False))
    assert average.ffn_flops == pytest.approx(base * (mean_loops + 1 / 4))


def test_shipped_report_states_the_losses_of_its_table():
    with (ROOT / "docs" / "reproduction" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    page = (ROOT / "docs" / "reproduction.md").read_text(encoding="utf-8")
    for member in {row["member"] for row in rows}:
        losses = [float(row["loss"]) for row in rows if row["member"] == member]
        assert f"| {member} | {len(losses)} | {np.mean(losses):.3f} |" in page
    assert all(int(row["documents"]) >= 160 for row in rows)
    with (ROOT / "docs" / "reproduction" / "members.csv").open() as file:
        for row in csv.DictReader(file):
            assert f"| {row['member']} | {row['seeds']} | {float(row['loss']):.3f} |" in page


def test_shipped_table_decides_nothing_on_one_seed_that_another_seed_may_turn():
    with (ROOT / "docs" / "reproduction" / "members.csv").open() as file:
        rows = list(csv.DictReader(file))
    moved = max(float(row["highest"]) - float(row["lowest"]) for row in rows)
    for row in rows:
        for other in ("dense", "4-loop"):
            if row["seeds"] == "1":
                small = abs(float(row[f"minus_{other}"])) < moved
                assert (row[f"against_{other}"] == OPEN) == small, row["member"]
            else:
                assert row[f"against_{other}"] != OPEN
