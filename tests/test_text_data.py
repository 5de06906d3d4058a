"""Texts for training: documents, tokenizer, tokens on disk, and windows of them."""

import lzma

import numpy as np
import pytest
import torch

from sample_models.text_data import (
    document_windows,
    even_windows,
    random_windows,
    read_documents,
    train_tokenizer,
    write_tokens,
)
from tests.training_texts import write_text


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("corpus") / "text.txt")


@pytest.mark.parametrize(
    "string",
    [
        "",
        " two  spaces ",
        "tab\tnewline\n\r\n\n",
        "👩‍🚀 naïve ﷺ",
        "السلام عليكم",
        "x = 12345.678\n    return",
        "\x00\x7f",
    ],
)
def test_tokenizer_is_lossless(text, string):
    tokenizer = train_tokenizer([text], 300, 32)
    assert tokenizer.decode(tokenizer(string).input_ids) == string


def test_digits_are_tokens_of_their_own(text):
    tokenizer = train_tokenizer([text], 300, 32)
    assert len(tokenizer("2026").input_ids) == 4


def test_documents_are_split_at_lines_of_end_of_text_only(tmp_path):
    plain, packed = tmp_path / "a.txt", tmp_path / "b.txt.xz"
    plain.write_text("<|endoftext|>\none\ntwo <|endoftext|>\n<|endoftext|>\n\nthree\n\n<|endoftext|>\n")
    packed.write_bytes(lzma.compress("fünf".encode()))
    assert list(read_documents([plain, packed])) == ["one\ntwo <|endoftext|>", "\nthree", "fünf"]


def test_tokens_on_disk_are_documents_each_followed_by_end_of_text(text, tmp_path):
    tokenizer = train_tokenizer([text], 300, 32)
    tokens = write_tokens([text], tokenizer, tmp_path / "tokens")
    documents = tokenizer.decode(tokens.tolist()).split("<|endoftext|>")
    assert documents == [*read_documents([text]), ""]


def test_windows_are_the_same_for_the_same_seed_and_step():
    tokens = torch.arange(100).numpy()
    first = random_windows(tokens, batch=3, length=5, seed=1, step=2)
    assert (first == random_windows(tokens, batch=3, length=5, seed=1, step=2)).all()
    assert (first != random_windows(tokens, batch=3, length=5, seed=1, step=3)).any()
    assert (first[:, 1:] - first[:, :-1] == 1).all()


def test_even_windows_reach_from_the_first_to_the_last_token():
    windows = even_windows(torch.arange(100).numpy(), count=3, length=10)
    assert windows[0, 0] == 0 and windows[-1, -1] == 99 and windows.shape == (3, 10)


def test_document_windows_are_the_beginnings_of_the_documents_that_are_long_enough():
    tokens = np.array([1, 2, 3, 0, 4, 5, 0, 0, 6, 7, 8, 9, 0, 10, 11, 12])  # the last document ends with the text
    assert document_windows(tokens, 0, 9, 3).tolist() == [[1, 2, 3], [6, 7, 8], [10, 11, 12]]
    assert document_windows(tokens, 0, 2, 3).tolist() == [[1, 2, 3], [10, 11, 12]]


def test_text_without_a_document_that_long_is_refused():
    with pytest.raises(ValueError, match="at least one document must have 5 tokens, the longest has 4"):
        document_windows(np.array([1, 2, 0, 3, 4, 5, 6, 0]), 0, 9, 5)
