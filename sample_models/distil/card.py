"""The card of a distilled model that ships as an update: how it was made, and what it was measured to be."""

from collections.abc import Sequence

import numpy as np

from sample_models.distil.evaluation import ratio_to_dense
from sample_models.distil.finished import PastRun
from sample_models.model_card import CONTROLS_READ, controls_table, front_matter, sources_table, table

HEADS = {"dense": "dense model", "dense_trained": "dense model, trained", "own": "this model"}
"""Heads of the columns that hold a model's own decisions."""


def update_card(name: str, runs: Sequence[PastRun], evaluation: dict, recipe: dict[str, str], licence: str) -> str:
    """The model card in markdown."""
    options = runs[-1].options
    attention = f" and of rank {options.attention_rank} of attention's matrices" * bool(options.attention_rank)
    sections = {
        "What it is built from": (
            f"The dense model is `{recipe['member']}` in the Python package `{recipe['package']}` ({licence}), "
            f"dequantised by transformers. This folder holds only the trained parts: updates of rank {options.rank} "
            f"of the FFN's matrices{attention} with a gain for each output, all norms, routers and depth heads. "
            "`recipe.json` names the package's hash."
        ),
        "Training": _training(runs),
        "Departures from the paper": _departures(runs),
        "Held-out results": _held_out(evaluation),
        "Multiple choice": _questions(evaluation["questions"]),
        "What the decisions are worth": _controls(evaluation),
        "Compute against quality": _frontier(evaluation),
        "Loops and experts by layer": _layers(evaluation),
        "Limits": (
            "The model was distilled with few tokens on one machine, with one seed, on English and mostly old texts. "
            "At best it says what its dense model says. Do not rely on what it says."
        ),
    }
    sections = {title: text for title, text in sections.items() if text}
    head = front_matter(licence, "distillation") + (
        f"# {name}\n\nA dense language model turned into a VersatileFFN (arXiv 2512.14531) that imitates it."
    )
    return "\n\n".join([head, *(f"## {title}\n\n{text}" for title, text in sections.items())]) + "\n"


def _training(runs: Sequence[PastRun]) -> str:
    tokens = sum(run.steps * run.options.tokens_per_step for run in runs)
    parts = [f"{tokens:,} tokens in {len(runs)} run{'s' * (len(runs) > 1)}, each from what the one before had trained."]
    parts += [_command(run) for run in runs]
    kinds = dict.fromkeys(path.name.split(".")[0] for run in runs for path in run.options.data)
    return "\n\n".join([*parts, "None of the texts is part of this repository:", sources_table(kinds)])


def _command(run: PastRun) -> str:
    options = run.options
    names = (
        "rank",
        "attention_rank",
        "layer_steps",
        "steps",
        "batch",
        "context",
        "learning_rate",
        "kl",
        "cross_entropy",
        "streams",
    )
    names += ("loop_cost", "load_balance", "router_z", "depth_entropy", "gate_every", "loop_shares", "seed")
    given = " ".join(f"--{name.replace('_', '-')} {_words(getattr(options, name))}" for name in names)
    data = " ".join(path.name for path in options.data)
    weights = f" --data-weights {_words(options.data_weights)}" if options.data_weights else ""
    begins = " --init UPDATE" * bool(options.init) + " --refit-depth" * options.refit_depth
    if options.steady_layers:
        begins += f" --steady-layers {options.steady_layers} --steady-shares {_words(options.steady_shares)}"
    begins += f" --train-only {options.train_only}" * bool(options.train_only)
    return (
        f"{run.steps:,} of {options.layer_steps + options.steps:,} steps of {options.tokens_per_step:,} tokens were "
        f"done with\n\n```sh\npython -m sample_models.distil --dense DENSE{begins} \\\n    --data {data}{weights} "
        f"\\\n    {given}\n```"
    )


def _words(value) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _departures(runs: Sequence[PastRun]) -> str:
    options = runs[-1].options
    rows = [
        "The model is trained to imitate a dense model (its predictions, by KL divergence, and its residual streams) "
        "as well as to predict the next token; the paper continues pre-training on text alone.",
        ("Attention, embeddings" if not options.attention_rank else "Embeddings")
        + " and output head are the dense model's and were not trained. The FFN matrices "
        + "and, in runs with an `--attention-rank` above 0, those of attention " * bool(options.attention_rank)
        + "were trained by low-rank updates.",
        "Routers and depth heads start from a closed-form fit. The depth head is fitted to the entropy of the dense "
        "model's next-token prediction, so that uncertain tokens get more loops. The router is fitted to the part of "
        "the dense FFN's update that each expert's slice writes.",
        _gate_departure(runs),
        f"The load-balance factor of the last run is {options.load_balance:g} (paper: 1e-5)."
        + f" The loss has an entropy term of the depth choice with factor {options.depth_entropy:g}, which is not in "
        "the paper." * bool(options.depth_entropy),
        "tau falls from 1 to 0.1 over the first 70 % of stage 2; the released code keeps it at 5.",
    ]
    if refitted := [run.options for run in runs if run.options.refit_depth]:
        rows.append(
            "Between the runs the depth heads were refitted in closed form: each number of loops has its share of the "
            "tokens, and goes to those that come closest to the dense model's residual stream with it, or lose least."
        )
        if steady := refitted[-1].steady_layers:
            rows.append(
                f"In the {'one layer' if steady == 1 else f'{steady} layers'} where other loops than the usual number "
                "cost most, that number has a larger share than elsewhere."
            )
    return "\n".join(f"- {row}" for row in rows)


def _gate_departure(runs: Sequence[PastRun]) -> str:
    every, earlier = (
        runs[-1].options.gate_every,
        [run.options.gate_every for run in runs[:-1] if run.options.gate_every],
    )
    held = "In all other steps every token runs the loops that it takes in evaluation."
    if every:
        return f"Only one step in {every} of stage 2 draws loops with Gumbel noise and trains the depth heads. {held}"
    before = f" In the runs before it, one step in {', '.join(map(str, earlier))} drew loops with Gumbel noise."
    return (
        "In the last run no gradient reached the depth heads: they are the closed-form fit below, and every token ran "
        "the loops that it takes in evaluation." + before * bool(earlier)
    )


def _held_out(evaluation: dict) -> str:
    control = ["dense_trained"] * ("dense_trained" in evaluation)
    columns = ["dense", *control, "own", *(name for name in evaluation["controls"] if name.startswith("always"))]
    heads = [HEADS.get(name, name.replace("_", " ")) for name in columns]
    rows = [
        (kind, evaluation["documents"][kind], *(row[name]["bits_per_byte"] for name in columns))
        for kind, row in evaluation["by_kind"].items()
    ]
    losses = [(kind, *(row[name]["loss"] for name in columns)) for kind, row in evaluation["by_kind"].items()]
    return (
        f"Bits per byte on the first {evaluation['document_tokens']} tokens of held-out documents:\n\n"
        + table(("text", "documents", *heads), rows)
        + _control(evaluation)
        + f"\n\nAveraged over kinds of text, this model has **{ratio_to_dense(evaluation):.3f} times** the dense "
        "model's bits per byte. The loss in nats per token is:\n\n" + table(("text", *heads), losses)
    )


def _control(evaluation: dict) -> str:
    """What the control was, and the ratio to it; empty if there is none."""
    if "dense_trained" not in evaluation:
        return ""
    tokens, ratio = evaluation["dense_trained"]["tokens"], ratio_to_dense(evaluation, "dense_trained")
    return (
        f"\n\n`dense model, trained` is the dense model after next-token training on {tokens:,} of the same tokens, "
        "with low-rank updates of the same ranks: it shows what the texts alone are worth. Averaged over kinds of "
        f"text, this model has {ratio:.3f} times its bits per byte."
    )


def _questions(results: dict[str, dict]) -> str:
    """Accuracies and mean loops on multiple-choice questions; empty if none were asked."""
    if not results:
        return ""
    rows = [
        (name, result["questions"], HEADS.get(model, model.replace("_", " ")), *_with_errors(row), result["chance"])
        for name, result in results.items()
        for model, row in result["models"].items()
    ]
    loops = "; ".join(
        f"{name}: {np.mean(result['mean_loops']):.2f}, by layer "
        + ", ".join(f"{mean:.2f}" for mean in result["mean_loops"])
        for name, result in results.items()
    )
    return (
        "The model reads the question and the choice that it finds likeliest is its answer, without examples in the "
        "prompt (the formula of lm-evaluation-harness, computed here). `by length` divides the log-probability by the "
        "characters of the choice. In brackets: standard error over questions.\n\n"
        + table(("questions of", "asked", "model", "right", "right by length", "chance"), rows)
        + f"\n\nMean loops on these questions, which the paper shows for ARC-Challenge in its Figure 4: {loops}."
    )


def _with_errors(row: dict[str, float]) -> list[str]:
    names = ("accuracy", "accuracy_by_length")
    return [f"{row[name]:.3f} ({row[f'{name}_error']:.3f})" for name in names]


def _controls(evaluation: dict) -> str:
    return f"These controls use the documents above. {CONTROLS_READ}\n\n{controls_table(evaluation['controls'])}"


def _frontier(evaluation: dict) -> str:
    """The loss at cheaper and dearer mixes of loops, beside constant numbers of them; empty if it was not measured."""
    if "frontier" not in evaluation:
        return ""
    points = [
        ("depth heads refitted", row["mean_loops"], row["difference"], row["standard_error"])
        for row in evaluation["frontier"]
    ]
    points += [
        (f"always {loops} loop{'s' * (loops > 1)}", float(loops), control["mean"], control["standard_error"])
        for loops in range(1, len(evaluation["layers"][0]["loop_shares"]) + 1)
        if (control := evaluation["controls"].get(f"always_{loops}_loops"))
    ]
    points.append(("this model", evaluation["mean_loops"], 0.0, ""))
    return (
        "What would a cheaper or dearer mix of loops cost? The depth heads are refitted to other mixes, and all other "
        "weights stay as they are. `difference` is the loss minus this model's, in nats per token, as a mean over the "
        "documents above with its standard error. A point far from this model's mean shows what the gate can do "
        "without further training, not what a model trained for that mix would do.\n\n"
        + table(("decisions", "mean loops", "difference", "standard error"), sorted(points, key=lambda row: row[1]))
    )


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


__all__ = ["update_card"]
