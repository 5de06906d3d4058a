"""Answers about runs."""

from analysis.answers.answer import Answer, share
from analysis.runs.atlas import DEAD, FEW, MANY, NONE, TOO_MUCH, Atlas, collapsed_layers
from analysis.runs.filters import ALL_TOKENS
from analysis.view import View
from analysis.words.labels import how_many
from analysis.words.numbers import number

MOST_NAMED = 3
OUTSIDE = (
    (DEAD, "is dead", "are dead"),
    (TOO_MUCH, "takes too much", "take too much"),
    (NONE, "served none", "served none"),
    (FEW, "served few", "served few"),
    (MANY, "served many", "served many"),
)
"""Verdict on an expert's load -> how an answer says it of one expert, and of more."""


def atlas(drawn: Atlas, view: View) -> Answer:
    """How many tokens of a run count, where they loop most and least, and what of the model has collapsed."""
    found = drawn.table("counts").iloc[0]
    tokens, every, filtered = int(found.tokens), int(found.all_tokens), drawn.chosen != ALL_TOKENS
    counted = f"{how_many(tokens, 'token')} of {how_many(int(found.prompts), 'prompt')}"
    if not tokens:
        return Answer("The filter leaves no token of this run; remove a part of it.")
    model = drawn.meta.get("model") or "an unnamed model"
    how = f" count here, {share(tokens / max(every, tokens))} of the run, read by" if filtered else " were read by"
    return Answer(f"{counted}{how} {model}.{_loops(drawn)}{_experts(drawn)}")


def _loops(drawn: Atlas) -> str:
    if "depth" not in drawn.sizes.parts:
        return ""
    table = drawn.table("loops")
    means = table.drop_duplicates("layer").set_index("layer")["mean_loops"]
    told = f" A token takes {number(means.mean())} loops on average"
    if means.max() > means.min():
        told += (
            f", from {number(means.min())} in layer {means.idxmin()} to {number(means.max())} in layer {means.idxmax()}"
        )
    if stuck := collapsed_layers(table):
        told += f"; nearly all tokens take the same number in {_layers(stuck)}"
    return f"{told}."


def _experts(drawn: Atlas) -> str:
    if "width" not in drawn.sizes.parts:
        return ""
    table, filtered = drawn.table("experts"), drawn.chosen != ALL_TOKENS
    told = [
        f"{how_many(len(rows), 'expert')} {words} ({_named(rows)})"
        for verdict, one, many in OUTSIDE
        if len(rows := table[table["verdict"] == verdict])
        for words in [one if len(rows) == 1 else many]
    ]
    if told:
        of = f"Of these {how_many(drawn.tokens, 'token')}" if filtered else "By load"
        return f" {of}, {' and '.join([', '.join(told[:-1]), told[-1]] if told[1:] else told)}."
    if not (table["verdict"] == "").any():
        return " There are too few choices to judge the experts."
    return f" No expert {'served few or many of these tokens' if filtered else 'is dead or takes too much'}."


def _named(rows) -> str:
    named = [f"expert {expert} of layer {layer}" for layer, expert in rows[["layer", "expert"]].to_numpy().tolist()]
    return ", ".join(named[:MOST_NAMED]) + (", …" if len(named) > MOST_NAMED else "")


def _layers(layers: list[int]) -> str:
    named = ", ".join(map(str, layers[:MOST_NAMED])) + (", …" if len(layers) > MOST_NAMED else "")
    return f"{'layer' if len(layers) == 1 else 'layers'} {named}"


__all__ = ["atlas"]
