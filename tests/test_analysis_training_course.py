"""How routing emerges along a training: by hand, and drawn where the hand says."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.catalogue import CATALOGUE
from analysis.figures import (
    expert_map_figure,
    gate_map_figure,
    loop_map_figure,
    training_course_figure,
    training_map_figure,
)
from analysis.models.training import (
    checkpoint_table,
    drawn_as_picked,
    loads,
    mean_gate,
    mean_loops,
    shown_checkpoint,
    text_loss,
    training_table,
)
from analysis.view import View
from hooks import TrainingTrace
from tests.traces import make_trace


@pytest.fixture(scope="module")
def training():
    """Three checkpoints of two layers and three tokens; before training nobody routes in layer 1."""
    before = make_trace(
        loops=[[4, 4, 1], [4, 4, 4]],
        depth_logits=np.zeros((2, 3, 4), np.float32),
        expert_ids=np.array([[[0, 1]] * 3, [[2, 3]] * 3]),
        logprob=np.array([np.nan, -6.0, -4.0], np.float32),
    )
    between = make_trace(loops=[[2, 2, 1], [1, 3, 3]], logprob=np.array([np.nan, -3.0, -2.0], np.float32))
    after = make_trace(loops=[[1, 2, 1], [2, 2, 4]], logprob=np.array([np.nan, -2.0, -1.0], np.float32))
    return TrainingTrace(
        after,
        [before, between, after],
        step=np.array([0, 100, 400]),
        seen=np.array([0, 204_800, 819_200]),
        tau=np.array([5.0, 1.0, 0.1]),
        held_out=np.array([6.5, np.nan, 3.5]),
    )


def test_loss_of_the_text_is_the_mean_surprisal_of_its_tokens(training):
    assert text_loss(training).tolist() == [5.0, 2.5, 1.5]


def test_loops_and_gate_are_means_over_tokens(training):
    assert mean_loops(training) == pytest.approx(np.array([[3, 4], [5 / 3, 7 / 3], [4 / 3, 8 / 3]]))
    assert mean_gate(training) == pytest.approx((4 - mean_loops(training)) / 4)


def test_load_counts_routed_tokens_only_and_is_unknown_where_nobody_routed(training):
    share = loads(training)
    assert share[0, 0].tolist() == [0.5, 0.5, 0, 0]
    assert np.isnan(share[0, 1]).all(), "did not route is no zero"
    assert np.nansum(share, axis=2)[1:].tolist() == [[1, 1], [1, 1]]


def test_draws_agree_with_the_pick_once_the_depth_head_is_sure(training):
    agreement = drawn_as_picked(training)
    assert agreement[0].max() < 0.6
    assert agreement[1:].min() == 1


def test_tokens_that_the_tokenizer_added_count_nowhere(training):
    special = np.array([True, False, False])
    hidden = replace(training, traces=[replace(each, special=special) for each in training.traces])
    assert mean_loops(hidden)[0].tolist() == [2.5, 4]
    assert text_loss(hidden).tolist() == [5.0, 2.5, 1.5]
    assert loads(hidden)[0, 0].tolist() == [0.5, 0.5, 0, 0]


def test_table_holds_every_figure_once_and_no_row_for_what_did_not_run(training):
    table = training_table(training).set_index(["step", "quantity"]).sort_index()
    assert table.loc[[(0, "loss of this text")], "value"].tolist() == [5.0]
    assert table.loc[[(400, "held-out loss")], "value"].tolist() == [3.5]
    assert (100, "held-out loss") not in table.index
    assert table.loc[(0, "mean loops"), "value"].tolist() == [3, 4]
    first = table.loc[(0, "share of routed choices")]
    assert set(first["layer"]) == {0} and first["expert"].tolist() == [0, 1, 2, 3]
    tau = table.xs(400, level="step")["tau"].unique()
    assert tau.tolist() == [0.1]


def test_checkpoint_table_has_every_token_of_every_step(training):
    table = checkpoint_table(training)
    assert len(table) == 3 * 2 * 3
    at = table[(table["step"] == 0) & (table["layer"] == 0)]
    assert at["loops"].tolist() == [4, 4, 1] and at["width_ran"].tolist() == [False, False, True]


def test_the_last_checkpoint_is_shown_unless_one_is_chosen(training):
    assert shown_checkpoint(training, View()) == 2
    assert shown_checkpoint(training, View(checkpoint=0)) == 0
    assert shown_checkpoint(training, View(checkpoint=7)) == 2


def test_course_draws_the_selected_layer_last_and_marks_the_checkpoint(training):
    figure = training_course_figure(training, View(layer=1, checkpoint=1))
    lines = {(drawn.name, drawn.yaxis or "y"): drawn.y.tolist() for drawn in figure.data if drawn.name}
    assert lines["this text", "y"] == [5.0, 2.5, 1.5]
    assert lines["layer 1", "y2"] == pytest.approx([4, 7 / 3, 8 / 3])
    loops = [drawn.name for drawn in figure.data if drawn.yaxis == "y2"]
    assert loops == ["layer 0", "layer 1"]
    cells = next(drawn for drawn in figure.data if drawn.type == "heatmap")
    assert np.isnan(cells.z[:, 0]).all() and cells.z[:, 1].tolist() == [0.5, 0.5, 0, 0]
    strokes = next(drawn for drawn in figure.data if drawn.name == "did not route")
    assert set(np.round(strokes.x[np.isfinite(strokes.x)]).tolist()) == {0}
    assert [(shape.x0 + shape.x1) / 2 for shape in figure.layout.shapes] == [1, 1, 1, 1]
    assert figure.layout.xaxis3.ticktext == ("0<br>5", "100<br>1", "400<br>0.1")


@pytest.mark.parametrize("of", ["loops", "gate", "experts"])
def test_map_of_a_step_is_the_pages_own_map_of_its_trace(training, of):
    view, own = View(checkpoint=0), {"loops": loop_map_figure, "gate": gate_map_figure, "experts": expert_map_figure}
    assert training_map_figure(training, view, of=of).to_json() == own[of](training.traces[0], view).to_json()


def test_another_checkpoint_draws_only_the_figures_of_training_again():
    for each in CATALOGUE:
        same = each.seen(View(checkpoint=1)) == each.seen(View(checkpoint=2))
        assert same == (each.of is not TrainingTrace), each.name
