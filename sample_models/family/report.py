"""Writes the report that compares a family of runs with the paper: `reproduction.md`, and its numbers as CSV."""

from itertools import combinations
from pathlib import Path

import numpy as np

from sample_models.evaluate import Difference
from sample_models.family.measures import OPEN, TIE, Family, Measured, measure
from sample_models.family.runs import Run, finished, planned_runs
from sample_models.family.tables import write_curves, write_members, write_results
from sample_models.model_card import table
from sample_models.publish import read_log
from sample_models.run_options import read_settings
from sample_models.train_options import TrainOptions

PAPER_LOSS = {
    **{"dense": 2.779, "moe": 2.585, "2-loop": 2.631, "4-loop": 2.625, "6-loop": 2.623, "versatile": 2.617},
    **{"width": 2.633, "depth": 2.629, "average": 2.618},
}
"""Losses of the paper's 354M models, continued pre-training (arXiv 2512.14531, Tables 1 and 3)."""

PAPER_GFLOPS = {"dense": 0.38, "moe": 0.47, "2-loop": 0.75, "4-loop": 1.50, "6-loop": 2.25, "versatile": 1.24}
"""FFN GFLOPs per token of the paper's 354M models (Table 2)."""


def compare_orders(family: Family) -> dict[str, list[tuple]]:
    """Verdict -> pairs of members (the better one in the paper, the other one, our Difference).

    'better' is the paper's order, 'worse' the reverse; the others are 'tie' and OPEN.
    """
    pairs = {"better": [], "tie": [], OPEN: [], "worse": []}
    ranked = sorted((name for name in family.members if name in PAPER_LOSS), key=PAPER_LOSS.get)
    for better, worse in combinations(ranked, 2):
        pairs[family.verdict(better, worse)].append((better, worse, family.difference(better, worse)))
    return pairs


def write_report(runs: Path, out: Path, *, seeds: list[int], documents: int) -> Path:
    """Measure the finished runs and write `reproduction.md` and `reproduction/*.csv` into `out`; the page's path.

    Raises ValueError if there is no finished run.
    """
    planned = list(planned_runs(seeds))
    done = [run for run in planned if finished(runs / run.folder)]
    if not done:
        raise ValueError(f"{runs} holds no finished run of the family: train the family with --dense first")
    measured = []
    for run in done:
        measured.append(measure(runs / run.folder, run, documents))
        print(f"{run.folder}: {measured[-1].losses.mean():.4f}", flush=True)
    family = Family(measured)
    settings = read_settings(TrainOptions, runs / done[0].folder / "settings.json")
    base = settings.init
    start = measure(base, Run("dense", read_settings(TrainOptions, base / "settings.json").seed), documents)
    (out / "reproduction").mkdir(parents=True, exist_ok=True)
    write_results(out / "reproduction" / "results.csv", family)
    write_members(out / "reproduction" / "members.csv", family)
    write_curves(out / "reproduction" / "curves.csv", runs, done)
    page = out / "reproduction.md"
    left_out = [run for run in planned if run not in done]
    page.write_text(_page(family, start, settings, read_log(base)[-1], left_out))
    return page


def _page(family: Family, start: Measured, settings: TrainOptions, base: dict, left_out: list[Run]) -> str:
    sections = [
        f"# The paper's comparison at small scale\n\n{_gains(family, start)}\n\n{_order(family)}",
        f"## Scale and limits\n\n{_scale(family, start, settings, base, left_out)}",
        f"## Losses (the paper's Table 1)\n\n{_losses(family)}",
        f"## Parameters and FFN FLOPs (Table 2)\n\n{_costs(family)}",
        f"## What width, depth and the gate bring (Table 3)\n\n{_ablation(family)}",
        f"## What the heads chose\n\n{_choices(family)}",
        f"## How this page was made\n\n{_commands(settings)}",
    ]
    return "\n\n".join(sections) + "\n"


def _gains(family: Family, start: Measured) -> str:
    """Whether the members improved on the dense model that they started from; otherwise their order means little."""
    began = float(start.losses.mean())
    means = {name: float(np.mean(family.losses(name))) for name in family.members}
    ahead = [name for name, mean in means.items() if mean < began]
    best = min(means, key=means.get)
    text = (
        f"All members continue from one dense model, which has a loss of {began:.3f} here, and {len(ahead) or 'none'} "
        f"of the {len(means)} members ended below it; the lowest is {best} at {means[best]:.3f}."
    )
    if len(ahead) < len(means):
        text += (
            " **This run is too short to test the paper's claim.** If a member has not passed its start, its loss "
            "may show how far the new FFN set back weights that were trained without it, not what the new FFN is "
            "worth in the end."
        )
    return text


def _order(family: Family) -> str:
    found = compare_orders(family)
    pairs = [pair for those in found.values() for pair in those]
    reversed_ = found["worse"]
    text = (
        f"**Where this differs from the paper.** Of the {len(pairs)} pairs of members that the paper ranks, "
        f"{len(found['better'])} come out in the paper's order here, {len(reversed_)} are reversed, "
        f"{len(found['tie'])} are ties, and {len(found[OPEN])} are open. "
        f"{sum(len(family.seeds(*pair[:2])) == 1 for pair in pairs)} of the pairs rest on one seed. "
        f"{_what_is_open(family)}"
    )
    if reversed_:
        lines = [
            f"- the paper has {better} before {worse} ({PAPER_LOSS[better]:.3f} against {PAPER_LOSS[worse]:.3f}); here "
            f"{better} is behind by {_signed(ours)}, by seed {_by_seed(family, better, worse)}"
            for better, worse, ours in reversed_
        ]
        text += " These pairs are reversed, in nats per token (standard error over documents):\n\n" + "\n".join(lines)
    for kind, called in (("tie", "Ties"), (OPEN, "Open")):
        if found[kind]:
            named = "; ".join(f"{better} and {worse}, {_signed(ours)}" for better, worse, ours in found[kind])
            text += f"\n\n{called}, where the paper ranks the first before the second: {named}."
    return text


def _what_is_open(family: Family) -> str:
    if family.widest is None:
        return (
            "No member has a second seed, so it is not known how far a seed alone moves a loss, and all pairs are open."
        )
    member, moved = family.widest
    return (
        f"Another seed alone moved the loss of one member by up to {moved:.4f} ({member}). A smaller difference that "
        "rests on one seed is called open, whatever its standard error."
    )


def _scale(family: Family, start: Measured, settings: TrainOptions, base: dict, left_out: list[Run]) -> str:
    config, dense = start.config, start
    tokens = settings.steps * settings.tokens_per_step
    texts = ", ".join(path.name.split(".")[0] for path in settings.data)
    text = (
        f"Every member continues from one dense model of {dense.parameters / 1e6:.2f} M parameters "
        f"({config.num_hidden_layers} layers, hidden size {config.hidden_size}, FFN size {config.intermediate_size}, "
        f"vocabulary {config.vocab_size}) that had seen {base['tokens'] / 1e6:.2f} M tokens; the paper's smallest has "
        f"354 M. Each run takes {settings.steps} steps of {settings.batch} windows of {settings.context} tokens, "
        f"{tokens / 1e6:.2f} M tokens in all, with a peak learning rate of {settings.learning_rate:g}. Runs with the "
        f"same seed see the same windows in the same order. All texts come from one small corpus ({texts}). The "
        f"losses are far from their end: the dense model starts at {start.losses.mean():.3f} "
        f"here{_dense_end(family)}. A member that is ahead after so few tokens need not stay ahead, and parts that "
        "start from fresh weights (experts of moe, router, depth head) have hardly been trained.\n\nLosses are "
        f"measured on the first {settings.context} tokens of each of {len(start.losses)} held-out documents, with one "
        "window per document. A difference is paired document by document and averaged over the seeds that both "
        f"members have; its standard error is over documents. A difference under {TIE:g} standard errors is called a "
        "tie. Another seed moves losses too, which the standard error does not include. Three seeds are too few for "
        "an interval, so their mean and range are shown. A member with one seed is compared on that seed alone, and "
        "the difference is called open if it is smaller than the widest of those ranges. Some terms of the loss "
        f"differ from the paper's: load balance {settings.load_balance:g} (paper: 1e-5), router z-loss "
        f"{settings.router_z:g}, and the entropy of the mean depth choice; one member was trained without the entropy "
        "term as a control. The paper's accuracies on eight tasks have no counterpart here, because models this "
        "small answer by chance."
    )
    if left_out:
        seeds = {run.member: [str(each.seed) for each in left_out if each.member == run.member] for run in left_out}
        named = "; ".join(f"{member}: seed {', '.join(numbers)}" for member, numbers in seeds.items())
        text += (
            f"\n\nThese runs are left out, because their training had not finished when this page was made: {named}."
        )
    return text


def _dense_end(family: Family) -> str:
    if "dense" not in family.members:
        return ""
    return f" and, trained further like all members, ends at {np.mean(family.losses('dense')):.3f}"


def _losses(family: Family) -> str:
    head = (
        *("member", "seeds", "loss", "range over seeds", "minus dense", "by seed", "verdict"),
        *("minus 4-loop", "by seed", "verdict", "paper's loss"),
    )
    rows = []
    for name in family.members:
        losses = family.losses(name)
        cells = [name, len(losses), float(np.mean(losses)), _range(losses)]
        for other in ("dense", "4-loop"):
            cells += _compared(family, name, other)
        rows.append((*cells, f"{PAPER_LOSS[name]:.3f}" if name in PAPER_LOSS else ""))
    return table(head, rows)


def _ablation(family: Family) -> str:
    head = ("member", "seeds", "loss", "minus versatile", "by seed", "verdict", "paper's loss", "paper's minus")
    rows = []
    for name in ("width", "depth", "average", "versatile"):
        if name in family.members:
            gap = PAPER_LOSS[name] - PAPER_LOSS["versatile"]
            losses = family.losses(name)
            cells = _compared(family, name, "versatile")
            rows.append((name, len(losses), float(np.mean(losses)), *cells, PAPER_LOSS[name], f"{gap:+.3f}"))
    return table(head, rows) + (
        "\n\nWidth keeps the whole FFN beside its virtual experts, which is our reading of the paper's ablation. "
        "Average mixes both paths half and half, with learned loops."
    )


def _costs(family: Family) -> str:
    head = (
        "member",
        "parameters",
        "of these FFN",
        "mean loops",
        "routed",
        "FFN MFLOPs per token",
        "x dense",
        "paper's x",
    )
    base = family.by_member["dense"][0].ffn_flops if "dense" in family.members else None
    rows = []
    for name in family.members:
        runs, (loops, routed, flops) = family.by_member[name], family.costs(name)
        paper = f"{PAPER_GFLOPS[name] / PAPER_GFLOPS['dense']:.2f}" if name in PAPER_GFLOPS else ""
        sizes = [f"{count:,}" for count in (runs[0].parameters, runs[0].ffn_parameters)]
        ratio = f"{flops / base:.2f}" if base else ""
        rows.append((name, *sizes, f"{loops:.2f}", f"{routed:.0%}", f"{flops / 1e6:.2f}", ratio, paper))
    return table(head, rows) + (
        "\n\nMean loops and routed share are measured on the held-out documents and averaged over layers, tokens and "
        "seeds. FLOPs follow the paper's formula, Base x mean loops + (MoE - Base) x routed share. They are nominal: "
        "they leave out router, depth head and attention, and are not what a kernel executes. The last column is the "
        "paper's ratio to its own dense model."
    )


def _choices(family: Family) -> str:
    rows = []
    for name in family.members:
        for measured in family.by_member[name]:
            decisions = measured.decisions
            if decisions is not None and decisions.loop_counts is not None:
                shares = [f"{share:.0%}" for share in decisions.loop_shares.mean(axis=0)]
                lowest = float(decisions.loop_entropy.min())
                rows.append((name, measured.run.seed, *shares, float(decisions.loop_entropy.mean()), lowest))
    if not rows:
        return "No member with a depth head has finished."
    loops = [f"{n} loop{'s' * (n > 1)}" for n in range(1, len(rows[0]) - 3)]
    return table(("member", "seed", *loops, "entropy (nats), mean of layers", "lowest layer"), rows) + (
        "\n\nThe loop columns are the share of tokens at each number of loops, averaged over layers. The entropy is "
        "that of the loops over all tokens of a layer: 0 if all tokens take the same number, 1.386 if four numbers "
        "are equally frequent. The entropy term of the loss raises it by construction, so a higher entropy is not "
        "evidence of a better model."
    )


def _commands(settings: TrainOptions) -> str:
    dense = settings.init.name
    return (
        f"```sh\npython -m sample_models.family --dense runs/{dense} --out runs/family --steps {settings.steps} \\\n  "
        f"  --learning-rate {settings.learning_rate:g}\npython -m sample_models.family --report runs/family --out "
        "docs\n```\n\n`reproduction/members.csv` holds the tables, `reproduction/results.csv` every run, and "
        "`reproduction/curves.csv` the training of every run."
    )


def _compared(family: Family, name: str, other: str) -> list[str]:
    """Three table cells: the difference with its standard error, the differences by seed, the verdict."""
    if name == other or other not in family.members:
        return ["", "", ""]
    ours = family.difference(name, other)
    return [_signed(ours), _by_seed(family, name, other), family.verdict(name, other)]


def _signed(difference: Difference) -> str:
    return f"{difference.mean:+.4f} ({difference.standard_error:.4f})"


def _by_seed(family: Family, name: str, other: str) -> str:
    return " ".join(f"{value:+.3f}" for value in family.by_seed(name, other))


def _range(values: list[float]) -> str:
    return f"{min(values):.3f} to {max(values):.3f}" if len(values) > 1 else "one seed"
