"""Typed and uploaded text: every bad input gets one sentence that names the remedy."""

import pytest

from app.examples import DEFAULT_EXAMPLE, EXAMPLES
from app.prompts import (
    MAX_CHARACTERS,
    MAX_FILE_MB,
    MAX_PROMPTS,
    PromptError,
    check_text,
    check_token_count,
    has_paragraphs,
    read_prompt_file,
    typed_prompt,
)


def texts(found):
    return [prompt.text for prompt in found.prompts]


@pytest.mark.parametrize("text", ["", " ", "\n\t  \n"])
def test_text_of_nothing_but_space_is_refused(text):
    with pytest.raises(PromptError, match="^The text is empty: type at least one word, or choose an example.$"):
        check_text(text)


def test_text_over_the_limit_is_refused_with_both_numbers():
    check_text("x" * MAX_CHARACTERS)
    with pytest.raises(PromptError, match="has 20,001 characters; the limit is 20,000"):
        check_text("x" * (MAX_CHARACTERS + 1))


def test_text_with_nul_characters_is_refused():
    with pytest.raises(PromptError, match="NUL characters"):
        check_text("a\0b")


def test_too_many_tokens_are_refused_with_both_numbers():
    check_token_count(4096)
    with pytest.raises(PromptError, match="has 4,097 tokens; the limit is 4,096"):
        check_token_count(4097)


def test_typed_prompt_is_named_after_its_first_words():
    assert typed_prompt("The cat sat on the mat").name == "The cat sat on"
    assert typed_prompt("x" * 100).name == "x" * 27 + "…"


def test_txt_gives_a_prompt_per_line_and_skips_blank_ones():
    found = read_prompt_file("a.txt", b"one\n\n two\r\n   \n")
    assert texts(found) == ["one", " two"] and found.problems == []
    assert [prompt.name for prompt in found.prompts] == ["line 1", "line 3"]


def test_txt_with_blank_lines_can_be_read_by_paragraph():
    data = b"one\ntwo\r\n\r\nthree\n"
    assert has_paragraphs("A.TXT", data) and not has_paragraphs("a.txt", b"one\ntwo\n\n")
    assert not has_paragraphs("a.jsonl", data)
    assert texts(read_prompt_file("a.txt", data, paragraphs=True)) == ["one\ntwo", "three"]


def test_jsonl_takes_strings_and_objects_with_text_or_prompt():
    data = b'"plain"\n{"text": "a", "id": "x"}\n{"prompt": "b", "id": 7}\n'
    found = read_prompt_file("a.jsonl", data)
    assert texts(found) == ["plain", "a", "b"] and [p.name for p in found.prompts] == ["line 1", "x", "7"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"text": "a"', "a.jsonl, line 2 is not JSON"),
        ("not json", "a.jsonl, line 2 is not JSON"),
        ('{"question": "a"}', "a.jsonl, line 2 has no text field text or prompt"),
        ('{"text": 3}', "a.jsonl, line 2 has no text field text or prompt"),
        ("[" * 100_000, "a.jsonl, line 2 holds a number or a nesting that is too large"),
        ("9" * 5_000, "a.jsonl, line 2 holds a number or a nesting that is too large"),
        ('"\\ud800 x"', "a.jsonl, line 2: The text holds halves of characters"),
        ("17", "a.jsonl, line 2 has no text field text or prompt"),
        ('{"text": "  "}', "a.jsonl, line 2: The text is empty"),
        ('{"text": "' + "x" * 20_001 + '"}', "a.jsonl, line 2: The text has 20,001 characters"),
    ],
)
def test_broken_line_is_named_and_the_others_can_be_used(line, problem):
    found = read_prompt_file("a.jsonl", f'"first"\n{line}\n"third"\n'.encode())
    assert texts(found) == ["first", "third"]
    assert len(found.problems) == 1 and found.problems[0].startswith(problem)


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.txt", b"", "a.txt is empty: it needs at least one line of text."),
        ("a.txt", b" \n \n", "a.txt is empty"),
        ("a.txt", b"\x00\x01\x02", "a.txt is a binary file"),
        ("a.txt", "naïve".encode("latin-1"), "a.txt is not UTF-8 text (byte 0xEF at position 2)"),
        ("a.txt", "x".encode("utf-16"), "a.txt is a binary file"),
        ("a.jsonl", b"{\n", "a.jsonl, line 1 is not JSON"),
        ("a.exe", b"x", "a.exe is no txt or jsonl file"),
        ("noending", b"x", "noending is no txt or jsonl file"),
    ],
)
def test_file_that_cannot_be_used_is_refused_in_one_sentence(name, data, sentence):
    with pytest.raises(PromptError) as refused:
        read_prompt_file(name, data)
    assert str(refused.value).startswith(sentence) and "\n" not in str(refused.value)


def test_file_over_the_limit_is_refused():
    with pytest.raises(PromptError, match="5.0 MB; the limit is 5 MB"):
        read_prompt_file("a.txt", b"x" * (MAX_FILE_MB * 2**20 + 1))


def test_more_prompts_than_the_limit_are_cut_and_told():
    found = read_prompt_file("a.txt", b"x\n" * (MAX_PROMPTS + 3))
    assert len(found.prompts) == MAX_PROMPTS
    assert found.problems == ["a.txt has 503 prompts; the first 500 are listed. Split the file."]


def test_byte_order_mark_is_no_part_of_the_text():
    assert texts(read_prompt_file("a.txt", b"\xef\xbb\xbfone")) == ["one"]


def test_examples_can_all_be_traced_and_know_their_own_id():
    assert DEFAULT_EXAMPLE in EXAMPLES
    for key, prompt in EXAMPLES.items():
        assert check_text(prompt.text) and prompt.example == key


def test_paragraphs_are_divided_by_any_number_of_blank_lines_and_counted_without_gaps():
    found = read_prompt_file("a.txt", b"one\n\n\n \n\ntwo\n", paragraphs=True)
    assert [(p.name, p.text) for p in found.prompts] == [("paragraph 1", "one"), ("paragraph 2", "two")]


def test_names_from_a_file_are_one_short_line():
    found = read_prompt_file("a.jsonl", b'{"text": "a", "id": "one\\ntwo ' + b"x" * 100 + b'"}')
    assert found.prompts[0].name == "one two " + "x" * 19 + "…"
