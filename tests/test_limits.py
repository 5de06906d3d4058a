"""Limits to the last byte, character, token and row: what is exactly there is taken, one more is told."""

import io
import random

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from app.server.captures import read_within_limits
from app.server.trace_files import showable
from app.texts.prompt_files import MAX_FILE_MB, MAX_PROMPTS, read_prompt_file
from app.texts.prompt_parquet import parquet_table
from app.texts.prompts import MAX_CHARACTERS, MAX_TOKENS, PromptError, check_text, typed_prompt
from app.texts.text_link import LONGEST, text_from_link, text_to_link
from tests.traces import make_trace

SIGNS = {1: "x", 2: "é", 3: "你", 4: "🙂"}
"""A character of each number of bytes in UTF-8."""


def of_bytes(count: int, sign: str) -> bytes:
    """Lines of a sign, and of x where no whole sign fits, of `count` bytes together."""
    line = (sign * 9 + "\n").encode()
    lines, rest = divmod(count, len(line))
    return line * lines + b"x" * rest


@pytest.mark.parametrize("sign", SIGNS.values())
def test_a_text_is_counted_in_characters_and_not_in_bytes(sign):
    longest = sign * MAX_CHARACTERS
    assert check_text(longest) == typed_prompt(longest).text == longest
    with pytest.raises(PromptError, match="^The text has 20,001 characters; the limit is 20,000. Shorten it"):
        check_text(longest + "x")


@pytest.mark.parametrize("sign", SIGNS.values())
def test_a_text_is_read_up_to_the_last_token(loaded, sign):
    """The small model has a token for every byte."""
    whole = sign * (MAX_TOKENS // len(sign.encode()))
    longest = whole + "x" * (MAX_TOKENS - len(whole.encode()))
    read_within_limits(loaded, longest)
    with pytest.raises(PromptError, match="^The text has 4,097 tokens; the limit is 4,096. Shorten it.$"):
        read_within_limits(loaded, longest + "x")


def test_a_trace_file_is_shown_up_to_the_last_token():
    longest, longer = (make_trace(loops=np.ones((1, count), int)) for count in (MAX_TOKENS, MAX_TOKENS + 1))
    assert showable(longest) is longest
    with pytest.raises(PromptError, match="^The text has 4,097 tokens; the limit is 4,096. Shorten it.$"):
        showable(longer)


@pytest.mark.parametrize("sign", SIGNS.values())
@pytest.mark.parametrize("name", ["a.txt", "a.csv"])
def test_an_upload_is_counted_in_bytes_and_not_in_characters(name, sign):
    longest = of_bytes(MAX_FILE_MB * 2**20, sign)
    assert len(longest) == 5_242_880 and (len(longest.decode()) < len(longest)) == (sign != "x")
    found = read_prompt_file(name, longest)
    assert len(found.prompts) == MAX_PROMPTS and {prompt.text for prompt in found.prompts} == {sign * 9}
    with pytest.raises(PromptError, match=f"^{name} has 5.0 MB; the limit is 5 MB. Split it.$"):
        read_prompt_file(name, longest + b"x")


@pytest.mark.parametrize("sign", SIGNS.values())
def test_a_line_of_a_file_is_taken_up_to_the_last_character(sign):
    lines = "\n".join([sign * MAX_CHARACTERS, sign * MAX_CHARACTERS + "x", "last"])
    found = read_prompt_file("a.txt", lines.encode())
    assert [len(prompt.text) for prompt in found.prompts] == [MAX_CHARACTERS, 4]
    assert len(found.problems) == 1 and found.problems[0].startswith("a.txt, line 2: The text has 20,001 characters;")


def test_a_list_is_read_up_to_the_last_row():
    assert MAX_PROMPTS == 2_000
    whole, cut = (read_prompt_file("a.txt", b"x\n" * count) for count in (MAX_PROMPTS, MAX_PROMPTS + 1))
    assert (len(whole.prompts), whole.notes) == (2_000, [])
    assert len(cut.prompts) == 2_000
    assert cut.notes == ["a.txt has more than 2,000 rows, and only the first 2,000 are read. Split it."]


def test_parquet_is_unpacked_up_to_its_limit():
    """What is counted is the text that comes out, whatever the file says of its size."""
    buffer, texts = io.BytesIO(), [f"{'x' * 9_000}{i}" for i in range(300)]
    parquet.write_table(pa.table({"text": texts}), buffer, compression="zstd")
    unpacked = sum(map(len, texts))
    assert unpacked > 100 * len(buffer.getvalue())
    above = unpacked + 2 * 4 * 300  # pyarrow keeps two places for every text
    rows = parquet_table("a.parquet", buffer.getvalue(), None, None, above / 2**20).rows
    assert [text for _, _, text, _ in rows] == texts
    with pytest.raises(PromptError, match="^a.parquet unpacks to more than the limit of .* MB of text. Split it.$"):
        list(parquet_table("a.parquet", buffer.getvalue(), None, None, (unpacked - 1) / 2**20).rows)


@pytest.mark.parametrize("sign", SIGNS.values())
def test_a_link_holds_a_text_up_to_the_last_character(sign):
    longest = sign * LONGEST
    assert text_from_link(text_to_link(longest)) == longest
    with pytest.raises(ValueError, match="^a link holds at most 1,500 characters, this text has 1,501$"):
        text_to_link(longest + "x")


def test_a_link_holds_the_longest_text_though_nothing_in_it_can_be_compressed():
    signs = random.Random(0)
    longest = "".join(chr(signs.randrange(0x10000, 0x10FFFF)) for _ in range(LONGEST))
    assert len(longest.encode()) == 4 * LONGEST and len(text_to_link(longest)) > 3 * LONGEST
    assert text_from_link(text_to_link(longest)) == longest


@pytest.mark.parametrize("text", ["🙂" * 1_500 + "x", "x" * 1_501, "é" * 1_501])
def test_a_link_made_by_hand_gives_no_text_beyond_the_limit(monkeypatch, text):
    monkeypatch.setattr("app.texts.text_link.LONGEST", len(text))
    by_hand = text_to_link(text)
    monkeypatch.undo()
    with pytest.raises(PromptError, match="^The text in this link is damaged; ask for it again, or paste the text.$"):
        text_from_link(by_hand)
