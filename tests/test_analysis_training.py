"""Training curves from their file, and what training draws from the depth head."""

import numpy as np
import pytest

from analysis.figures import drawn_loops_figure, training_curve_figure
from analysis.models.sampling import DRAWS, draw_agreement, drawn_loops, drawn_weight, sampling_table
from analysis.models.training import TrainingCurves, read_curves
from analysis.view import View
from sample_models.registry import CHECKPOINTS, DEFAULT_MODEL
from tests.traces import make_trace, random_trace

CURVES = (
    b"run,step,tokens,loss,held_out,tau\ndense,10,100,5,,\ndense,20,200,4,4.5,\n"
    b"<b>versatile</b>,10,100,4.2,,5\n<b>versatile</b>,20,200,3.9,4,0.1\n"
)


def test_sure_depth_head_draws_what_eval_picks():
    trace = make_trace()
    assert (drawn_loops(trace, draws=5) == trace.loops).all()
    assert (draw_agreement(trace, draws=5) == 1).all()


def test_even_logits_are_drawn_evenly():
    trace = make_trace(loops=np.ones((1, 4000), int), depth_logits=np.zeros((1, 4000, 4), np.float32))
    shares = [(drawn_loops(trace, draws=8) == loops).mean() for loops in (1, 2, 3, 4)]
    assert shares == pytest.approx([0.25] * 4, abs=0.01)
    assert draw_agreement(trace, draws=8).mean() == pytest.approx(0.25, abs=0.01)


def test_draws_follow_the_softmax_of_the_depth_logits():
    logits = np.tile(np.log(np.array([0.1, 0.2, 0.3, 0.4], np.float32)), (1, 4000, 1))
    trace = make_trace(loops=np.full((1, 4000), 4), depth_logits=logits)
    shares = [(drawn_loops(trace, draws=8) == loops).mean() for loops in (1, 2, 3, 4)]
    assert shares == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.01)


def test_weight_of_the_drawn_loops_falls_with_tau_towards_even():
    cold, warm, hot = drawn_weight(random_trace(), (0.01, 1.0, 1000.0), draws=4).mean(axis=(1, 2))
    assert cold > 0.97 > warm > hot == pytest.approx(0.25, abs=0.01)


def test_special_tokens_are_not_drawn_for():
    logits = np.zeros((1, 2, 4), np.float32)
    logits[0, 1, 2] = 50
    trace = make_trace(loops=[[1, 3]], depth_logits=logits, special=[True, False])
    assert (draw_agreement(trace, draws=6) == 1).all()


def test_table_and_figure_tell_the_same():
    trace = random_trace(layers=3)
    table = sampling_table(trace)
    assert list(table.groupby("tau").size()) == [3, 3, 3] and (table["draws"] == DRAWS).all()
    drawn = drawn_loops_figure(trace, tau="5").data
    dots = {each.name: each.y for each in drawn if each.mode == "markers"}
    at_five = table[table["tau"] == 5.0]
    assert dots["draws that match evaluation"] == pytest.approx(100 * at_five["agreement"])
    assert dots["weight of the drawn loops at τ = 5"] == pytest.approx(100 * at_five["weight"])


def test_runs_follow_each_other_along_the_tokens():
    curves = read_curves(CURVES)
    assert curves["all_tokens"].tolist() == [100, 200, 300, 400]
    assert curves["load_balance"].isna().all()


def test_curves_of_the_shipped_model_are_drawn_with_what_was_held_out():
    curves = read_curves((CHECKPOINTS / DEFAULT_MODEL / "curves.csv").read_bytes())
    lines = training_curve_figure(TrainingCurves(curves)).data
    assert [line.name for line in lines] == ["dense", "dense, held out", "versatile", "versatile, held out"]
    assert len(lines[1].x) == curves.loc[curves["run"] == "dense", "held_out"].notna().sum() > 0


def test_names_of_runs_are_text_and_missing_curves_a_sentence():
    curves = TrainingCurves(read_curves(CURVES))
    figure = training_curve_figure(curves, View(theme="dark"), of="tau")
    assert figure.data[1].name == "&lt;b&gt;versatile&lt;/b&gt;"
    assert "has no such curve" in training_curve_figure(curves, of="lr").layout.annotations[0].text


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not a table"),
        (b"\xff\xfe\x00", "is not a table"),
        (b"run,step\na,1\n", "lacks the column\\(s\\) tokens, loss"),
        (b"run,step,tokens,loss\na,1,many,2\n", "must have a number of tokens and a loss in every row"),
    ],
)
def test_file_that_holds_no_curves_is_refused(content, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_curves(content)
