"""Exported files: they open by themselves, say where they come from, and lose nothing."""

import io
import json

import pandas as pd
import pytest

from analysis.catalogue import CATALOGUE, spec
from analysis.export import export_trace, figure_html, finished_figure, table_csv, trace_parquet
from analysis.view import View
from hooks.trace import RoutingTrace
from tests.path_traces import make_paths
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
    table = pd.read_csv(io.BytesIO(table_csv(spec("gate_map").table(trace))), keep_default_na=False)
    assert table["text"].tolist() == trace.tokens


def test_parquet_is_long_and_has_no_experts_where_nobody_routed():
    table = pd.read_parquet(io.BytesIO(trace_parquet([make_trace(), make_trace(loops=[[1], [4]])])))
    assert list(table.columns) == [
        "prompt", "layer", "token", "text", "loops", "gate", "width_ran", "expert_ids", "expert_weights",
        "difficulty_hard", "difficulty_soft", "logprob",
    ]  # fmt: skip
    assert len(table) == 2 * 2 + 2 * 1
    assert table["prompt"].tolist() == [0, 0, 0, 0, 1, 1]
    assert table["expert_ids"].isna().tolist() == (~table["width_ran"]).tolist()


def test_export_writes_one_file_per_figure_and_format(tmp_path):
    files = export_trace(make_trace(), tmp_path / "new", ["csv", "parquet"])
    of_a_trace = [f"{each.name}.csv" for each in CATALOGUE if each.of is RoutingTrace]
    assert sorted(file.name for file in files) == sorted([*of_a_trace, "routing.parquet"])
    assert all(file.stat().st_size for file in files)


def test_export_refuses_an_unknown_format_before_writing(tmp_path):
    with pytest.raises(ValueError, match="unknown format docx; known formats are html, csv, parquet"):
        export_trace(make_trace(), tmp_path / "new", ["csv", "docx"])
    assert not (tmp_path / "new").exists()
