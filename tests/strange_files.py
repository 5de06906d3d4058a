"""What may lie in the place of a file, and the sentence of a refusal."""

import os

import pytest

LONGEST = 700
"""Characters of a sentence, with the path of the test's folder in it."""


def refusal(call, *arguments) -> str:
    """The sentence of a refusal."""
    with pytest.raises(ValueError) as refused:
        call(*arguments)
    told = str(refused.value)
    assert "\n" not in told and len(told) < LONGEST, told
    assert told.isprintable()
    return told


def as_folder(path):
    path.mkdir()


def as_pipe(path):
    os.mkfifo(path)


def as_device(path):
    path.symlink_to("/dev/zero")


def as_loop(path):
    path.symlink_to(path)


def as_nest(path):
    path.write_text("[" * 100_000 + "]" * 100_000)


def as_latin1(path):
    path.write_bytes('{"model_type": "é"}'.encode("latin-1"))


def as_giant(path):
    path.write_text('{"model_type": "' + "x" * 2**21 + '"}')


def as_list(path):
    path.write_text("[1]")


STRANGE = [as_folder, as_pipe, as_device, as_loop, as_nest, as_latin1, as_giant, as_list]
