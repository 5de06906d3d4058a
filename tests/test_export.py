"""Exported files: they open by themselves, say where they come from, and lose nothing."""

import csv
import io
import json
import re
import weakref
from functools import cache

import numpy as np
import pandas as pd
import pytest
from pyarrow.parquet import ParquetFile

from analysis.catalogue import CATALOGUE, spec
from analysis.export.captions import caption as files_caption
from analysis.export.files import (
    Export,
    export_files,
    figure_html,
    figure_json,
    finished_figure,
    write_export,
    write_routing_table,
)
from analysis.export.routing_table import ROUTING_SCHEMA, trace_parquet, trace_table, write_routing
from analysis.export.tables import read_csv, table_csv
from analysis.figures.texts.prompts import PICTURE
from analysis.texts.study import study
from analysis.texts.summary import PromptSummary, PromptTable, summary_table
from analysis.view import View
from hooks.trace import RoutingTrace
from tests.capture_results import make_paths, result_of
from tests.traces import HOSTILE, make_trace, random_trace


def caption(fig) -> str:
    return fig.layout.annotations[-1].text.replace("<br>", " ")


def test_finished_figure_is_light_and_says_what_it_shows():
    fig = finished_figure(spec("loop_map"), make_trace(), View(layer=1, token=1, theme="dark"))
    assert fig.layout.template.layout.paper_bgcolor == "#FFFFFF"
    assert fig.layout.title.text == "Loops of every token in every layer"
    assert "2 tokens, 2 layers. Selected: token 1 “b”, layer 1." in caption(fig)
    assert "Model tiny, weights 0123456789ab." in caption(fig)


def test_finished_figure_keeps_the_size_of_its_plot():
    trace = make_trace()
    plain, finished = spec("loop_map").figure(trace, View()), finished_figure(spec("loop_map"), trace)
    inner = [fig.layout.height - fig.layout.margin.t - fig.layout.margin.b for fig in (plain, finished)]
    assert inner[0] == inner[1]


def test_figure_of_paths_is_finished_like_one_of_a_trace():
    trace = random_trace(layers=2, tokens=9)
    fig = finished_figure(spec("write_stack"), make_paths(trace), View(layer=1, token=3), measure="share")
    assert "9 tokens, 2 layers. Selected: token 3" in caption(fig) and "Model tiny" in caption(fig)
    assert "share" in fig.layout.yaxis.title.text


def test_caption_tells_that_special_tokens_are_left_out():
    fig = finished_figure(spec("loop_map"), make_trace(special=[True, False]))
    assert "Means leave out 1 token(s) that the tokenizer added." in caption(fig)


@pytest.mark.parametrize("name", ["difficulty_map", "expert_path", "difficulty_surprisal"])
def test_html_opens_offline_and_token_text_is_inert(name):
    trace = random_trace(layers=2, tokens=len(HOSTILE), words=HOSTILE)
    page = figure_html(finished_figure(spec(name), trace), name).decode("utf-8")
    assert page.count("<script>alert(1)") == 0
    assert "plotly.js v" in page
    assert 'src="http' not in page


def test_csv_starts_with_a_byte_order_mark_and_writes_lists_as_json():
    content = table_csv(spec("expert_map").table(make_trace(loops=[[1, 4]], tokens=["␣é", "$x$"])))
    assert content.startswith(b"\xef\xbb\xbf")
    table = pd.read_csv(io.BytesIO(content))
    assert table["text"].tolist() == ["␣é", "$x$"]
    assert json.loads(table["expert_ids"][0]) == [0, 1]
    assert pd.isna(table["expert_ids"][1])


def test_csv_keeps_every_token_exactly():
    trace = random_trace(layers=1, tokens=len(HOSTILE), words=HOSTILE)
    table = read_csv(io.BytesIO(table_csv(spec("gate_map").table(trace))))
    assert table["text"].tolist() == trace.tokens
    assert table["gate"].tolist() == trace.gate.ravel().tolist()


SIGNS = ["=", "+", "-", "@", "＝", "'", '"', " ", ";", "\t", "\r", "\n", ",", "a", "1"]
TEXTS = [
    *("".join(np.random.default_rng(seed).choice(SIGNS, size=1 + seed % 7)) for seed in range(600)),
    *("=cmd|' /C calc'!A0", "a;=cmd|' /C calc'!A0", "\t=1+1", "'=1+1", "007", "12", "", "NA", "True", "-", "- a"),
]


def test_no_cell_of_a_csv_is_a_formula_and_every_text_comes_back():
    content = table_csv(pd.DataFrame({"text": TEXTS, "value": -1.5}))
    assert read_csv(io.BytesIO(content))["text"].tolist() == TEXTS
    for row in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")):
        for cell in re.split(r"[;\t\r\n]", row[0]):  # where spreadsheets of some countries begin a new cell
            assert not re.match(r"""[ "]*[=+\-@＝]""", cell), row


def test_numbers_and_truths_of_a_csv_come_back_as_such():
    table = pd.DataFrame(
        {"text": ["1", "x"], "n": [-1, 2], "x": [0.1, np.nan], "ran": [True, False], "name": ["a", "-b"]}
    )
    again = read_csv(io.BytesIO(table_csv(table)))
    pd.testing.assert_frame_equal(again, table)


@pytest.fixture(scope="module")
def hostile():
    """A trace of hostile tokens, and what a kind of figure draws of it, made once."""
    trace = random_trace(layers=2, tokens=len(HOSTILE), words=HOSTILE)
    return trace, cache(lambda kind: result_of(kind, trace))


@pytest.mark.parametrize("each", CATALOGUE, ids=lambda each: each.name)
def test_data_of_a_figure_is_the_same_in_every_format(each, hostile):
    trace, result = hostile
    export = Export(trace, more=(result(each.of),), figures=(each,))
    table = each.table(export.drawn(each))
    files = dict(export_files(export, ["csv", "parquet", "json"]))
    assert set(files) == {f"{each.name}.{end}" for end in ("csv", "parquet", "json")} | {
        "routing.parquet",
        "routing.json",
    }
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(files[f"{each.name}.parquet"])), table, check_dtype=False)
    again = read_csv(io.BytesIO(files[f"{each.name}.csv"]))
    content = json.loads(files[f"{each.name}.json"])
    assert content["title"] == each.title and content["source"]["weights_sha256"] == "0123456789abcdef"
    assert len(content["records"]) == len(again) == len(table)
    for column in table:
        expected = [None if not isinstance(v, list) and pd.isna(v) else v for v in table[column].tolist()]
        assert [record[column] for record in content["records"]] == expected
        found = [json.loads(v) if isinstance(v, str) and v.startswith("[") else v for v in again[column].tolist()]
        found = [None if v == "" or v != v else v for v in found]
        if table[column].dtype == "boolean":  # with gaps, CSV has words
            found = [v if v is None else str(v) == "True" for v in found]
        told = [None if v == "" else v for v in expected]  # CSV writes nothing for both
        assert all(f == t or f == pytest.approx(t, rel=1e-6) for f, t in zip(found, told, strict=True)), column


def test_json_of_the_whole_trace_holds_every_cell():
    trace = make_trace(loops=[[1, 4], [2, 3]])
    rows = json.loads(dict(export_files(Export(trace, figures=()), ["json"]))["routing.json"])
    assert [row["loops"] for row in rows] == [1, 4, 2, 3]
    assert [row["expert_ids"] for row in rows] == [[0, 1], None, [0, 1], [0, 1]]
    assert rows[0]["logprob"] is None


def test_parquet_is_long_and_has_no_experts_where_nobody_routed():
    table = pd.read_parquet(io.BytesIO(trace_parquet([make_trace(), make_trace(loops=[[1], [4]])])))
    assert list(table.columns) == ROUTING_SCHEMA.names
    assert len(table) == 2 * 2 + 2 * 1
    assert table["prompt"].tolist() == [0, 0, 0, 0, 1, 1]
    assert table["expert_ids"].isna().tolist() == (~table["width_ran"]).tolist()


def test_routing_table_is_written_in_row_groups_and_forgets_what_it_wrote(monkeypatch):
    monkeypatch.setattr("analysis.export.routing_table.ROWS_PER_GROUP", 30)
    refs, alive = [], []

    def traces():
        for seed in range(6):
            trace = make_trace(loops=[[4, 4]]) if seed == 0 else random_trace(layers=2, tokens=10, seed=seed)
            refs.append(weakref.ref(trace))
            yield trace
            del trace
            alive.append(sum(ref() is not None for ref in refs))

    buffer = io.BytesIO()
    write_routing(buffer, traces())
    assert max(alive) == 1  # the one that the writer still holds while it asks for the next
    file = ParquetFile(buffer)
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [2 + 40, 40, 20]
    same = [make_trace(loops=[[4, 4]]), *(random_trace(layers=2, tokens=10, seed=seed) for seed in range(1, 6))]
    expected = pd.concat([trace_table(trace, prompt) for prompt, trace in enumerate(same)], ignore_index=True)
    pd.testing.assert_frame_equal(file.read().to_pandas().map(plain), expected.map(plain), check_dtype=False)


def plain(value):
    """A list where Parquet gives an array, and NaN for None."""
    return value.tolist() if isinstance(value, np.ndarray) else np.nan if value is None else value


def test_routing_table_has_the_same_columns_whatever_the_trace(tmp_path):
    for trace in (make_trace(loops=[[4]]), half_and_double(np.float16), half_and_double(np.float64)):
        assert ParquetFile(io.BytesIO(trace_parquet([trace]))).schema_arrow.equals(ROUTING_SCHEMA)


def half_and_double(dtype):
    gate, logprob = np.array([[0.75, 0.5]], dtype), np.array([np.nan, -1], dtype)
    return make_trace(loops=[[1, 2]], gate=gate, logprob=logprob, depth_logits=np.zeros((1, 2, 4), dtype))


def test_a_table_that_is_not_finished_is_not_there(tmp_path):
    path = tmp_path / "routing.parquet"
    write_routing_table(path, [make_trace()])
    assert len(pd.read_parquet(path)) == 4 and list(tmp_path.iterdir()) == [path]

    def stopped():
        yield make_trace()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_routing_table(path, stopped())
    assert list(tmp_path.iterdir()) == []


def test_export_writes_one_file_per_figure_and_format(tmp_path):
    files = list(write_export(Export(make_trace()), tmp_path / "new", ["csv", "parquet"]))
    of_a_trace = [each.name for each in CATALOGUE if each.of is RoutingTrace]
    names = [f"{name}.{end}" for name in of_a_trace for end in ("csv", "parquet")]
    assert sorted(file.name for file in files) == sorted([*names, "routing.parquet"])
    assert all(file.stat().st_size for file in files)


def test_html_of_several_figures_shares_one_plotly_and_that_of_one_has_it_inside(tmp_path):
    both = (spec("loop_map"), spec("gate_map"))
    paths = list(write_export(Export(make_trace(), figures=both), tmp_path / "two", ["html"]))
    assert [path.name for path in paths] == ["plotly.min.js", "loop_map.html", "gate_map.html"]
    for page in paths[1:]:
        assert re.findall(rb'<script[^>]* src="([^"]+)"', page.read_bytes()) == [b"plotly.min.js"]
        assert page.stat().st_size < 100_000 and b"http" not in b"".join(
            re.findall(rb"<(?:script|link)[^>]*>", page.read_bytes())
        )
    assert paths[0].stat().st_size > 1_000_000
    alone = list(write_export(Export(make_trace(), figures=both[:1]), tmp_path / "one", ["html"]))
    assert [path.name for path in alone] == ["loop_map.html"] and alone[0].stat().st_size > 1_000_000
    assert b"<script src" not in alone[0].read_bytes()


def test_export_refuses_an_unknown_format_before_writing(tmp_path):
    with pytest.raises(
        ValueError, match="unknown format docx; known formats are svg, png, pdf, html, csv, parquet, json"
    ):
        list(write_export(Export(make_trace()), tmp_path / "new", ["csv", "docx"]))
    assert not (tmp_path / "new").exists()


def test_a_figure_of_several_texts_says_how_many_and_names_the_model():
    found = study([random_trace(layers=2, tokens=12, seed=seed) for seed in range(5)], draws=9)
    spec_of_many = spec("validity_by_layer")
    words = caption(finished_figure(spec_of_many, found, kind="hard"))
    assert "5 texts of 60 tokens, 2 layers." in words and "Kind of difficulty studied: hard." in words
    assert "Model tiny, weights 0123456789ab." in words
    assert '"model": "tiny"' in figure_json(spec_of_many, found).decode()


def test_picture_of_a_list_leaves_with_its_words_and_every_prompt():
    rows = [
        ("=a", "", PromptSummary(9, 0.5, 0.4, 0.1, float("nan"))),
        ("<b>", "", PromptSummary(8, 0.3, 0.4, 0.2, 3.0)),
    ]
    table = summary_table([*rows, ("c", "", None)], {"kind": ["sum", "$x$", "sum"]})
    drawn = PromptTable("mine.csv", table, "kind", {"model": "tiny", "weights_sha256": "0123456789abcdef"})
    said = "mine.csv: 3 prompts, 2 of them traced, grouped by kind. Shown: loss."
    assert said in caption(finished_figure(PICTURE, drawn, View(), quantity="loss"))
    content = json.loads(figure_json(PICTURE, drawn, View(), quantity="loss"))
    assert [row["name"] for row in content["records"]] == ["=a", "<b>", "c"] and content["source"]["model"] == "tiny"
    export = Export(make_trace(), more=(drawn,), figures=(PICTURE,))
    files = dict(export_files(export, ["csv", "parquet", "html"]))
    assert files.keys() >= {"prompts.csv", "prompts.parquet", "prompts.html"}
    words = files_caption(PICTURE, drawn, View(), marked=False)
    assert said.replace("loss", "difficulty") in words and "Selected" not in words
