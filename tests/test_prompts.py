"""Typed and uploaded text: every bad input gets one sentence that names the remedy."""

import io

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from app.texts.prompt_files import MAX_FILE_MB, MAX_PROMPTS, read_prompt_file, read_prompt_text
from app.texts.prompts import PromptError, check_text, opening, typed_prompt

TOO_MUCH = "^a.parquet unpacks to more than the limit of 50 MB of text. Split it.$"


def texts(found):
    return [prompt.text for prompt in found.prompts]


@pytest.mark.parametrize("text", ["", " ", "\n\t  \n"])
def test_text_of_nothing_but_space_is_refused(text):
    with pytest.raises(PromptError, match="^The text is empty: type at least one word, or choose an example.$"):
        check_text(text)


def test_text_with_nul_characters_is_refused():
    with pytest.raises(PromptError, match="NUL characters"):
        check_text("a\0b")


def test_typed_prompt_is_named_after_its_first_words():
    assert typed_prompt("The cat sat on the mat").name == "The cat sat on"
    assert typed_prompt("x" * 100).name == "x" * 27 + "…"


def test_txt_gives_a_prompt_per_line_and_skips_blank_ones():
    found = read_prompt_file("a.txt", b"one\n\n two\r\n   \n")
    assert texts(found) == ["one", " two"] and found.problems == []
    assert [prompt.name for prompt in found.prompts] == ["line 1", "line 3"]


def test_text_file_is_read_by_line_paragraph_or_as_a_whole():
    data = b"one\ntwo\r\n\r\nthree\n"
    assert texts(read_prompt_file("a.TXT", data)) == ["one", "two", "three"]
    assert texts(read_prompt_file("a.txt", data, per="paragraph")) == ["one\ntwo", "three"]
    assert texts(read_prompt_file("a.txt", data, per="file")) == ["one\ntwo\n\nthree"]
    assert texts(read_prompt_file("a.md", data)) == ["one\ntwo", "three"], "the lines of Markdown are wrapped"


def test_pasted_list_gives_a_prompt_per_line_and_names_the_line_that_cannot_be_used():
    found = read_prompt_text("The pasted list", "one\n\nt\0o\nthree", per="line")
    assert texts(found) == ["one", "three"]
    assert found.problems == [
        "The pasted list, line 3: The text contains NUL characters, as binary files do; paste plain text instead."
    ]


def test_jsonl_takes_strings_and_objects_with_text_or_prompt():
    data = b'"plain"\n{"text": "a", "id": "x"}\n{"prompt": "b", "id": 7}\n'
    found = read_prompt_file("a.jsonl", data)
    assert texts(found) == ["plain", "a", "b"] and [p.name for p in found.prompts] == ["line 1", "x", "7"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"text": "a"', "a.jsonl, line 2 is not JSON"),
        ("not json", "a.jsonl, line 2 is not JSON"),
        ('{"answer": 4}', "a.jsonl, line 2 has no field text or prompt; give its text that name."),
        ('{"text": 3}', "a.jsonl, line 2 holds a number in the field text; put a text there, in quotes."),
        ('{"text": null}', "a.jsonl, line 2 holds nothing (null) in the field text; fill or remove it."),
        ('{"text": ["a"]}', "a.jsonl, line 2 holds a list in the field text; put a text there, in quotes."),
        ("[" * 100_000, "a.jsonl, line 2 is nested too deeply; simplify it."),
        ("9" * 5_000, "a.jsonl, line 2 holds a number; put a text there, in quotes."),
        ('"\\ud800 x"', "a.jsonl, line 2: The text contains incomplete characters"),
        ("17", "a.jsonl, line 2 holds a number; put a text there, in quotes."),
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
        ("a.txt", "x".encode("utf-16-le"), "a.txt is a binary file"),
        ("a.txt", "x".encode("utf-16")[:-1], "a.txt is not UTF-16 text (byte 0x78 at position 2); save it as UTF-8."),
        ("a.jsonl", b"{\n", "a.jsonl, line 1 is not JSON"),
        ("a.exe", b"x", "a.exe is not a txt, md, jsonl, csv or parquet file"),
        ("noending", b"x", "noending is not a txt, md, jsonl, csv or parquet file"),
    ],
)
def test_file_that_cannot_be_used_is_refused_in_one_sentence(name, data, sentence):
    with pytest.raises(PromptError) as refused:
        read_prompt_file(name, data)
    assert str(refused.value).startswith(sentence) and "\n" not in str(refused.value)


def test_without_a_limit_files_of_any_size_are_read():
    line = b"x" * 10_000 + b"\n"
    found = read_prompt_file("a.txt", line * (MAX_FILE_MB * 110), max_mb=None)
    assert len(line) * len(found.prompts) > MAX_FILE_MB * 2**20
    rows = ["x" * 10_000 + str(i) for i in range(6_000)]
    options = {"compression": "zstd"}
    assert len(parquet({"text": rows}, options=options, max_mb=None, max_prompts=None).prompts) == 6_000
    with pytest.raises(PromptError, match=TOO_MUCH):
        parquet({"text": rows}, options=options, max_prompts=None)
    assert len(parquet({"text": rows}, options=options).prompts) == MAX_PROMPTS, (
        "of what is not read nothing is unpacked"
    )


def csv(text: str, **columns):
    return read_prompt_file("a.csv", text.encode(), **columns)


def parquet(table: dict, name="a.parquet", options=None, **columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(table), buffer, **(options or {}))
    return read_prompt_file(name, buffer.getvalue(), **columns)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_takes_the_column_called_text_and_names_rows_by_id(delimiter):
    found = csv('id,score,text\nx,1,"one, two; ""three"""\n\ny,2,"a\nb"\n'.replace(",", delimiter))
    assert texts(found) == [f'one{delimiter} two; "three"', "a\nb"] and [p.name for p in found.prompts] == ["x", "y"]
    assert (found.columns.names, found.columns.text, found.columns.id) == (["id", "score", "text"], "text", "id")


def test_columns_of_a_table_can_be_chosen():
    text = "id,question,answer\n1,who?,me\n2,why?,so\n"
    assert texts(csv(text)) == ["who?", "why?"]
    found = csv(text, text_column="answer", id_column="question")
    assert texts(found) == ["me", "so"] and [p.name for p in found.prompts] == ["who?", "why?"]
    assert [p.name for p in csv(text, id_column="").prompts] == ["line 2", "line 3"]
    lines = b'{"id": 1, "question": "who?", "answer": "me"}\n{"id": 2, "question": "why?"}\n'
    assert texts(read_prompt_file("a.jsonl", lines)) == ["who?", "why?"]
    found = read_prompt_file("a.jsonl", lines, text_column="answer")
    assert texts(found) == ["me"] and found.problems == [
        "a.jsonl, line 2 has no field answer; give its text that name."
    ]


def test_csv_row_that_does_not_fit_is_named_with_its_line_and_the_others_kept():
    found = csv('text,n\n"two\nlines",1\na,b,c\nlast,2\n')
    assert texts(found) == ["two\nlines", "last"]
    assert found.problems == ["a.csv, line 4 has 3 cells, but the first line has 2; quote its cells."]


def test_columns_of_a_csv_have_names_of_their_own_whatever_its_first_line_says():
    found = csv("a,a (3),a,,column 4,a (3)\none,two,three,four,five,six\n")
    names = ["a", "a (3)", "a (3) (3)", "column 4", "column 4 (5)", "a (3) (6)"]
    assert found.columns.names == names
    assert texts(csv("a,a (3),a\none,two,three\n", text_column="a (3) (3)")) == ["three"]


def test_a_thousand_columns_are_read_and_one_more_is_refused():
    assert len(csv("x," * 999 + "x\n" + "a," * 999 + "a\n").columns.names) == 1_000
    with pytest.raises(PromptError, match="^a.csv has more than 1,000 columns; keep only the columns with the texts"):
        csv("x," * 1_000 + "x\n" + "a," * 1_000 + "a\n")


def test_parquet_reads_only_the_columns_it_needs():
    noise = {"vector": [[1.0, 2.0], [3.0]], "n": [7, 8]}
    found = parquet({"body": ["one", "two"], "key": ["x", None], **noise})
    assert texts(found) == ["one", "two"] and [p.name for p in found.prompts] == ["x", "row 2"]
    assert found.columns.names == ["body", "key", "n"]
    assert [p.name for p in parquet({"body": ["one"], "n": [7]}, id_column="n").prompts] == ["7"]


def test_parquet_row_without_text_is_named_and_the_others_kept():
    found = parquet({"text": ["one", None, "three"]})
    assert texts(found) == ["one", "three"]
    assert found.problems == ["a.parquet, row 2 holds no text (null); fill or remove it."]


def test_parquet_of_categories_and_large_strings_is_text_too():
    assert texts(parquet({"text": pa.array(["a", "b", "a"]).dictionary_encode()})) == ["a", "b", "a"]
    assert texts(parquet({"text": pa.array(["a"], pa.large_string())})) == ["a"]


@pytest.mark.parametrize("dictionary", [True, False])
def test_parquet_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(dictionary):
    rows = ["x" * 2**20 + str(i) for i in range(60)]  # 60 MB in a file of a few kilobytes
    with pytest.raises(PromptError, match=TOO_MUCH):
        parquet({"text": rows}, options={"compression": "zstd", "use_dictionary": dictionary})


def test_parquet_of_one_long_text_repeated_is_not_spread_out():
    repeated = pa.DictionaryArray.from_arrays(np.zeros(300, np.int32), ["x" * 2**20])
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(PromptError, match="the limit is 20,000"):
        parquet({"text": repeated}, options={"compression": "zstd"})
    assert pa.default_memory_pool().max_memory() - before < 100 * 2**20, "300 rows of 1 MB, one value"


def test_names_that_occur_twice_are_told_apart_and_noted():
    found = csv("id,text\nx,one\nx,two\ny,three\n")
    assert [p.name for p in found.prompts] == ["x", "x (2)", "y"]
    assert found.notes == ["a.csv uses 1 name more than once; the later rows have a number added."]


def test_opening_is_one_line_without_characters_that_steer_how_text_is_drawn():
    assert opening("one\ntwo\u202e three\x07", 40) == "one two three"
    assert opening("x" * 50, 10) == "x" * 9 + "…"


def test_byte_order_mark_is_no_part_of_the_text():
    assert texts(read_prompt_file("a.txt", b"\xef\xbb\xbfone")) == ["one"]


def test_paragraphs_are_divided_by_any_number_of_blank_lines_and_counted_without_gaps():
    found = read_prompt_file("a.txt", b"one\n\n\n \n\ntwo\n", per="paragraph")
    assert [(p.name, p.text) for p in found.prompts] == [("paragraph 1", "one"), ("paragraph 2", "two")]


def test_names_from_a_file_are_one_short_line():
    found = read_prompt_file("a.jsonl", b'{"text": "a", "id": "one\\ntwo ' + b"x" * 100 + b'"}')
    assert found.prompts[0].name == "one two " + "x" * 19 + "…"
