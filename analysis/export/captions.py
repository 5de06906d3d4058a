"""What stands beside a figure that has left its page: title, how to read it, its numbers, and where they come from."""

import numpy as np
import pandas as pd

from analysis.aggregate import ordinary
from analysis.answers import answers
from analysis.catalogue import Drawn, FigureSpec, OfTexts
from analysis.figures.selection import At
from analysis.models.training import TrainingCurves
from analysis.parts import parts_of
from analysis.runs.about import AboutRun
from analysis.runs.atlas import Atlas
from analysis.runs.filter_words import in_words as filter_in_words
from analysis.runs.map import TokenMap
from analysis.texts.study import repeats_told
from analysis.texts.summary import PromptTable
from analysis.view import View
from analysis.words.labels import how_many, token_label
from analysis.words.numbers import number
from hooks.interventions import from_json, in_words
from hooks.sampling import Sampling
from hooks.trace import RoutingTrace

About = RoutingTrace | OfTexts | TrainingCurves | PromptTable | Atlas | TokenMap | AboutRun
"""What a caption speaks of (`routing_of`)."""
FEWEST_READ = 5
"""Fewer surprisals say nothing about how well a text is predicted."""


def numbers(spec: FigureSpec, about: About, view: View, *, marked: bool = True, **options: str) -> str:
    """How much is counted, what is selected, and the reader's choice.

    Without marks of the selection in the figure (`marked`), only what it draws of the selection is told.
    """
    if isinstance(about, TrainingCurves):
        text = _curves_numbers(about)
    elif isinstance(about, PromptTable):
        text = _list_numbers(about)
    elif isinstance(about, Atlas):
        text = _run_numbers(about)
    elif isinstance(about, AboutRun):
        words = filter_in_words(about.chosen)
        text = f"Run “{about.run}”{f', {words}' if words else ''}. {about.counted}".strip()
    elif isinstance(about, TokenMap):
        text = _map_numbers(about)
    elif isinstance(about, OfTexts):
        text = f"{_study_numbers(about)}{_selected(spec, about, view, marked)}"
        text += f" {repeats}" if (repeats := repeats_told(about)) else ""
        if rests := _tokens_of_rows(spec.table(about)):
            text += f" {rests}"
    else:
        text = _trace_numbers(about, view, _selected(spec, about, view, marked))
    if choice := spec.choice:
        chosen = choice.chosen(options)
        text += f" {choice.name}: {choice.labels.get(chosen, chosen).lower()}."
    return text


def _curves_numbers(curves: TrainingCurves) -> str:
    runs, tokens = curves.rows["run"].nunique(), int(curves.rows["all_tokens"].max())
    return f"{how_many(runs, 'run')} of {tokens:,} tokens in all."


def _list_numbers(drawn: PromptTable) -> str:
    traced, grouped = int(drawn.table["tokens"].notna().sum()), f", grouped by {drawn.column}" if drawn.column else ""
    return f"{drawn.name}: {how_many(len(drawn.table), 'prompt')}, {traced:,} of them traced{grouped}."


def _run_numbers(drawn: Atlas) -> str:
    found = drawn.table("counts").iloc[0]
    counted = f"{how_many(int(found.tokens), 'token')} of {how_many(int(found.prompts), 'prompt')}"
    left = f", {words}, out of {int(found.all_tokens):,} tokens" if (words := filter_in_words(drawn.chosen)) else ""
    return f"Run “{drawn.name}”: {counted}{left}."


def _map_numbers(drawn: TokenMap) -> str:
    sample, words = drawn.sample, filter_in_words(drawn.sample.chosen)
    return (
        f"Run “{sample.run}”: {len(sample):,} of {how_many(sample.count, 'token')}{f', {words}' if words else ''}, "
        f"drawn with the seed {sample.seed}. Blocks of the vectors: {', '.join(drawn.blocks)}. Fitted on "
        f"{drawn.fitted:,} tokens; trustworthiness {number(drawn.trustworthiness)} among {drawn.measured:,}."
    )


def _study_numbers(study: OfTexts) -> str:
    texts = f"{how_many(study.texts, 'text')}{f' ({study.name})' if study.name else ''}"
    return f"{texts} of {how_many(study.tokens, 'token')}, {study.num_layers} layers."


def _tokens_of_rows(table: pd.DataFrame) -> str | None:
    """How many tokens the tested numbers of a table rest on; None for a table without any."""
    tokens = table["tokens"][table["tokens"] > 0]
    if "p" not in table or tokens.empty:
        return None
    least, most = tokens.min(), tokens.max()
    return f"Each number is over {least:,}{f' to {most:,}' if most > least else ''} tokens."


def _trace_numbers(trace: RoutingTrace, view: View, selected: str) -> str:
    read = f", {sentence}" if (sentence := reading(trace)) else ""
    text = f"{how_many(trace.num_tokens, 'token')}, {how_many(trace.num_layers, 'layer')}{read}."
    if view.window is not None:
        first, end = view.span(trace.num_tokens)
        text += f" Maps show tokens {first} to {end - 1}."
    text += selected
    if written := generation(trace):
        text += f" {written}"
    if trace.special.any():
        text += f" Means leave out {int(trace.special.sum())} token(s) that the tokenizer added."
    return text


def _cell(about: RoutingTrace | OfTexts, view: View) -> dict[At, str]:
    """Part of the selection -> its words. A study has no token to select."""
    layer: dict[At, str] = {"layer": f"layer {view.layer}"}
    if isinstance(about, OfTexts):
        return layer
    return {"token": f"token {view.token} “{token_label(about, view.token)}”", **layer}


def _selected(spec: FigureSpec, about: RoutingTrace | OfTexts, view: View, marked: bool) -> str:
    """What is marked as selected or, without marks, what the figure draws of the selection: a sentence, or nothing."""
    told = [words for at, words in _cell(about, view).items() if marked or at in spec.follows]
    return f" {'Selected' if marked else 'Shown'}: {', '.join(told)}." if told else ""


def reading(trace: RoutingTrace) -> str | None:
    """How a text longer than the trained context was read, to follow its number of tokens; None for one pass."""
    if not (stated := trace.meta.get("windows")):
        return None
    return (
        f"read in {stated['number']} windows of {stated['context']:,} tokens, each overlapping the former by "
        f"{stated['overlap']:,}"
    )


def generation(trace: RoutingTrace) -> str | None:
    """A sentence that says which tokens the model wrote and how they were chosen; None for a text that was given."""
    first = trace.first_generated
    if first >= trace.num_tokens:
        return None
    sampled = [
        {name: value for name, value in each.items() if name != "first"} for each in trace.meta["generated"]["sampling"]
    ]
    how = dict.fromkeys(Sampling(**each).words() for each in sampled)
    told = next(iter(how), "") if len(how) < 2 else f"{len(how)} ways of choosing"
    return f"Tokens from {first} on were generated{f' ({told})' if told else ''}; those before are the prompt."


def worse_than_guessing(trace: RoutingTrace) -> str | None:
    """The sentence for a text that is predicted worse than if all tokens of the vocabulary were equally likely.

    None for every other text, for one of few tokens, where the trace does not state the size of the vocabulary, and of
    a model that may not be trained at all.
    """
    read = trace.logprob[ordinary(trace)]
    read, vocabulary = read[np.isfinite(read)], trace.meta.get("config", {}).get("vocab_size")
    untrained = trace.meta.get("gates_trained") is False
    if len(read) < FEWEST_READ or not vocabulary or untrained or -read.mean() <= np.log(vocabulary):
        return None
    means_little = ", and its routing may mean little" if trace.parts else ""
    return (
        f"The model predicts this text worse than if all its {vocabulary:,} tokens were equally likely "
        f"({number(-read.mean(), 1)} against {number(np.log(vocabulary), 1)} nats per token). The text is unlike those "
        f"that the model was trained on{means_little}."
    )


def source(about: About) -> str:
    """Model and weights in one line; a warning where the routing is noise."""
    weights = str(about.meta.get("weights_sha256") or "unknown")[:12]
    if about.meta.get("weights_changed"):
        weights += " (changed since they were loaded)"
    untrained = " Gates untrained: routing is noise." if about.meta.get("gates_trained") is False else ""
    changed = f" {sentence}" if (sentence := intervention(about)) else ""
    return f"Model {about.meta.get('model', 'unknown')}, weights {weights}.{untrained}{changed}"


def intervention(about: About) -> str | None:
    """A sentence that says what was decided otherwise than the model would have; None if nothing was."""
    if "interventions" not in about.meta:
        return None
    changed = about.interventions if isinstance(about, RoutingTrace) else from_json(about.meta["interventions"])
    return f"Under interventions, not the model's own routing: {in_words(changed, parts_of(about.meta))}."


def caption(spec: FigureSpec, about: About, view: View, *, marked: bool = True, **options: str) -> str:
    """The caption as plain text, to be pasted under the figure in a paper; `marked` as in `numbers`."""
    title = spec.title_of(about.meta)
    title = title if title.endswith("?") else f"{title}."
    told = numbers(spec, about, view, marked=marked, **options)
    return f"{title} {spec.whole_caption_of(about.meta, **options)}\n\n{told}\n{source(about)}\n"


def answers_text(given: tuple[Drawn, ...], view: View) -> str:
    """The answers of all pages whose data is among the `given` ones, a trace first: a line each, as plain text."""
    lines = [f"{page.replace('_', ' ').capitalize()}: {found.text}" for page, found in answers(given, view).items()]
    selected = f" Selected: {', '.join(_cell(given[0], view).values())}."
    return "\n".join([*lines, "", _trace_numbers(given[0], view, selected), source(given[0]), ""])


__all__ = [
    "About", "answers_text", "caption", "generation", "intervention", "numbers", "reading", "source",
    "worse_than_guessing",
]  # fmt: skip
