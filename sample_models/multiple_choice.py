"""Accuracy on multiple-choice questions such as those of ARC (Clark et al. 2018), by likelihood.

The formula is that of the tasks `arc_easy` and `arc_challenge` of lm-evaluation-harness without examples in the prompt:
the model reads "Question: ...", a new line, "Answer:", and the choice whose text it finds most likely is its answer.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from sample_models.evaluate import tap_names
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.taps import record

BATCH_TOKENS = 2048
"""Most tokens of a pass, padding included."""


@dataclass(frozen=True)
class Question:
    """A question, its choices, and the index of the right one."""

    text: str
    choices: tuple[str, ...]
    answer: int


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model answered to some questions."""

    right: np.ndarray
    """[question] whether the likeliest choice is the right one."""
    right_by_length: np.ndarray
    """[question] the same with log-probabilities divided by the characters of the choice."""
    mean_loops: np.ndarray | None
    """[layer] mean loops of a token over prompts and choices, a prompt counted once per choice; None without loops."""


def read_questions(path: Path, split: str, limit: int) -> list[Question]:
    """The first `limit` questions of a split, from JSON lines with `question`, `choices`, `answer` and `split`.

    Raises ValueError if a line lacks one of them, or no line is of the split.
    """
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        found = [
            Question(row["question"], tuple(row["choices"]), int(row["answer"]))
            for row in rows
            if row["split"] == split
        ]
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} has a line without question, choices, answer or split ({error})") from error
    if not found:
        raise ValueError(f"{path} has no question of the split {split!r}: name another split")
    return found[:limit]


def answer(
    model: VersatileFFNForCausalLM, tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question]
) -> Answers:
    """Let a model in eval mode answer questions."""
    pairs = [
        _encoded(tokenizer, f"Question: {question.text}\nAnswer:", f" {choice}")
        for question in questions
        for choice in question.choices
    ]
    order = sorted(range(len(pairs)), key=lambda index: len(pairs[index][0]))  # equal lengths together: less padding
    scores, loops = np.zeros(len(pairs)), _LoopCount(model)
    with record(list(loops.layer_of), loops.count):
        for part in _batches(order, [len(ids) for ids, _ in pairs]):
            scores[part] = _log_probabilities(model, [pairs[index] for index in part], loops)
    lengths = np.array([len(choice) for question in questions for choice in question.choices])
    ends = np.cumsum([len(question.choices) for question in questions])[:-1]
    answers = np.array([question.answer for question in questions])

    def right(by: np.ndarray) -> np.ndarray:
        return np.array([each.argmax() for each in np.split(by, ends)]) == answers

    return Answers(right(scores), right(scores / lengths), loops.means())


class _LoopCount:
    """Adds up the loops of the tokens that are no padding."""

    def __init__(self, model: VersatileFFNForCausalLM):
        names = tap_names(model, "loop_choice") if "depth" in model.config.parts else []
        self.layer_of = {name: layer for layer, name in enumerate(names)}
        self.sums, self.tokens = np.zeros(len(names)), 0
        self.real: torch.Tensor | None = None
        """[row, token] of the pass to come: whether a place holds a token."""

    def begin(self, real: torch.Tensor) -> None:
        self.real, self.tokens = real, self.tokens + int(real.sum())

    def count(self, name: str, choice: torch.Tensor) -> None:
        self.sums[self.layer_of[name]] += float((choice.view_as(self.real)[self.real] + 1).sum())

    def means(self) -> np.ndarray | None:
        return self.sums / self.tokens if self.layer_of else None


def _encoded(tokenizer: PreTrainedTokenizerBase, prompt: str, choice: str) -> tuple[list[int], int]:
    """Token ids of prompt and choice together, and how many of them are the prompt's."""
    start = len(tokenizer(prompt, add_special_tokens=False).input_ids)
    return tokenizer(prompt + choice, add_special_tokens=False).input_ids, start


def _batches(order: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    batches: list[list[int]] = [[]]
    for index in order:
        if batches[-1] and (len(batches[-1]) + 1) * lengths[index] > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(index)
    return batches


@torch.no_grad()
def _log_probabilities(
    model: VersatileFFNForCausalLM, pairs: Sequence[tuple[list[int], int]], loops: _LoopCount
) -> np.ndarray:
    """[pair] log-probability in nats of the choice after its prompt.

    Padding stands behind the tokens, where a causal model cannot see it.
    """
    size = torch.tensor([len(ids) for ids, _ in pairs])
    start = torch.tensor([prompt for _, prompt in pairs])
    ids = torch.zeros(len(pairs), int(size.max()), dtype=torch.long)
    for row, (tokens, _) in zip(ids, pairs, strict=True):
        row[: len(tokens)] = torch.tensor(tokens)
    place = torch.arange(ids.shape[1])
    loops.begin((place < size[:, None]).to(model.device))
    ids = ids.to(model.device)
    states = model.model(ids, use_cache=False).last_hidden_state[:, :-1]
    chosen = ((place[1:] >= start[:, None]) & (place[1:] < size[:, None])).to(model.device)
    losses = F.cross_entropy(model.lm_head(states[chosen]).float(), ids[:, 1:][chosen], reduction="none")
    sums = torch.zeros(len(pairs), device=model.device).index_add(0, chosen.nonzero()[:, 0], losses)
    return -sums.cpu().double().numpy()


__all__ = ["Answers", "Question", "answer", "read_questions"]
