"""Sources of a run: files of every kind, packed ones, folders and datasets, damaged and hostile ones among them."""

import bz2
import gzip
import io
import json
import lzma
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from app.limits import MAX_RECORD_CHARACTERS
from app.server import records as server
from app.server.records import Records, Source, sources_of
from app.texts import record_files, text_lines
from app.texts.hub_datasets import DatasetName, dataset_name
from app.texts.prompt_columns import ColumnNeeded
from app.texts.prompts import PromptError
from app.texts.record_files import Choices, open_records
from tests.flipped import flipped, parquet_file

BAD = "bad caf\xe9 line\n".encode("latin-1")


def read(path: Path, **choices) -> list[tuple[str, str | None]]:
    """(name or place, text or what is wrong with it) of the records of a file, read in this process."""
    rows = open_records(path.name, str(path), Choices(**choices)).table.rows
    return [(called or place, str(content)) for place, called, content, _ in rows]


def read_apart(*given, **choices) -> tuple[list, tuple[str, ...]]:
    """The records of sources as a run gets them, and its other columns."""
    with Records(sources_of([str(each) for each in given]), Choices(**choices)) as found:
        others = found.open()
        return list(found), others


def written(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


# Texts ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "per", "expected"),
    [
        ("a.txt", None, [("line 1", "one"), ("line 2", "two"), ("line 5", "three")]),
        ("a.md", None, [("paragraph 1", "one\ntwo"), ("paragraph 2", "three")]),
        ("a.txt", "file", [("the whole text", "one\ntwo\n\n\nthree")]),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_texts_are_cut_into_lines_paragraphs_or_not_at_all(tmp_path, name, per, expected, encoding, end):
    data = "one\ntwo\n\n\nthree\n".replace("\n", end).encode(encoding)
    assert read(written(tmp_path, name, data), per=per) == expected


def test_line_ends_of_old_macs_end_lines(tmp_path):
    assert read(written(tmp_path, "a.txt", "one\rtwo")) == [("line 1", "one"), ("line 2", "two")]


@pytest.mark.parametrize("ending", text_lines.PACKED)
def test_packed_texts_are_unpacked(tmp_path, ending):
    data, path = b"one\ntwo\n" * 1000, tmp_path / f"a.txt.{ending}"
    if ending == "zst":
        with pa.CompressedOutputStream(str(path), "zstd") as out:
            out.write(data)
    else:
        path.write_bytes({"gz": gzip, "bz2": bz2, "xz": lzma}[ending].compress(data))
    assert len(read(path)) == 2000
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(PromptError, match=rf"a.txt.{ending} is damaged or breaks off here; save or download it again"):
        read(path)


def test_what_breaks_off_later_is_a_record_with_a_problem(tmp_path):
    data = os.urandom(2**20).hex().encode()  # so large that its beginning can be read
    path = written(tmp_path, "a.txt.gz", gzip.compress(b"one\n" + b"\n".join([data] * 2), 1)[:-5000])
    found, _ = read_apart(path)
    assert [record.text for record in found if record.text][:1] == ["one"]
    assert found[-1].problem.endswith("a.txt.gz is damaged or breaks off here; save or download it again.")


def test_a_line_in_another_encoding_is_left_out_alone(tmp_path):
    found = read(written(tmp_path, "a.txt", b"one\n" + BAD + b"two\n"))
    assert found == [
        ("line 1", "one"),
        ("line 2", "is not UTF-8 text (byte 0xE9); save the file as UTF-8."),
        ("line 3", "two"),
    ]
    found = read(written(tmp_path, "a.md", b"one\n\n" + BAD + b"more\n\ntwo\n"))
    assert [text[:10] for _, text in found] == ["one", "is not UTF", "two"]


def test_a_line_that_is_too_long_is_left_out_alone_in_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(text_lines, "MAX_LINE_BYTES", 2**21)
    monkeypatch.setattr(text_lines, "FIRST_BYTES", 2**16)
    for data in ("one\n" + "x" * 5 * 2**20 + "\ntwo\n", ("one\n" + "x" * 5 * 2**20 + "\ntwo\n").encode("utf-16")):
        found = read(written(tmp_path, "a.txt", data))
        assert [text[:40] for _, text in found] == ["one", "is longer than 2 MB; divide it into line", "two"]


def test_a_zip_bomb_is_unpacked_in_little_memory_into_one_problem(tmp_path):
    bomb = io.BytesIO()
    with gzip.open(bomb, "wb", 6) as out:
        for _ in range(64):
            out.write(b"0" * 2**20)
    found = read(written(tmp_path, "a.txt.gz", bomb.getvalue()))
    assert [text for _, text in found] == ["is longer than 8 MB; divide it into lines."]


def test_a_file_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(PromptError, match="is a binary file"):
        read(written(tmp_path, "a.txt", b"\x7fELF\0\0"))
    with pytest.raises(PromptError, match="a.zip is not a txt, md, jsonl, csv or parquet file"):
        read(written(tmp_path, "a.zip", b"PK"))
    with pytest.raises(PromptError, match="is a packed parquet file"):
        read(written(tmp_path, "a.parquet.gz", b"PK"))


def test_a_long_cell_of_csv_is_read(tmp_path):
    found, _ = read_apart(written(tmp_path, "a.csv", "id,text\n1," + "fox " * 100_000 + "\n2,one\n"))
    assert [len(record.text) for record in found] == [400_000, 3]


def test_texts_that_no_model_reads_are_told(tmp_path):
    given = {"blank": "  ", "ends": "x" * (MAX_RECORD_CHARACTERS + 1), "nul": "a\0b", "good": "fine"}
    lines = "".join(json.dumps({"id": name, "text": text}) + "\n" for name, text in given.items())
    found, _ = read_apart(written(tmp_path, "a.jsonl", lines + '{"id": "half", "text": "a\\ud800"}\n'))
    told = {record.prompt_id: record.problem for record in found}
    assert told["blank"] == "a.jsonl, line 1 holds an empty text; fill or remove it."
    assert told["ends"] == "a.jsonl, line 2 has 1,000,001 characters, and the limit is 1,000,000; divide it."
    assert told["nul"].startswith("a.jsonl, line 3: The text contains NUL characters")
    assert "incomplete characters" in told["half"] and told["good"] is None


# Tables --------------------------------------------------------------------------------------------------------------


def test_bad_rows_of_json_lines_are_left_out_alone(tmp_path):
    lines = [b'{"text": "one", "id": 7, "kind": "x"}', b"{broken", b'{"text": null}', b'{"other": 1}', b'{"text": 5}']
    lines += [b'{"text": "caf\xe9"}', b'"a text"', b'{"text": "two", "id": 7}']
    found, others = read_apart(written(tmp_path, "a.jsonl", b"\n".join(lines)))
    assert others == ("kind", "other")
    assert [record.prompt_id for record in found] == ["7", *(f"line {i}" for i in range(2, 8)), "7"]
    assert [record.text for record in found] == ["one", None, None, None, None, None, "a text", "two"]
    assert [(record.problem or "a.jsonl, line 1").split(" ")[:2] for record in found[1:6]] == [["a.jsonl,", "line"]] * 5
    assert "is not JSON" in found[1].problem and "holds nothing (null)" in found[2].problem
    assert "has no field text" in found[3].problem and "holds a number" in found[4].problem
    assert "is not UTF-8" in found[5].problem and found[0].others == {"kind": "x", "other": ""}


def test_bad_rows_of_csv_are_left_out_alone(tmp_path):
    data = b'id,text,mood\n1,"hello, fox",gay\n2,short\n3,caf\xe9,sad\n4,"two\nlines",\n5,"open,sad\n6,last,gay\n'
    found, others = read_apart(written(tmp_path, "a.csv", data))
    assert others == ("mood",)
    assert [record.text for record in found] == ["hello, fox", None, None, "two\nlines", None]
    assert "has 2 cells, but the first line has 3" in found[1].problem
    assert found[2].problem.startswith("a.csv, line 4 is not UTF-8 text (byte 0xE9)")
    assert "is not csv" in found[4].problem and found[0].others == {"mood": "gay"}


def test_rows_of_parquet_are_read_in_parts_and_nulls_are_told(tmp_path):
    frame = pd.DataFrame({"text": ["one", None, *["more"] * 600], "n": range(602), "tags": [["a"]] * 602})
    frame.to_parquet(tmp_path / "a.parquet")
    found, others = read_apart(tmp_path / "a.parquet")
    assert len(found) == 602 and others == ("n",) and found[5].others == {"n": "5"}
    assert found[1].problem == "a.parquet, row 2 holds no text (null); fill or remove it."
    assert [record.share for record in found] == sorted(record.share for record in found) and found[-1].share == 1


def test_a_column_of_numbers_is_read_if_it_is_asked_for(tmp_path):
    pd.DataFrame({"n": [1, 2], "m": [3, 4]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ColumnNeeded, match="not clear which column of a.parquet holds the text"):
        read_apart(tmp_path / "a.parquet")
    found, others = read_apart(tmp_path / "a.parquet", text_column="n")
    assert [record.text for record in found] == ["1", "2"] and others == ("m",)


def test_a_missing_column_is_refused_before_anything_is_read(tmp_path):
    good = written(tmp_path, "a.jsonl", '{"q": "one"}\n')
    with pytest.raises(PromptError, match="b.csv has no column q; choose one of"):
        read_apart(good, written(tmp_path, "b.csv", "text,id\nfox,1\n"), text_column="q")


def test_columns_that_are_called_as_those_of_a_run_get_other_names(tmp_path):
    line = json.dumps({"text": "fox", "source": "web", "Problem": "none", "tokens": "many", "kind": "x"})
    found, others = read_apart(written(tmp_path, "a.jsonl", line), written(tmp_path, "b.jsonl", line.lower()))
    assert others == (
        "source (of the file)", "Problem (of the file)", "tokens (of the file)", "kind",
        "problem (of the file) (of the file)",
    )  # fmt: skip
    assert found[0].others["source (of the file)"] == "web" and found[1].others["kind"] == "x"


def test_names_of_files_and_columns_that_are_no_text_are_shown_and_read(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9\n\x1b[31m'; DROP.jsonl"
    Path(os.fsdecode(path)).write_text('{"text": "fox", "\\ud800": "x", "it\'s": "y"}\n{broken')
    with Records(sources_of([os.fsdecode(path)]), Choices()) as found:
        assert found.open() == ("?", "it's")
        good, bad = found
    assert good.source == bad.source == "caf� [31m'; DROP.jsonl" and good.others == {"?": "x", "it's": "y"}
    assert bad.problem.startswith("caf� [31m'; DROP.jsonl, line 2 is not JSON")


def test_a_table_without_rows_is_told(tmp_path):
    pd.DataFrame({"text": pd.Series([], dtype=float)}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(PromptError, match="^a.parquet has no rows; add some.$"):
        read_apart(tmp_path / "a.parquet")


def test_names_are_kept_as_they_are_also_twice(tmp_path):
    long = "0123456789abcdef" * 4
    found, _ = read_apart(written(tmp_path, "a.csv", f"id,text\n{long},one fox\n{long},two foxes\n"))
    assert [record.prompt_id for record in found] == [long, long]


# Several sources -----------------------------------------------------------------------------------------------------


def test_a_folder_stands_for_its_files_and_leaves_out_runs_and_what_is_hidden(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "run" / "tokens").mkdir(parents=True)
    (tmp_path / "in" / "run" / "prompts").mkdir()
    written(tmp_path / "in", "run/manifest.json", "{}")
    written(tmp_path / "in", "run/prompts/000000.parquet", "")
    written(tmp_path / "in", "deep/a.txt", "deep")
    written(tmp_path / "in", "a.txt", "one")
    written(tmp_path / "in", ".hidden.txt", "no")
    written(tmp_path / "in", "picture.png", "no")
    os.mkfifo(tmp_path / "in" / "pipe.txt")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in")
    found, _ = read_apart(tmp_path / "in")
    assert [(Path(record.source).parts[-2:], record.text) for record in found] == [
        (("in", "a.txt"), "one"), (("deep", "a.txt"), "deep"),
    ]  # fmt: skip
    assert [record.share for record in found] == pytest.approx([3 / 7, 1.0])


def test_sources_that_are_not_there_or_twice_are_refused(tmp_path):
    path = written(tmp_path, "a.txt", "one")
    (tmp_path / "empty").mkdir()
    for given, said in (
        ([tmp_path / "no.txt"], "no.txt is not a file or folder; give txt"),
        ([tmp_path / "empty"], "holds no txt, md, jsonl, csv or parquet file"),
        ([path, path], "is given twice"),
    ):
        with pytest.raises(PromptError, match=said):
            sources_of([str(each) for each in given])


def test_a_source_is_known_by_its_bytes(tmp_path):
    source = Source("a.txt", str(written(tmp_path, "a.txt", "one")))
    before, stamp = source.described(), source.stamp()
    assert before["bytes"] == 3 and len(before["sha256"]) == 64
    written(tmp_path, "a.txt", "two")
    assert source.described()["sha256"] != before["sha256"] and source.stamp() != stamp


def test_a_reader_that_is_ended_costs_the_rest_of_one_source(tmp_path, monkeypatch):
    program = tmp_path / "reader.py"
    program.write_text(
        "import json, os, sys\n"
        "request = json.loads(sys.stdin.buffer.readline())\n"
        "def say(**answer): print(json.dumps(answer), flush=True)\n"
        "if request['check']: say(opened=[{'others': [], 'notes': []}] * 2)\n"
        "for at in range(request['first'], 2):\n"
        "    say(at=at)\n"
        "    say(rows=[['row 1', 'a', 'fox', None, [], 0.5]])\n"
        "    if at == 0: os.abort()\n"
    )
    monkeypatch.setattr(server, "READER", (server.sys.executable, str(program)))
    found, _ = read_apart(written(tmp_path, "a.txt", "x"), written(tmp_path, "b.txt", "x"))
    assert [(record.source, record.text) for record in found] == [("a.txt", "fox"), ("a.txt", None), ("b.txt", "fox")]
    assert found[1].problem == "a.txt is damaged: reading it crashes. Save or download it again."


@pytest.mark.parametrize("seed", range(4))
def test_damaged_parquet_is_told_in_a_sentence_and_never_ends_the_program(tmp_path, seed):
    path = written(tmp_path, "a.parquet", flipped(parquet_file(), seed))
    try:
        found, _ = read_apart(path, written(tmp_path, "b.txt", "fox"))
    except PromptError as error:
        assert "\n" not in str(error) and str(error).endswith(".")
    else:
        assert found[-1].text == "fox"


def test_a_parquet_bomb_is_ended_where_it_has_limits(tmp_path):
    table = pa.table({"text": [f"{'x' * 900_000} {i}" for i in range(200)]})
    parquet.write_table(table, tmp_path / "a.parquet", compression="zstd", use_dictionary=False)
    assert (tmp_path / "a.parquet").stat().st_size < 10**6
    with Records(sources_of([str(tmp_path / "a.parquet")]), Choices(max_decoded_mb=5), bounded=True) as found:
        found.open()
        problems = [record.problem for record in found if record.problem]
    assert problems[-1] == "a.parquet unpacks to more than the limit of 5 MB of text. Split it."


# Datasets ------------------------------------------------------------------------------------------------------------


def test_names_of_datasets():
    assert dataset_name("hf:org/name") == DatasetName("org/name", None, None)
    assert dataset_name("hf:name:test") == DatasetName("name", None, "test")
    assert dataset_name("hf:name:english") == DatasetName("name", "english", None)
    assert dataset_name("hf:name:english:dev") == DatasetName("name", "english", "dev")
    for wrong in ("hf:", "hf::test", "hf:a::b", "hf:a:b:c:d"):
        for asked in (dataset_name, lambda each: sources_of([each])):
            with pytest.raises(PromptError, match="names no dataset; write it as hf:name"):
                asked(wrong)


def test_a_saved_dataset_is_read_split_by_split(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = {"text": ["a fox", "the king", None], "n": [1, 2, 3], "tags": [["a"], [], ["b"]]}
    train, test = datasets.Dataset.from_dict(rows), datasets.Dataset.from_dict({"text": ["last"]})
    datasets.DatasetDict({"train": train, "test": test}).save_to_disk(str(tmp_path / "set"))
    found, others = read_apart(tmp_path / "set")
    assert [record.text for record in found] == ["a fox", "the king", None] and others == ("n",)
    assert "row 3 holds nothing (null)" in found[2].problem and found[-1].share == 1
    found, _ = read_apart(f"hf:{tmp_path / 'set'}:test")
    assert [record.text for record in found] == ["last"]
    with pytest.raises(PromptError, match="has no split dev; choose one of train, test"):
        read_apart(f"hf:{tmp_path / 'set'}:dev")
    assert sources_of([str(tmp_path / "set")])[0].described()["bytes"] > 100


def test_a_dataset_that_cannot_be_reached_is_told_with_the_remedy(monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setattr(
        "huggingface_hub.HfApi.dataset_info", lambda *_, **__: (_ for _ in ()).throw(OSError("no route"))
    )
    with pytest.raises(PromptError, match=r"The dataset org/set cannot be read \(no route\); check .* download it as"):
        sources_of(["hf:org/set"])[0].described()


def test_the_sample_decides_columns_of_large_tables(tmp_path, monkeypatch):
    monkeypatch.setattr(record_files, "SAMPLE", 2)
    lines = [{"a": 1, "b": "one"}, {"a": 2, "b": "two"}, {"a": "late text", "b": "three"}]
    found = read(written(tmp_path, "a.jsonl", "\n".join(map(json.dumps, lines))))
    assert [text for _, text in found] == ["one", "two", "three"]
