"""Training text: from text files to token ids on disk, and windows of them. Imports neither torch nor the model."""

import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"
"""The line between documents of a training file, and the tokenizer's end-of-text token."""


def read_documents(paths: Iterable[Path]) -> Iterator[str]:
    """Documents of UTF-8 text files (`.xz` ones unpacked), split at lines that hold only `<|endoftext|>`."""
    for path in paths:
        open_text = lzma.open if path.suffix == ".xz" else open
        with open_text(path, "rt", encoding="utf-8") as file:
            lines: list[str] = []
            for line in file:
                if line.strip() == END_OF_TEXT:
                    if lines:
                        yield "".join(lines).rstrip("\n")
                    lines = []
                else:
                    lines.append(line)
            if lines:
                yield "".join(lines).rstrip("\n")


def train_tokenizer(paths: Iterable[Path], vocab_size: int, context: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer: lossless for any text, one token per digit, spaces belong to the next word."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(read_documents(paths), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )


def write_tokens(paths: Iterable[Path], tokenizer: PreTrainedTokenizerFast, out: Path) -> np.ndarray:
    """Token ids of all documents, each followed by end-of-text, as a memory-mapped uint16 file [token].

    An existing file is reused. Raises ValueError if the vocabulary does not fit 16 bits.
    """
    if len(tokenizer) > 2**16:
        raise ValueError(f"vocabulary must be at most 65536 to be stored as uint16, got {len(tokenizer)}")
    if not out.exists():
        partial = out.with_suffix(".partial")
        with partial.open("wb") as file:
            for document in read_documents(paths):
                ids = tokenizer.backend_tokenizer.encode(document, add_special_tokens=False).ids
                np.array([*ids, tokenizer.eos_token_id], dtype=np.uint16).tofile(file)
        partial.rename(out)
    return np.memmap(out, dtype=np.uint16, mode="r")


def random_windows(tokens: np.ndarray, batch: int, length: int, seed: int, step: int) -> np.ndarray:
    """The `batch` windows of step `step` [batch, length], int64; they depend on seed and step only."""
    starts = np.random.default_rng((seed, step)).integers(0, len(tokens) - length, size=batch)
    return np.stack([tokens[start : start + length] for start in starts]).astype(np.int64)


def even_windows(tokens: np.ndarray, count: int, length: int) -> np.ndarray:
    """`count` windows spread evenly over the tokens [count, length], int64; fewer if the text is too short.

    Raises ValueError for a text shorter than one window.
    """
    if len(tokens) < length:
        raise ValueError(f"a text must fill a window of {length} tokens, got {len(tokens)}: give more text")
    count = min(count, len(tokens) // length)
    starts = np.linspace(0, len(tokens) - length, count).astype(int)
    return np.stack([tokens[start : start + length] for start in starts]).astype(np.int64)


def document_windows(tokens: np.ndarray, end_of_text: int, count: int, length: int) -> np.ndarray:
    """The first `length` tokens of up to `count` documents [document, length], int64: those of `document_starts`."""
    starts = document_starts(tokens, end_of_text, count, length)
    return np.stack([tokens[start : start + length] for start in starts]).astype(np.int64)


def document_starts(tokens: np.ndarray, end_of_text: int, count: int, length: int) -> np.ndarray:
    """Index of the first token of up to `count` documents [document].

    Documents are separated by the end-of-text id, which is not part of them. The chosen ones are spread evenly among
    those of at least `length` tokens. Raises ValueError if there is none.
    """
    ends = np.append(np.flatnonzero(tokens == end_of_text), len(tokens))
    starts = np.append(0, ends[:-1] + 1)
    sizes = ends - starts
    long_enough = starts[sizes >= length]
    if not len(long_enough):
        raise ValueError(
            f"at least one document must have {length} tokens, the longest has {sizes.max()}: give longer documents"
        )
    return long_enough[np.linspace(0, len(long_enough) - 1, min(count, len(long_enough))).astype(int)]
