"""Writes the model card of a shipped checkpoint from its configuration, the runs' settings and its evaluation."""

import shlex
from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path

from sample_models.loading import LoadedModel
from sample_models.run_options import option_words
from sample_models.train_options import TrainOptions
from sample_models.train_schedules import LR_FLOOR, TAU_FLOOR, TAU_FLOOR_AT, TAU_START, WARM_UP

PAPER = "arXiv 2512.14531"

SOURCES = {
    "stories": (
        "Novels and tales of Standard Ebooks; fairy tales of the FairytaleQA collection; African Storybook and "
        "Pratham Books",
        "Standard Ebooks' own contributions CC0, the texts believed to be in the public domain in the United States "
        "and maybe not elsewhere; FairytaleQA: Apache-2.0 repository of public-domain tales; African Storybook and "
        "Pratham Books: CC-BY",
    ),
    "textbooks": (
        "OpenStax: anthropology, intellectual property, microbiology, physics, economics, world history",
        "CC-BY 4.0, attribution to OpenStax",
    ),
    "plays": ("Shakespeare (nltk_data)", "public domain"),
    "speeches": ("Inaugural and state-of-the-union addresses of US presidents (nltk_data)", "public domain"),
    "code": ("TheAlgorithms/Python; The Rust Programming Language", "MIT; MIT or Apache-2.0"),
    "arithmetic": ("Sums, counting and small word problems, generated for this model", "CC0"),
}
"""Kind of text -> its description and licence."""


def sources_table(kinds: Iterable[str]) -> str:
    """Markdown table of the named kinds of text. Raises ValueError for a kind that is not in `SOURCES`."""
    kinds = list(kinds)
    if unknown := [kind for kind in kinds if kind not in SOURCES]:
        raise ValueError(
            f"held-out files must be named after {', '.join(SOURCES)}, got {unknown[0]}: or give --sources"
        )
    return table(("kind", "what", "licence"), [(kind, *SOURCES[kind]) for kind in kinds])


def table(head: Iterable[str], rows: Iterable[Iterable]) -> str:
    """A markdown table; floats are shown with three decimals."""

    def line(cells: Iterable) -> str:
        return "| " + " | ".join(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |"

    head = list(head)
    return "\n".join([line(head), line("---" for _ in head), *map(line, rows)])


def command(options: TrainOptions) -> str:
    """The training command of a run with its sizes and all non-default options; files are given by name only."""
    named = replace(
        options,
        data=tuple(Path(path.name) for path in options.data),
        valid=tuple(Path(path.name) for path in options.valid),
        out=Path("runs", options.out.name),
        init=options.init and Path("runs", options.init.name),
    )
    words = ["python -m sample_models.train", f"--ffn {options.ffn}"]
    for setting in fields(named):
        in_card, changed = setting.metadata["in_card"], getattr(named, setting.name) != setting.default
        if in_card == "always" or (in_card == "if changed" and changed):
            words.append(shlex.join(option_words(named, setting)))
    return " \\\n    ".join(words)


def model_card(
    name: str,
    loaded: LoadedModel,
    settings: dict[str, TrainOptions],
    last: dict[str, dict],
    evaluation: dict,
    data: str,
) -> str:
    """The card in Markdown. `settings` and `last` (the last row of the log) are by phase; `data` is Markdown."""
    sections = {
        "Sizes": _sizes(loaded),
        "Data and licences": data + "\n\nNone of the texts is part of this repository.",
        "Training": _training(settings, last) + _checkpoints(evaluation["training"]),
        "Departures from the paper": _departures(loaded, settings),
        "Held-out results": _held_out(evaluation),
        "What the decisions are worth": controls_section(evaluation),
        "Limits": _limits(),
        "Commands": _commands(name, settings),
    }
    head = (
        f"# {name}\n\nA small VersatileFFN language model ({PAPER}) for the explorer, trained so that you can look at "
        "its routing, loops and virtual experts on a laptop. All numbers on this page were computed by "
        "`python -m sample_models.publish`; `evaluation.json` and `curves.csv` hold them in full."
    )
    return "\n\n".join([head, *(f"## {title}\n\n{text}" for title, text in sections.items())]) + "\n"


def _sizes(loaded: LoadedModel) -> str:
    config = loaded.config
    rows = [
        ("parameters", f"{loaded.parameter_count:,}"),
        ("of these routers and depth heads", f"{loaded.heads_parameter_count:,}"),
        ("layers", config.num_hidden_layers),
        ("hidden size", config.hidden_size),
        ("FFN size (hidden units)", config.intermediate_size),
        ("attention heads", config.num_attention_heads),
        ("virtual experts, used per token", f"{config.num_experts}, {config.num_experts_per_tok}"),
        ("most loops", config.max_loops),
        ("vocabulary (byte-level BPE)", config.vocab_size),
        ("context in training", f"{config.max_position_embeddings} tokens"),
        ("stored as", "bfloat16 safetensors"),
        ("SHA-256 of the weights", f"`{loaded.weights_sha256}`"),
    ]
    return table(("", ""), rows)


def _training(settings: dict[str, TrainOptions], last: dict[str, dict]) -> str:
    phases = ("dense", "versatile")
    rows = [
        ("steps", *(f"{last[phase]['step']:,.0f}" for phase in phases)),
        ("tokens", *(f"{last[phase]['tokens']:,.0f}" for phase in phases)),
        ("windows per step x tokens", *(f"{settings[p].batch} x {settings[p].context}" for p in phases)),
        ("peak learning rate", *(f"{settings[phase].learning_rate:g}" for phase in phases)),
        ("weight decay (matrices)", *(f"{settings[phase].weight_decay:g}" for phase in phases)),
        ("last training loss (one batch)", *(last[phase]["loss"] for phase in phases)),
        ("last held-out loss during training", *(last[phase]["held_out"] for phase in phases)),
    ]
    own = settings["versatile"]
    return (
        "The model was first trained dense (one pass through the FFN). Training then continued as a VersatileFFN "
        "with fresh routers and depth heads, as in the paper's continued pre-training.\n\n"
        + table(("", *phases), rows)
        + "\n\nThe optimiser is AdamW (betas 0.9, 0.95) with gradient clipping at 1. The learning rate warms up "
        f"linearly over {WARM_UP:.0%} of the steps, then follows a cosine to {LR_FLOOR:.0%} of the peak. The Gumbel "
        f"temperature tau falls geometrically from {TAU_START:g} to {TAU_FLOOR:g} over the first {TAU_FLOOR_AT:.0%} "
        "of the versatile steps and then stays there.\n\nLoss of the versatile phase = next-token cross-entropy + "
        f"{own.load_balance:g} x load balance (at the end {last['versatile']['load_balance']:.3f}; 1 is even) + "
        f"{own.router_z:g} x router z-loss ({last['versatile']['router_z']:.3f}) - {own.depth_entropy:g} x entropy of "
        f"the batch-mean depth softmax ({last['versatile']['depth_entropy']:.3f} nats)."
    )


def _checkpoints(training: list[dict]) -> str:
    if not training:
        return ""
    rows = [(f"{row['step']:,}", f"{row['tokens']:,}", f"{row['tau']:.3g}", row["held_out"]) for row in training]
    return (
        "\n\n`checkpoints/` holds the weights after these steps of the versatile phase, in bfloat16; "
        "`load_model(..., step=N)` loads them. The held-out loss is measured on the same windows as the results "
        "below:\n\n" + table(("step", "tokens seen", "tau", "held-out loss"), rows)
    )


def _departures(loaded: LoadedModel, settings: dict[str, TrainOptions]) -> str:
    own, config = settings["versatile"], loaded.config
    rows = [
        f"The model is far smaller than the published ones (354M to 1.2B): {loaded.parameter_count / 1e6:.1f}M "
        f"parameters, vocabulary {config.vocab_size}, {config.max_position_embeddings} tokens of context and few "
        "tokens of training.",
        f"The load-balance factor is {own.load_balance:g} (paper: 1e-5), because small models collapse onto "
        "few experts without it.",
        f"The loss has an added term, -{own.depth_entropy:g} x entropy of the batch-mean depth softmax, which keeps "
        "all numbers of loops in use. It is not in the paper, and it raises the loop entropy reported below.",
        f"The loss has an added router z-loss with factor {own.router_z:g}.",
        f"Embeddings start with standard deviation {settings['dense'].embedding_std:g}, because the heads read the "
        "residual stream without a norm, and with small embeddings the Gumbel noise swamps the first layer's logits.",
        f"tau follows a schedule over the run and reaches {TAU_FLOOR:g}; the released code keeps it at 5.",
        "Embeddings, norms, routers and depth heads have no weight decay.",
    ]
    return "\n".join(f"- {row}" for row in rows)


def _held_out(evaluation: dict) -> str:
    held_out = evaluation["held_out"]
    files = [(file, row["windows"], row["loss"], row["unigram_entropy"]) for file, row in held_out["by_file"].items()]
    loops = range(1, len(evaluation["layers"][0]["loop_shares"]) + 1)
    layers = [
        (
            row["layer"],
            *row["loop_shares"],
            row["loop_entropy"],
            *(f"{value:.3f}" for value in (min(row["expert_load"]), max(row["expert_load"]))),
        )
        for row in evaluation["layers"]
    ]
    return (
        f"On {held_out['windows']} windows of {held_out['window_tokens']} tokens, spread over all held-out files, the "
        f"rounded weights have a loss of **{held_out['loss']:.3f} nats per token** (standard error "
        f"{held_out['standard_error_over_windows']:.3f} over windows, not over documents: several windows may lie in "
        f"one document). The dense run that it continued from has {held_out['dense_run_loss']:.3f} on the same "
        "windows, but it had fewer tokens of training, so the gap is not the gain of the architecture. The entropy "
        "of the windows' token distribution, the best possible loss without context, is "
        f"{held_out['unigram_entropy']:.3f}.\n\n"
        + table(("file", "windows", "loss", "unigram entropy"), files)
        + "\n\nThe next table has loops and experts by layer on the same windows. The loop columns are shares of "
        "tokens; tokens that take all loops are not routed. Load is the share of the routed assignments that the "
        "least and the most used expert get.\n\n"
        + table(("layer", *(f"{n} loop{'s' * (n > 1)}" for n in loops), "entropy (nats)", "load min", "max"), layers)
    )


def controls_section(evaluation: dict) -> str:
    """What the decisions are worth: the table of controls, how they were measured and how to read them."""
    on = evaluation["controls_on"]
    return (
        f"The controls ran on the first {on['document_tokens']} tokens of each of {on['documents']} held-out "
        f"documents (spread evenly over the documents that are long enough: {mix(on['documents_by_file'])}). The "
        f"model's own loss there is {on['own_loss']:.3f}. {CONTROLS_READ}\n\n{controls_table(evaluation['controls'])}"
    )


CONTROLS_READ = (
    "The table shows the loss with replaced decisions minus the model's own loss, in nats per token, as a mean over "
    "documents with its standard error over documents. `changed` is the share of cells whose decision changed; a "
    "cell is a token in a layer, and for experts only routed cells count. A shuffle redistributes a layer's own "
    "choices among the tokens of all documents, of every kind of text.\n\n- `loops shuffled` moves λ with the loops. "
    "With `loops alone` every token keeps its λ, and with `lambda alone` it keeps its loops.\n- `within token type` "
    "shuffles both among equal tokens only, so it shows the cost that remains when every token type keeps its own "
    "choices. It changes fewer cells, so read its cost beside that share.\n- `without experts` is the scale for "
    "`experts shuffled`: here the experts write nothing (Y_width = H).\n- `always` gives all tokens in all layers "
    "the same number of loops, and sets λ to match.\n\nAn effect within two standard errors of zero is not shown, "
    "which does not mean that there is none. A cost shows that this model does worse with other decisions, not that "
    "its own are the best: its weights were trained with its own decisions, and other decisions are new to them."
)
"""How to read `controls_table`, and what it cannot say."""


def mix(documents_by_file: dict[str, int]) -> str:
    """The kinds of text and how many documents are of each: "stories 102, plays 1"."""
    return ", ".join(f"{name.split('.')[0]} {count}" for name, count in documents_by_file.items() if count)


def controls_table(controls: dict[str, dict]) -> str:
    """Markdown table of controls by name, of the fields of `controls.Control`, and whether each effect is shown."""
    rows = [
        (
            name.replace("_", " "),
            f"{row['mean']:+.4f}",
            f"{row['standard_error']:.4f}",
            f"{row['changed']:.0%}",
            effect(row["mean"], row["standard_error"]),
        )
        for name, row in controls.items()
    ]
    return table(("control", "difference", "standard error", "changed", "effect"), rows)


def effect(mean: float, standard_error: float) -> str:
    """Whether a difference is beyond two standard errors: costs, helps, or not shown."""
    if abs(mean) <= 2 * standard_error:
        return "not shown"
    return "costs" if mean > 0 else "helps"


def _limits() -> str:
    return (
        "The model is tiny and was trained briefly. It continues text in the style of its sources and knows no "
        "facts, so do not rely on what it says. Most of its texts are old and carry the views and the language of "
        "their time. It reads English only. It comes from one training run with one seed, so what you see in it need "
        "not hold for larger models or for another seed."
    )


def _commands(name: str, settings: dict[str, TrainOptions]) -> str:
    files = shlex.join(path.name for path in settings["versatile"].valid)
    run, dense = (f"runs/{settings[phase].out.name}" for phase in ("versatile", "dense"))
    publish = (
        f"python -m sample_models.publish {run} --dense-run {dense} \\\n    --valid {files} \\\n"
        f"    --out sample_models/checkpoints/{name}"
    )
    return "```sh\n" + "\n".join([command(settings["dense"]), command(settings["versatile"]), publish]) + "\n```"
