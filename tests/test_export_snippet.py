"""Code under a figure: it is run here as a reader would run it, and must draw what the page draws."""

from functools import cache, partial
from importlib import import_module
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

import hooks
import sample_models
from analysis.catalogue import CATALOGUE, spec
from analysis.compare.pair import TracePair
from analysis.explain import embedding as embeddings
from analysis.explain.attribution import Attribution, attribution
from analysis.explain.embedding import Embedding, Placement, embedding
from analysis.explain.ledger import stream_writes
from analysis.explain.near_miss import TwoPrecisions
from analysis.export.files import texts_json
from analysis.export.snippet import TRACE_FILE, Needs, needs, snippet
from analysis.export.snippet_of_result import LONGEST_TEXT, TEXTS_FILE
from analysis.figures.figure_pair import FigurePair
from analysis.models.training import TrainingCurves, read_curves
from analysis.texts import sample_texts
from analysis.texts import study as studies
from analysis.texts.knock_out import KnockOutStudy, knock_out_study
from analysis.texts.study import SAMPLES, Study, study
from analysis.view import View, window_around
from analysis.what_if.comparison import Comparison
from hooks import (
    AttentionTrace,
    DepthEffects,
    ForceLoops,
    Frontier,
    GateSweep,
    KnockOutTrace,
    LensTrace,
    SliceTrace,
    TrainingTrace,
    TransplantTrace,
    capture,
    capture_attention,
    capture_paths,
    capture_training,
    depth_sweep,
    frontier,
    gate_sweep,
    knock_outs,
    logit_direction,
    loop_slices,
    next_token_kl,
    recursion_lens,
    remove_writes,
    transplant_routing,
)
from hooks.path_trace import PathTrace
from hooks.trace import RoutingTrace
from sample_models.registry import CHECKPOINTS
from tests.capture_results import make_comparison, make_curves, make_paths
from tests.traces import make_trace

TEXT = 'It\'s "7 + 5" = 12,\n\t<b>$x$</b> \\n {} 🙂 你好. The fox ran.'
SOME_TEXTS = list(sample_texts.SAMPLE_TEXTS)[:3]
CURVES = CHECKPOINTS / "versatile-6l-4m" / "curves.csv"
LONG = "The king rode out to the river. " * 63


@pytest.fixture(scope="module", autouse=True)
def steps_that_do_not_ask_the_clock():
    """Knock-outs measure as many variants at a time as a slow machine allows, and the last digits change with it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("hooks.knock_outs"), "STEP_S", np.inf)
        yield


@pytest.fixture(scope="module")
def load():
    return cache(sample_models.load_model)


def in_a_row(states, tell) -> Placement:
    """A map without UMAP, which takes half a minute."""
    return Placement(np.column_stack([states[:, 0], np.arange(len(states))]), 0.9, 0.8, (0.5, 0.2))


SWEPT: dict[str, DepthEffects] = {}


def sweep_once(loaded, trace) -> DepthEffects:
    """A sweep over every depth, which takes seconds, only once per text."""
    text = trace.meta["text"]
    return SWEPT.get(text) or SWEPT.setdefault(text, depth_sweep(loaded, trace))


@pytest.fixture
def drawn_by(load, tmp_path, monkeypatch):
    """Runs a snippet in an empty folder; the figure that it made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sample_models, "load_model", load)
    monkeypatch.setattr(sample_texts, "SAMPLE_TEXTS", SOME_TEXTS)
    monkeypatch.setattr(studies, "study", partial(study, draws=9))
    monkeypatch.setattr(embeddings, "umap_placement", in_a_row)
    monkeypatch.setattr(hooks, "depth_sweep", sweep_once)
    # The real one writes five megabytes of plotly.js.
    monkeypatch.setattr(go.Figure, "write_html", lambda figure, file: Path(file).write_text(figure.to_json()))

    def run(code: str):
        names: dict = {}
        exec(compile(code, "snippet", "exec"), names)
        return names["figure"]

    return run


@pytest.fixture(scope="module")
def results(load):
    """A text as traces and as paths, by length."""
    loaded = load("versatile-6l-4m")
    assert len(LONG) > LONGEST_TEXT
    paths = capture_paths(loaded, TEXT, tokens=(7, 8))
    direction = logit_direction(loaded, paths, 7, 65, 66)
    vectors, table = stream_writes(paths, 7)
    writes = list(zip(table["layer"].tolist(), table["kind"].tolist(), vectors, strict=True))
    effects = sweep_once(loaded, capture(loaded, TEXT))
    removed = remove_writes(loaded, direction, paths.routing, writes)
    before, after = (capture(loaded, TEXT, interventions=each) for each in ((), (ForceLoops(4, tokens=3),)))
    return {
        "short": {
            RoutingTrace: capture(loaded, TEXT),
            PathTrace: capture_paths(loaded, TEXT, tokens=(2, 12)),
            Attribution: attribution(paths, direction, removed),
            LensTrace: recursion_lens(loaded, paths, 7, 65),
            SliceTrace: loop_slices(loaded, paths),
            KnockOutTrace: knock_outs(load("versatile-4l-0.4m"), "The fox ran.", stages=["width"]),
            Embedding: embedding(capture_paths(loaded, TEXT, tokens=(2, 12)), [3], place=in_a_row),
            AttentionTrace: capture_attention(loaded, TEXT).at(7),
            TrainingTrace: capture_training(load("versatile-4l-0.4m"), TEXT),
            TrainingCurves: TrainingCurves(read_curves(CURVES.read_bytes()), {"model": "versatile-6l-4m"}),
            TwoPrecisions: TwoPrecisions(
                capture(loaded, TEXT), capture(load("versatile-6l-4m", dtype=torch.bfloat16), TEXT)
            ),
            KnockOutStudy: knock_out_study(
                [
                    knock_outs(load("versatile-4l-0.4m"), each, then="kept", stages=["width"])
                    for each in ("A fox.", "7 + 5")
                ]
            ),
            DepthEffects: effects,
            Frontier: frontier(loaded, effects),
            GateSweep: gate_sweep(loaded, effects.routing, 3, 7),
            Study: study(capture(loaded, SOME_TEXTS), draws=9, name=SAMPLES),
            Comparison: Comparison(before, after, next_token_kl(loaded, before, after)),
            TracePair: TracePair(after, capture(loaded, "The hen ran.")),
            FigurePair: FigurePair(TracePair(after, capture(loaded, "The hen ran.")), "depth_choice"),
            TransplantTrace: transplant_routing(loaded, before, after),
        },
        "long": {
            RoutingTrace: capture(loaded, LONG),
            PathTrace: capture_paths(loaded, LONG, tokens=(10, 20)),
        },
    }


@pytest.mark.parametrize("each", CATALOGUE, ids=lambda each: each.name)
def test_code_of_every_figure_runs_and_draws_the_same(each, results, drawn_by, tmp_path):
    drawn = results["short"][each.of]
    options = {each.choice.option: list(each.choice.labels)[-1]} if each.choice else {}
    view = View(layer=3, token=7, theme="dark", checkpoint=2)
    made = drawn_by(snippet(each, drawn, view, **options))
    assert made.to_json() == each.figure(drawn, view, **options).to_json()
    assert (tmp_path / f"{each.name}.html").read_text() == made.to_json()


@pytest.mark.parametrize("times", [1, 20], ids=["short", "long"])
def test_code_for_a_study_of_own_texts_holds_them_or_reads_them_from_their_file(times, load, drawn_by, tmp_path):
    texts = [f"{TEXT * times} {i}" for i in range(3)]
    found = study(capture(load("versatile-6l-4m"), texts), draws=9, name="mine.csv")
    (tmp_path / TEXTS_FILE).write_bytes(texts_json(found))
    code = snippet(spec("together"), found, View())
    assert (TEXTS_FILE in code) == (times > 1) and "sample_texts" not in code
    assert drawn_by(code).to_json() == spec("together").figure(found, View()).to_json()


@pytest.mark.parametrize("name", ["loop_map", "write_stack"])
def test_code_for_a_long_text_reads_it_from_the_trace_file(name, results, drawn_by, tmp_path):
    found = spec(name)
    drawn, trace = results["long"][found.of], results["long"][RoutingTrace]
    trace.save(tmp_path / TRACE_FILE)
    view = View(layer=1, token=12, window=window_around(12, trace.num_tokens))
    code = snippet(found, drawn, view)
    assert "The king" not in code and max(map(len, code.splitlines())) < 130
    assert drawn_by(code).to_json() == found.figure(drawn, view).to_json()


def test_code_names_the_folder_of_a_model_that_is_not_shipped():
    code = snippet(spec("gate_map"), make_trace(), View(), shipped=False)
    assert "loaded = load_model('tiny')  # the path of its folder" in code


def test_code_for_an_opened_trace_file_needs_no_model(drawn_by, tmp_path):
    trace = make_trace()
    trace.save(tmp_path / TRACE_FILE)
    code = snippet(spec("loop_map"), trace, View(1, 1), from_file=True)
    assert "load_model" not in code
    assert drawn_by(code).to_json() == spec("loop_map").figure(trace, View(1, 1)).to_json()


SHORT, OF_LONG = make_trace(), make_trace(tokens=["␣a", "x" * 3_000])
OWN = "mine.csv"


@pytest.mark.parametrize(
    ("drawn", "given", "wanted"),
    [
        (SHORT, {}, Needs()),
        (OF_LONG, {}, Needs((TRACE_FILE,))),
        (SHORT, {"from_file": True, "shipped": False}, Needs((TRACE_FILE,))),
        (SHORT, {"shipped": False}, Needs(model="tiny")),
        (make_paths(SHORT), {"shipped": False}, Needs(model="tiny")),
        (make_curves(SHORT), {}, Needs()),
        (make_curves(SHORT), {"shipped": False}, Needs(model="tiny")),
        (TwoPrecisions(SHORT, SHORT), {"shipped": False}, Needs(model="tiny")),
        (make_paths(OF_LONG), {"shipped": False}, Needs((TRACE_FILE,), "tiny")),
        (make_comparison(SHORT), {}, Needs()),
        (make_comparison(OF_LONG), {"shipped": False}, Needs((TRACE_FILE,), "tiny")),
        (study([SHORT, SHORT], draws=9, name=OWN), {}, Needs()),
        (study([SHORT, OF_LONG], draws=9, name=OWN), {"shipped": False}, Needs((TEXTS_FILE,), "tiny")),
        (study([SHORT, OF_LONG], draws=9, name=SAMPLES), {}, Needs()),
    ],
)
def test_what_the_code_needs_is_what_it_reads(drawn, given, wanted):
    assert needs(drawn, **given) == wanted
    found = next(each for each in CATALOGUE if isinstance(drawn, each.of))
    code = snippet(found, drawn, View(), **given)
    assert {file for file in (TRACE_FILE, TEXTS_FILE) if file in code} == set(wanted.files)
    assert ("the path of its folder" in code) == (wanted.model is not None)


def test_paths_of_the_whole_text_need_no_tokens():
    code = snippet(spec("write_stack"), make_paths(make_trace()), View())
    assert "drawn = capture_paths(loaded, text)\n" in code and "import capture_paths" in code
