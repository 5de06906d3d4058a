"""Every figure of the catalogue, over every kind of text that may come, and in both themes."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from analysis import figures
from analysis.catalogue import CATALOGUE, spec
from analysis.figures.runs.paper import COSINE, PAPER_FIGURES
from analysis.figures.selection import moved, take_selection
from analysis.palette import THEMES
from analysis.texts.study import Study
from analysis.view import View, window_around
from app.pages import PAGES
from hooks.attention_trace import AttentionTrace
from tests.capture_results import result_of
from tests.traces import HOSTILE, make_trace, random_trace

CASES = {
    "usual": (random_trace(layers=8, tokens=57), View(layer=4, token=42)),
    "one token": (random_trace(layers=3, tokens=1), View()),
    "nobody routed": (make_trace(loops=[[4] * 6] * 3), View(layer=1, token=2)),
    "hostile tokens": (random_trace(layers=2, tokens=len(HOSTILE), words=HOSTILE), View(layer=1, token=2)),
    "long text": (random_trace(layers=8, tokens=2000), View(layer=4, token=644, window=window_around(644, 2000))),
    "only special": (make_trace(loops=[[1]], special=[True]), View()),
    "one loop": (random_trace(layers=2, tokens=9, experts=2, max_loops=1, k=1), View()),
    "big model": (random_trace(layers=32, tokens=20, experts=64, max_loops=8), View(layer=31, token=19)),
}
DRAWN = {each.name: (each, {}) for each in CATALOGUE}
for _each in filter(lambda each: each.choice, CATALOGUE):
    DRAWN |= {f"{_each.name}-{value}": (_each, {_each.choice.option: value}) for value in list(_each.choice.labels)[1:]}
RESULTS = {}
TAG = re.compile(r"</?(?:b|i|br|span|sub|extra)\b[^<>]*>")
NOT_A_NUMBER = re.compile(r"(?:^|[\s(>])-[\d.]|[-−]0(?:\.0*)?(?![\d.])")
"""A number with a hyphen for its minus sign, or a negative zero."""
MAPS = ["difficulty_map", "gate_map", "expert_map", "loop_map"]


def drawn_of(each, case):
    """What a figure of the catalogue draws in a case: the trace, or a result with the same trace."""
    trace, view = CASES[case]
    if (each.of, case) not in RESULTS:
        RESULTS[each.of, case] = result_of(each.of, trace, view)
    return RESULTS[each.of, case]


def strings(value):
    """Every string in a figure's JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)


@pytest.mark.parametrize("case", ["usual", "long text", "big model"])
@pytest.mark.parametrize(
    "drawn", [name for name, (each, _) in DRAWN.items() if set(each.follows) != {"layer", "token"}]
)
def test_figure_stays_the_same_but_for_its_marks_when_what_it_does_not_follow_moves(drawn, case):
    (_, before), (each, options) = CASES[case], DRAWN[drawn]
    one = each.figure(drawn_of(each, case), before, **options)
    marks, content = take_selection(one), one.to_json()
    for at in ("layer", "token"):
        after = replace(before, **{at: getattr(before, at) - 1})
        other = each.figure(drawn_of(each, case), after, **options)
        marks_after = take_selection(other)
        if at not in each.follows:
            assert each.seen(before) == each.seen(after)
            assert content == other.to_json() and moved(marks, before, after) == marks_after
        else:
            assert each.seen(before) != each.seen(after) and content != other.to_json()


def test_maps_mark_the_selection():
    for name in MAPS:
        assert take_selection(spec(name).figure(*CASES["usual"])), name


@pytest.mark.parametrize(("case", "theme"), [*((case, "light") for case in CASES), ("usual", "dark")])
@pytest.mark.parametrize("drawn", DRAWN)
def test_figure_is_whole(drawn, case, theme):
    _, view = CASES[case]
    each, options = DRAWN[drawn]
    fig = each.figure(drawn_of(each, case), View(view.layer, view.token, view.window, theme), **options)
    content = json.loads(fig.to_json())
    assert json.loads(go.Figure(content).to_json()) == content, "Plotly, which checks every property here, changed one"
    colours = content["layout"]["template"]["layout"]
    assert colours["paper_bgcolor"] == THEMES[theme]["bg"]
    assert 150 < content["layout"]["height"] < 900
    assert content["data"] or content["layout"]["annotations"][0]["text"].endswith("."), "empty without a reason"
    for text in strings([content["data"], content["layout"].get("annotations"), content["layout"]["xaxis"]]):
        assert not set("<>$") & set(TAG.sub("", text)), f"unescaped: {text}"
    for text in strings([content["layout"].get("annotations"), [each.get("text") for each in content["data"]]]):
        assert not NOT_A_NUMBER.search(text), text


def test_figures_with_a_place_for_every_token_draw_those_of_the_window_and_no_others():
    _, view = CASES["long text"]
    first, end = view.window
    found = set()
    for each in CATALOGUE:
        fig = each.figure(drawn_of(each, "long text"), view)
        if fig.layout.xaxis.title.text != "token index" or each.of is AttentionTrace:  # draws what could be read
            continue
        found.add(each.name)
        along = [drawn.x for drawn in fig.data if drawn.xaxis in (None, "x") and drawn.x is not None and len(drawn.x)]
        x = np.concatenate([np.asarray(part, float) for part in along])
        assert first - 0.5 <= np.nanmin(x) <= first and end - 1 <= np.nanmax(x) <= end - 0.5, each.name
        assert first - 1 <= fig.layout.xaxis.range[0] < fig.layout.xaxis.range[1] <= end, each.name
    assert found >= {*MAPS, "compute_map", "gate_along_text", "write_stack", "first_loop", "expert_tokens", "cost_map"}


@pytest.mark.parametrize("drawn", DRAWN)
def test_hover_card_does_not_give_the_name_on_the_axis_for_a_number(drawn):
    _, view = CASES["usual"]
    each, options = DRAWN[drawn]
    content = json.loads(each.figure(drawn_of(each, "usual"), view, **options).to_json())
    for trace in content["data"]:
        for letter in "xy":
            axis = content["layout"].get(f"{letter}axis{trace.get(f'{letter}axis', letter)[1:]}", {})
            named = any(not text.strip("<b/>").isdecimal() for text in axis.get("ticktext", []))
            assert not (named and re.search(rf"(token|loop) %{{{letter}}}", str(trace.get("hovertemplate"))))


def test_clickable_points_name_a_token_or_a_layer_of_the_trace():
    trace, view = CASES["usual"]
    clickable = set()
    for each in CATALOGUE:
        fig = each.figure(drawn_of(each, "usual"), view)
        if (fig.layout.meta or {}).get("select") != "customdata":
            continue
        clickable.add(each.name)
        points = [np.array(drawn.customdata, dtype=object) for drawn in fig.data if drawn.hoverinfo != "skip"]
        named = [pair for part in points for pair in part.reshape(-1, part.shape[-1])[:, :2].tolist()]
        assert named, each.name
        for token, layer in named:
            assert token is not None or layer is not None, each.name
            assert token is None or token in range(trace.num_tokens), each.name
            assert layer is None or layer in range(trace.num_layers), each.name
    assert clickable >= {*MAPS, "compute_map", "loops_by_layer", "difficulty_surprisal", "write_stack", "trajectories"}


@pytest.mark.parametrize("name", MAPS)
def test_map_cells_stand_at_integer_token_and_layer(name):
    trace, view = CASES["usual"]
    cells = spec(name).figure(trace, view).data[0]
    assert cells.type == "heatmap"
    assert list(cells.x) == list(range(57))
    assert list(cells.y) == list(range(8))
    assert np.array(cells.customdata)[3, 41, :2].tolist() == [41, 3]


@pytest.mark.parametrize("name", [*MAPS, "compute_map"])
def test_minimap_appears_only_with_a_window(name):
    for case, shown in (("usual", False), ("long text", True)):
        rows = [drawn for drawn in spec(name).figure(*CASES[case]).data if drawn.xaxis == "x3"]
        assert bool(rows) is shown
        assert not shown or len(rows[0].x) == 2000


@pytest.mark.parametrize("each", CATALOGUE, ids=lambda each: each.name)
def test_table_has_a_row_for_each_observation_and_names_layer_and_token_truly(each):
    drawn = drawn_of(each, "usual")
    table, trace = each.table(drawn), CASES["usual"][0]
    assert list(table.index) == list(range(len(table))) != []
    assert all(isinstance(column, str) for column in table.columns) and table.columns.is_unique
    assert not table.astype(str).duplicated().any(), "two rows say the same"
    if each.of is not Study:  # of two texts there are no intervals
        assert not [column for column in table if table[column].isna().all()], "a column that says nothing"
    if "layer" in table:
        layers = set(table["layer"].dropna()) - {-1}  # the embedding comes before the first layer
        assert layers in (set(range(trace.num_layers)), set(range(trace.num_layers - 1)))
    if "text" in table:
        assert table["text"].tolist() == [trace.tokens[token] for token in table["token"]]


def test_names_and_titles_are_unique():
    assert len({each.name for each in CATALOGUE}) == len({each.title for each in CATALOGUE}) == len(CATALOGUE)


def test_every_figure_is_exported_once_and_has_an_entry():
    exported = [name for name in figures.__all__ if name.endswith("_figure")]
    assert sorted(exported) == sorted(found.figure.__name__ for found in CATALOGUE)
    not_of_the_catalogue = [*(found for page in PAGES for found in page.run_figures), *PAPER_FIGURES, COSINE]
    of_runs = {found.figure.__name__ for found in not_of_the_catalogue}
    for path in Path(figures.__file__).parent.rglob("*.py"):
        drawing = re.findall(r"^def ([a-z]\w*_figure)\(", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert set(drawing) - {"level_bars_figure", "sentence_figure"} <= {*exported, *of_runs}, path


def test_unknown_figure_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="no figure 'pie'; there are compute_map, "):
        spec("pie")


@pytest.mark.parametrize("drawn", DRAWN)
def test_what_is_said_of_words_is_what_is_drawn(drawn):
    """A figure with a place for every token merges those of a word, or its caption says that it does not."""
    each, options = DRAWN[drawn]
    many = {"experts": 16, "k": 8} if each.choice and each.choice.of_ranks else {}
    trace = random_trace(layers=3, tokens=12, words=["␣a", "b"], **many)
    what = result_of(each.of, trace, View(token=11))
    pieces, words = (each.figure(what, View(layer=1, token=11, level=level), **options) for level in ("token", "word"))
    axis = pieces.layout.xaxis
    tokens = what.b.num_tokens if options.get("show") == "b" else trace.num_tokens
    places = axis.title.text == "token index" or len(axis.ticktext or ()) == tokens
    assert each.splits_words(View(level="word"), **options) == (places and pieces.to_json() == words.to_json())
    assert not each.splits_words(View(), **options)
