"""Held-out figures of a distilled model beside its teacher, by kind of text, and what its decisions are worth."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from sample_models.controls import Control, always_loops, conditions
from sample_models.evaluate import count_decisions, paired_difference, window_losses
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.multiple_choice import Answers, Question, answer

SAME = 1e-2
"""Figures of the dense model in two evaluations on the same texts differ by no more, whatever the processor."""
BATCH = 4
"""Documents per pass; those of a control are all in one, since it deals decisions among them."""


def bytes_of(windows: torch.Tensor, tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """UTF-8 bytes of each window's predicted tokens, all but the first [window]; a cut character counts three."""
    return np.array([len(tokenizer.decode(row[1:]).encode()) for row in windows.tolist()])


def evaluate_distilled(
    model: VersatileFFNForCausalLM,
    teacher: VersatileFFNForCausalLM,
    texts: dict[str, torch.Tensor],
    tokenizer: PreTrainedTokenizerBase,
    beside: Mapping[str, VersatileFFNForCausalLM] = MappingProxyType({}),
) -> dict:
    """Losses of teacher and student, the student's also with decisions replaced; ready for JSON.

    texts: kind -> windows [document, token], a document each. beside: name -> another model to measure on them.
    Standard errors are over documents of all kinds together.
    """
    kinds = np.concatenate([[kind] * len(windows) for kind, windows in texts.items()])
    windows = torch.cat(list(texts.values()))
    models = {"dense": teacher, **beside, "own": model}
    losses = {name: window_losses(each, windows, BATCH) for name, each in models.items()}
    controls = {}
    for name, condition in conditions(model, [windows]).items():
        with condition() as cells:
            losses[name] = window_losses(model, windows, len(windows))
        difference = paired_difference(losses[name], losses["own"])
        controls[name] = Control(difference.mean, difference.standard_error, cells.share)
    decisions = count_decisions(model, windows, BATCH)
    sizes, predicted = bytes_of(windows, tokenizer), windows.shape[1] - 1

    def of_kind(kind: str) -> dict:
        here = kinds == kind
        bits = predicted * here.sum() / math.log(2) / sizes[here].sum()
        return {
            name: {"loss": float(row[here].mean()), "bits_per_byte": float(row[here].mean() * bits)}
            for name, row in losses.items()
        }

    mean_loops = decisions.loop_shares @ np.arange(1, model.config.max_loops + 1)
    return {
        "documents": {kind: int((kinds == kind).sum()) for kind in texts},
        "document_tokens": windows.shape[1],
        "by_kind": {kind: of_kind(kind) for kind in texts},
        "controls": {name: asdict(control) for name, control in controls.items()},
        "mean_loops": float(mean_loops.mean()),
        "layers": [
            {
                "layer": layer,
                "mean_loops": float(mean_loops[layer]),
                "loop_shares": decisions.loop_shares[layer].tolist(),
                "loop_entropy": float(decisions.loop_entropy[layer]),
                "expert_load": decisions.expert_load[layer].tolist(),
            }
            for layer in range(len(mean_loops))
        ],
    }


def answer_questions(
    model: VersatileFFNForCausalLM,
    teacher: VersatileFFNForCausalLM,
    questions: Sequence[Question],
    tokenizer: PreTrainedTokenizerBase,
    beside: Mapping[str, VersatileFFNForCausalLM] = MappingProxyType({}),
) -> dict:
    """Accuracy of teacher, student and the models `beside` them on multiple-choice questions; ready for JSON.

    The student also answers with the same loops for all tokens, the whole number nearest to its own mean.
    """
    models = {"dense": teacher, **beside, "own": model}
    answers = {name: answer(each, tokenizer, questions) for name, each in models.items()}
    loops = answers["own"].mean_loops
    constant = round(float(loops.mean()))
    with always_loops(model, loops=constant):
        answers[f"always_{constant}_loops"] = answer(model, tokenizer, questions)
    return {
        "questions": len(questions),
        "chance": float(np.mean([1 / len(question.choices) for question in questions])),
        "models": {name: _accuracies(each) for name, each in answers.items()},
        "mean_loops": loops.tolist(),
    }


def take_over_control(evaluation: dict, published: dict) -> None:
    """Take the figures of the trained dense model from an earlier evaluation, instead of measuring it again.

    Raises ValueError if there are none, or if documents or questions were others, so that the dense model's differ.
    """
    now, before = (
        each["by_kind"] | {name: asked["models"] for name, asked in each["questions"].items()}
        for each in (evaluation, published)
    )
    alike = now.keys() == before.keys() and all(
        math.isclose(value, before[name]["dense"][key], abs_tol=SAME)
        for name, models in now.items()
        for key, value in models["dense"].items()
    )
    if not alike or "dense_trained" not in published:
        raise ValueError("the trained dense model was not measured on these texts and questions: train a control")
    for name, models in now.items():
        others = dict(models)
        models.clear()
        models.update(dense=others.pop("dense"), dense_trained=before[name]["dense_trained"], **others)
    evaluation["dense_trained"] = published["dense_trained"]


def _accuracies(answers: Answers) -> dict[str, float]:
    """Shares of right answers and their standard errors over questions."""
    shares = {"accuracy": answers.right, "accuracy_by_length": answers.right_by_length}
    return {
        key: value
        for name, right in shares.items()
        for key, value in (
            (name, float(right.mean())),
            (f"{name}_error", float(right.std(ddof=1) / math.sqrt(len(right)))),
        )
    }


def ratio_to_dense(evaluation: dict, dense: str = "dense") -> float:
    """Bits per byte of the student over those of the teacher, or of another dense model, mean over kinds of text."""
    rows = evaluation["by_kind"].values()
    return float(np.mean([row["own"]["bits_per_byte"] / row[dense]["bits_per_byte"] for row in rows]))


__all__ = ["answer_questions", "bytes_of", "evaluate_distilled", "ratio_to_dense", "take_over_control"]
