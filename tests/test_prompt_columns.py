"""Which column of a table is the text: never ids or numbers unasked; and how the cells of a csv file are found."""

import io
import json

import pyarrow as pa
import pytest
from pyarrow import parquet

from app.limits import MAX_CELL, MAX_OTHER_COLUMNS
from app.texts.prompt_columns import ColumnNeeded, is_code, names_rows
from app.texts.prompt_files import read_prompt_file
from app.texts.prompts import PromptError

CHAT = [{"role": "user", "content": "Who is there?"}]


def jsonl(rows: list[dict]) -> tuple[str, bytes]:
    return "p.jsonl", "\n".join(map(json.dumps, rows)).encode()


def table(rows: list[dict]) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), buffer)
    return "p.parquet", buffer.getvalue()


def csv(text: str, **choices: str):
    return read_prompt_file("p.csv", text.encode(), **choices)


def texts(found) -> list[str]:
    return [prompt.text for prompt in found.prompts]


NO_TEXTS = {
    "chats": ([{"id": "chat-0", "messages": CHAT}], "{} holds chats (messages), not texts; write each chat as one"),
    "chats with a word about them": (
        [{"id": "a b", "topic": "the way home", "conversations": CHAT}],
        "{} holds chats (conversations), not texts; write each chat as one text into a column named text.",
    ),
    "a name in camel case": (
        [{"chatId": "one of ours", "n": 1}],
        "It is not clear which column of {} holds the text (chatId, n)",
    ),
    "custom_id": (
        [{"custom_id": "the first", "body": {"x": 1}}],
        "It is not clear which column of {} holds the text (custom_id)",
    ),
    "a column of codes": (
        [{"sample": "s-01"}, {"sample": "s-02"}],
        "It is not clear which column of {} holds the text (sample)",
    ),
    "times": (
        [{"when": "2024-01-02 10:00", "n": 1}, {"when": "2024-01-03 11:30:00+00:00", "n": 2}],
        "It is not clear which column of {} holds the text (when, n)",
    ),
    "words that sort": (
        [{"source": "web", "created_at": "2 May"}],
        "It is not clear which column of {} holds the text (source, created_at)",
    ),
    "titles": (
        [{"title": "The fox and the lamp"}],
        "It is not clear which column of {} holds the text (title); choose one, or name",
    ),
    "nested rows": (
        [{"id": "x y", "data": {"text": "A fox."}}],
        "It is not clear which column of {} holds the text (id)",
    ),
    "a text that is null": ([{"id": "x y", "text": None}], "The column text of {} holds nothing; fill it, or choose"),
    "texts that are numbers": (
        [{"note": "a word about it", "text": 7}, {"note": "another", "text": 8}],
        "The column text of {} holds only numbers; choose it if you mean these, or choose another one.",
    ),
    "texts that are lists": ([{"id": "x y", "text": ["a"]}], "The column text of {} holds lists, objects or bytes;"),
    "numbers": (
        [{"n": 1, "m": 2.5}],
        "It is not clear which column of {} holds the text (n, m); choose one, or name it text or prompt.",
    ),
}


@pytest.mark.parametrize("written", [jsonl, table])
@pytest.mark.parametrize("case", NO_TEXTS)
def test_ids_and_numbers_are_never_the_text_unasked_and_the_reader_can_choose(case, written):
    rows, sentence = NO_TEXTS[case]
    name, data = written(rows)
    with pytest.raises(ColumnNeeded) as needed:
        read_prompt_file(name, data)
    assert str(needed.value).startswith(sentence.format(name)) and len(str(needed.value)) <= 200
    plain = [column for column, value in rows[0].items() if not isinstance(value, list | dict)]
    assert needed.value.names == plain
    for column in plain:
        if rows[0][column] is not None:
            assert texts(read_prompt_file(name, data, text_column=column)) == [str(row[column]) for row in rows]


@pytest.mark.parametrize("written", [jsonl, table])
def test_first_row_without_a_text_does_not_make_another_column_the_text(written):
    found = read_prompt_file(*written([{"id": "the first", "text": None}, {"id": "the second", "text": "A fox."}]))
    assert texts(found) == ["A fox."] and found.columns.text == "text" and len(found.problems) == 1


def test_text_may_begin_after_any_number_of_empty_rows():
    found = read_prompt_file(*table([{"id": "x y", "text": None}] * 600 + [{"id": "the last", "text": "A fox."}]))
    assert texts(found) == ["A fox."] and len(found.problems) == 600


def test_numbers_are_read_as_the_file_writes_them():
    lines = b'{"text": 7.50}\n{"text": 1e5}\n{"text": true}\n{"text": 12345678901234567890123}\n'
    assert texts(read_prompt_file("p.jsonl", lines, text_column="text")) == [
        "7.50", "1e5", "true", "12345678901234567890123",
    ]  # fmt: skip
    assert texts(csv("n,m\n1,2.50\n3,-1e9\n", text_column="m")) == ["2.50", "-1e9"]


@pytest.mark.parametrize("written", [jsonl, table])
def test_column_that_is_there_is_never_said_to_be_missing(written):
    name, data = written([{"id": "x", "text": "A fox.", "messages": CHAT, "vector": [1.0]}])
    with pytest.raises(PromptError, match=rf"^{name} holds chats \(messages\), not texts"):
        read_prompt_file(name, data, text_column="messages")
    with pytest.raises(PromptError, match=rf"^The column vector of {name} holds lists, objects or bytes"):
        read_prompt_file(name, data, id_column="vector")
    with pytest.raises(PromptError, match=rf"^{name} has no column answer; choose one of id, text.$"):
        read_prompt_file(name, data, text_column="answer")


def test_columns_of_words_are_text_though_their_names_are_unknown():
    rows = [{"key": "x", "fruit": "apple"}, {"key": "y", "fruit": "a pear, 2 plums"}]
    assert (
        texts(read_prompt_file(*jsonl(rows))) == texts(read_prompt_file(*table(rows))) == ["apple", "a pear, 2 plums"]
    )


@pytest.mark.parametrize(
    "name", ["id", "ID", "custom_id", "chatId", "row-id", "file name", "sourceURL", "sha256", "createdAt"]
)
def test_columns_called_as_ids_are(name):
    assert names_rows(name)


@pytest.mark.parametrize("name", ["text", "grid", "idea", "story", "said", "format", "", "名前"])
def test_columns_not_called_as_ids_are(name):
    assert not names_rows(name)


def test_codes_are_words_with_a_digit_and_long_ones_cost_nothing():
    assert all(map(is_code, ("s-01", "2024-01-02", "2024-01-02 10:00:00 UTC", "a/b/c_3.txt", "0123abcd", " x1 ")))
    assert not any(map(is_code, ("apple", "7 + 5", "x1 y", "2024-01-02 was a Tuesday", "", "9" * 10**6 + " ")))


LAYOUTS = {
    "a semicolon in a quoted name": ('id,"text; plain; short"\n1,a fox\n2,b\n', ["a fox", "b"]),
    "a comma in a quoted name": ('id;"text, plain, short"\n1;a, c fox\n2;b, d\n', ["a, c fox", "b, d"]),
    "more semicolons than commas in the cells": ("id,text\n1,a; b; c\n2,d; e; f\n", ["a; b; c", "d; e; f"]),
    "decimal commas": ("text;score\nEin Fuchs;1,5\nEin Boot, rot;2,5\n", ["Ein Fuchs", "Ein Boot, rot"]),
    "a delimiter inside quotes": ('text|n\n"a | b"|1\nc|2\n', ["a | b", "c"]),
    "one column with commas": ("text\nHello, world\nOne; two, three\n", ["Hello, world", "One; two, three"]),
    "a delimiter that Excel names": ("sep=;\nid;text\n1;a,b\n", ["a,b"]),
    "a tab that Excel names": ('"sep=\t"\r\nid\ttext\r\n1\ta,b\r\n', ["a,b"]),
    "blank rows of Excel": ("id,text\n1,a\n,\n , \n,,,\n2,b\n,\n", ["a", "b"]),
    "a space before a quote": ('id, text\n1, "a, b"\n2, "say ""c"""\n', ["a, b", 'say "c"']),
    "a space before no quote": ("id,text\n1, a\n2,b\n", [" a", "b"]),
}


@pytest.mark.parametrize("case", LAYOUTS)
@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
def test_cells_are_found_by_rows_of_one_length_outside_quotes(case, coding):
    text, expected = LAYOUTS[case]
    found = read_prompt_file("p.csv", text.encode(coding))
    assert texts(found) == expected and found.problems == found.notes == []


def test_rows_keep_the_number_of_their_line_below_the_line_that_names_the_delimiter():
    found = csv("sep=;\ntext;n\na;b;c\nd;1\n")
    assert found.problems == ["p.csv, line 3 has 3 cells, but the first line has 2; quote its cells."]
    assert [prompt.name for prompt in found.prompts] == ["line 4"]


def test_first_prompt_of_a_file_without_a_header_is_not_lost():
    note = "The first line of p.csv does not look like column names, so it is read as a prompt."
    found = csv("The fox ran home.\nThe boat sank.\n")
    assert texts(found) == ["The fox ran home.", "The boat sank."] and found.notes == [note]
    found = csv("1,The fox ran\n2,The boat sank\n")
    assert texts(found) == ["The fox ran", "The boat sank"] and found.notes == [note]
    assert found.columns.names == ["column 1", "column 2"]
    assert texts(csv("1,The fox ran\n2,The boat sank\n", text_column="column 1")) == ["1", "2"]


def test_first_line_that_may_be_a_prompt_is_told_where_it_is_taken_for_names():
    found = csv("fruit\napple\npear\n")
    assert texts(found) == ["apple", "pear"]
    assert found.notes == ["The first line of p.csv is read as column names (fruit), not as a prompt."]
    assert csv("fruit\napple\n", text_column="fruit").notes == csv("text\napple\n").notes == []


def test_utf_16_is_read_in_every_kind_of_text_file():
    assert texts(read_prompt_file("p.txt", "ein\nzwei".encode("utf-16"))) == ["ein", "zwei"]
    assert texts(read_prompt_file("p.md", b"\xfe\xff" + "ä".encode("utf-16-be"))) == ["ä"]
    assert texts(read_prompt_file("p.jsonl", '"drei"\n'.encode("utf-16"))) == ["drei"]


MORE = [
    {"id": "a", "text": "The fox ran.", "category": "story", "score": 1.5, "nothing": "", "tags": [1]},
    {"id": "b", "text": "7 + 5 = 12", "category": "x" * 200, "score": 20, "nothing": "", "tags": [2]},
]


def csv_file(rows: list[dict]) -> tuple[str, bytes]:
    plain = [",".join(str(value) for name, value in row.items() if name != "tags") for row in rows]
    return "p.csv", "\n".join(["id,text,category,score,nothing", *plain]).encode()


@pytest.mark.parametrize("written", [csv_file, jsonl, table])
def test_other_columns_stay_beside_their_prompts_and_short(written):
    found = read_prompt_file(*written(MORE))
    others = {name: cells for name, cells in found.others.items() if name != "nothing"}  # parquet knows its type alone
    assert set(others) == {"category", "score"}
    assert others["category"] == ["story", f"{'x' * (MAX_CELL - 1)}…"]
    assert [float(cell) for cell in others["score"]] == [1.5, 20]


def test_cells_stay_with_their_prompts_where_rows_are_left_out_and_no_more_columns_are_kept_than_are_read():
    wide = {f"c{i}": f"v{i}" for i in range(MAX_OTHER_COLUMNS + 3)}
    rows = [{"text": "One."} | wide, {"text": "  "} | wide, {"text": "Three.", "c0": "last"}]
    found = read_prompt_file(*jsonl(rows))
    assert texts(found) == ["One.", "Three."] and len(found.problems) == 1
    assert list(found.others) == list(wide)[:MAX_OTHER_COLUMNS]
    assert found.others["c0"] == ["v0", "last"] and found.others["c1"] == ["v1", ""]


def test_a_huge_column_beside_the_text_is_left_empty_and_the_texts_are_read():
    many = 300  # rows, more than are read at a time
    columns = {
        "text": [f"Prompt {i}." for i in range(many)],
        "html": [f"{i}" + "x" * 250_000 for i in range(many)],
        "n": range(many),
    }
    buffer = io.BytesIO()
    parquet.write_table(
        pa.table({name: list(values) for name, values in columns.items()}), buffer, use_dictionary=False
    )
    found = read_prompt_file("p.parquet", buffer.getvalue(), max_mb=50)
    assert len(found.prompts) == many and found.others["html"] == [""] * many
    assert found.others["n"] == [str(i) for i in range(many)]
