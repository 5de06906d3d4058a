"""Multiple-choice accuracy: against the plain computation, one choice at a time."""

import json

import numpy as np
import pytest
import torch

from sample_models import load_model, multiple_choice
from sample_models.multiple_choice import Question, answer, read_questions
from sample_models.taps import record

QUESTIONS = [
    Question("What do plants need to grow?", ("light and water", "a hat"), 0),
    Question("Which is an animal?", ("stone", "fox", "the long and winding river"), 1),
    Question("What is two and two?", ("4", "four", "five", "a king"), 1),
]


@pytest.fixture(scope="module")
def loaded():
    return load_model("versatile-4l-0.4m")


def log_probability(loaded, prompt: str, choice: str) -> float:
    """One choice by itself, from the whole table of log-probabilities."""
    start = len(loaded.tokenizer(prompt, add_special_tokens=False).input_ids)
    ids = loaded.tokenizer(prompt + choice, add_special_tokens=False, return_tensors="pt").input_ids
    with torch.no_grad():
        table = loaded.model(ids).logits[0].log_softmax(dim=-1)
    return float(sum(table[place - 1, ids[0, place]] for place in range(start, ids.shape[1])))


def test_answers_equal_those_of_one_choice_at_a_time(loaded, monkeypatch):
    monkeypatch.setattr(multiple_choice, "BATCH_TOKENS", 64)  # several passes, with padding
    answers = answer(loaded.model, loaded.tokenizer, QUESTIONS)
    for index, question in enumerate(QUESTIONS):
        scores = np.array(
            [log_probability(loaded, f"Question: {question.text}\nAnswer:", f" {c}") for c in question.choices]
        )
        lengths = np.array([len(choice) for choice in question.choices])
        assert answers.right[index] == (scores.argmax() == question.answer)
        assert answers.right_by_length[index] == ((scores / lengths).argmax() == question.answer)


def test_scores_are_the_log_probabilities(loaded):
    pairs = [multiple_choice._encoded(loaded.tokenizer, "Question: Who?\nAnswer:", f" {c}") for c in ("me", "the king")]
    counted = multiple_choice._LoopCount(loaded.model)
    scores = multiple_choice._log_probabilities(loaded.model, pairs, counted)
    wanted = [log_probability(loaded, "Question: Who?\nAnswer:", f" {c}") for c in ("me", "the king")]
    np.testing.assert_allclose(scores, wanted, atol=1e-4)


def test_mean_loops_leave_out_the_padding(loaded):
    loops: list[list[float]] = [[] for _ in loaded.model.model.layers]
    names = {f"blocks.{layer}.mlp.hook_loop_choice": layer for layer in range(len(loops))}
    question = QUESTIONS[1]
    for choice in question.choices:
        ids = loaded.tokenizer(f"Question: {question.text}\nAnswer: {choice}", return_tensors="pt").input_ids
        with torch.no_grad(), record(list(names), lambda name, seen: loops[names[name]].extend((seen + 1).flatten())):
            loaded.model(ids)
    found = answer(loaded.model, loaded.tokenizer, [question]).mean_loops
    np.testing.assert_allclose(found, [np.mean(each) for each in loops], rtol=1e-6)


def test_questions_are_read_by_split_and_others_refused_in_one_sentence(tmp_path):
    row = {"question": "Why?", "choices": ["a", "b"], "answer": 1, "split": "test"}
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join(json.dumps(row | {"split": split}) for split in ("train", "test", "test")))
    assert read_questions(path, "test", 1) == [Question("Why?", ("a", "b"), 1)]
    with pytest.raises(ValueError, match="no question of the split 'dev'"):
        read_questions(path, "dev", 9)
    path.write_text('{"question": "Why?", "split": "test"}')
    with pytest.raises(ValueError, match="a line without question, choices, answer or split"):
        read_questions(path, "test", 9)
