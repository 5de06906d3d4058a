"""Interventions as values: equal, hashable, in JSON, in trace files and captions, and refused in one sentence."""

import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from analysis.catalogue import CATALOGUE, spec
from analysis.experts import choice_counts, served_tokens
from analysis.explain.near_miss import expert_margin
from analysis.explain.schematic import layer_run, layer_steps, schematic_table
from analysis.export.captions import answers_text, source
from analysis.export.snippet import needs, snippet
from analysis.texts.tokens import same_model
from analysis.view import View
from hooks import (
    DropExpert,
    DropPath,
    ForceExperts,
    ForceGate,
    ForceLoops,
    ForceTopK,
    RoutingTrace,
    UseRouting,
    capture,
    read_interventions,
)
from hooks.interventions import as_json, from_json, in_words
from sample_models.routing import Routing

TEXT = "Once upon a fox."


@pytest.fixture(scope="module")
def base(loaded):
    return capture(loaded, TEXT)


@pytest.fixture(scope="module")
def every(base):
    """One of every kind, with fields of every form."""
    return (
        ForceLoops(4, layers=1, tokens=range(3, 9), gate="held"),
        ForceGate(0.25),
        ForceExperts((5, 1), 0, (2, 4), weights=(0.5, 0.25)),
        ForceTopK(3, tokens=np.array([7, 6])),
        UseRouting(base, tokens=11, parts="experts"),
        DropExpert(2, path="both", then="mean"),
        DropPath("width", layers=[1]),
    )


@pytest.fixture(scope="module")
def changed(loaded, every):
    return capture(loaded, TEXT, interventions=every)


def test_they_are_values(base, every):
    assert ForceLoops(4, layers=[3, 1, 3]) == ForceLoops(4, (1, 3)) != ForceLoops(4, (1, 3), gate="held")
    assert ForceTopK(3, tokens=np.array([7, 6])) == ForceTopK(3, tokens=(6, 7))
    assert len({*every, *from_json(as_json(every)), UseRouting(base, tokens=11, parts="experts")}) == len(every)
    with pytest.raises(AttributeError):
        every[0].loops = 2
    with pytest.raises(ValueError, match="read-only"):
        every[4].routing.loops[0, 0] = 1


def test_json_gives_back_every_kind(every, tmp_path):
    assert from_json(json.loads(json.dumps(as_json(every)))) == every
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"kind": "ForceLoops", "loops": 4}))
    assert read_interventions(path) == (ForceLoops(4),)


def test_a_spec_may_name_a_trace_file_beside_it(base, tmp_path):
    base.save(tmp_path / "a.trace.safetensors")
    path = tmp_path / "spec.json"
    path.write_text(json.dumps([{"kind": "UseRouting", "trace": "a.trace.safetensors", "layers": 1}]))
    assert read_interventions(path) == (UseRouting(base, 1),)


LOOPS, ROUTING = {"kind": "ForceLoops", "loops": 2}, {"loops": [[1]], "gate": [[0.5]], "expert_ids": [[[0]]]}
HOSTILE = [
    ([], "list of 1 to"),
    ("ForceLoops", "list of 1 to"),
    ([LOOPS] * 100_001, "list of 1 to 100,000"),
    ([7], "must be an object"),
    ([{"kind": "ForceLoop"}], "must be one of ForceLoops, .*, got 'ForceLoop'"),
    ([{"kind": "__init__"}], "must be one of"),
    ([{"kind": "ForceLoops"}], "ForceLoops needs loops"),
    ([LOOPS | {"loop\n<b>": 2}], r"has the fields .*, and not 'loop\\n<b>'"),
    ([LOOPS | {"loops": 0}], "whole number from 1, got 0"),
    ([LOOPS | {"loops": 2.0}], "whole number from 1, got 2.0"),
    ([LOOPS | {"loops": True}], "whole number from 1, got True"),
    ([LOOPS | {"tokens": []}], "one or more whole numbers"),
    ([LOOPS | {"tokens": [-1]}], "one or more whole numbers"),
    ([LOOPS | {"layers": "01"}], "one or more whole numbers"),
    ([LOOPS | {"layers": {"0": 1}}], "one or more whole numbers"),
    ([LOOPS | {"gate": ["held"]}], "must be follows or held"),
    ([{"kind": "ForceGate", "gate": 1.5}], "from 0 to 1, got 1.5"),
    ([{"kind": "ForceGate", "gate": float("nan")}], "from 0 to 1, got nan"),
    ([{"kind": "ForceExperts", "experts": [1, 2], "weights": [1]}], "got 1 for 2"),
    ([{"kind": "ForceExperts", "experts": [1], "weights": None}], "renormalised or kept, got None"),
    ([{"kind": "DropExpert", "expert": [1]}], "whole number from 0"),
    ([{"kind": "DropPath", "path": "both"}], "must be width or depth"),
    ([{"kind": "UseRouting", "routing": ROUTING}], "must hold the lists"),
    ([{"kind": "UseRouting", "routing": ROUTING | {"expert_weights": [[[2.0]]]}}], "weights from 0 to 1"),
    ([{"kind": "UseRouting", "routing": ROUTING | {"expert_weights": [[[1.0]], []]}}], "equally long"),
    ([{"kind": "UseRouting", "routing": ROUTING | {"expert_weights": [[["1"]]]}}], "must hold numbers"),
    ([{"kind": "UseRouting", "routing": ROUTING | {"expert_weights": [[1.0]]}}], "per layer and token"),
]


@pytest.mark.parametrize("data, sentence", HOSTILE)
def test_hostile_json_is_refused_in_one_sentence(data, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence) as told:
        from_json(data)
    assert len(str(told.value)) < 300 and "\n" not in str(told.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b'[{"kind": "ForceLoops"', b"NaN"])
def test_a_file_that_holds_none_is_refused_in_one_sentence(content, tmp_path):
    path = tmp_path / "spec.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="spec.json") as told:
        read_interventions(path)
    assert "\n" not in str(told.value)
    with pytest.raises(ValueError, match="is not a file"):
        read_interventions(tmp_path)


@pytest.mark.parametrize(
    "given, sentence",
    [
        (ForceLoops(4), "must be a tuple of them, got ForceLoops"),
        (({"kind": "ForceLoops"},), "values such as ForceLoops"),
        ((ForceLoops(5),), "loops must be 1..4, got 5"),
        ((ForceGate(0.5, layers=2),), "layers must be 0..1, got 2"),
        ((ForceTopK(9),), "k must be 1..8, got 9"),
        ((DropExpert(8),), "expert must be 0..7, got 8"),
        ((ForceExperts((1, 8)),), "experts must be 0..7, got 8"),
        ((DropPath("depth", tokens=(1, 16)),), "tokens must be 0..15 in a text of 16 tokens, got 16"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(loaded, given, sentence):
    with pytest.raises(ValueError, match=sentence):
        capture(loaded, TEXT, interventions=given)


def test_a_routing_must_fit_the_text(loaded, base):
    with pytest.raises(ValueError, match="has 16 tokens and the text 4: name the tokens"):
        capture(loaded, TEXT[:4], interventions=(UseRouting(base),))
    assert capture(loaded, TEXT[:4], interventions=(UseRouting(base, tokens=(0, 3)),)).interventions
    with pytest.raises(ValueError, match="must be a RoutingTrace, got str"):
        UseRouting("a.trace.safetensors")


def test_a_file_keeps_them_and_older_programs_refuse_it(base, changed, every):
    data = changed.to_bytes()
    again = RoutingTrace.from_bytes(data)
    assert again.interventions == every and again.meta == changed.meta
    assert b'"format_version":"2"' in data and b'"format_version":"1"' in base.to_bytes()
    assert base.interventions == () and "interventions" not in base.meta
    meta = changed.meta | {"interventions": as_json([ForceLoops(4, layers=2)])}
    with pytest.raises(ValueError, match="not a valid trace .*layers must be 0..1, got 2"):
        RoutingTrace.from_bytes(tampered(data, meta))
    with pytest.raises(ValueError, match="expert_weights must sum to 1"):
        meta.pop("interventions")
        RoutingTrace.from_bytes(tampered(data, meta))
    with pytest.raises(ValueError, match="list of 1 to"):
        RoutingTrace.from_bytes(tampered(data, meta | {"interventions": []}))


def tampered(data: bytes, meta: dict) -> bytes:
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    return save(load(data), metadata=header | {"meta": json.dumps(meta)})


def test_experts_without_a_weight_are_counted_nowhere(loaded):
    one = capture(loaded, TEXT, interventions=(ForceTopK(1), ForceTopK(4, tokens=5), DropPath("width", 0, (6, 7))))
    routed, alone = one.gate > 0, np.delete(np.arange(16), 5)
    routed[0, [6, 7]] = False
    assert np.array_equal(one.width_ran, routed) and one.expert_ids.shape[2] == 4
    assert np.array_equal(one.expert_ran.sum(axis=-1)[:, alone], routed[:, alone])
    assert one.expert_ran[:, 5].sum() == 4 * routed[:, 5].sum()
    assert one.own_k == 2 and np.isfinite(expert_margin(one)[one.width_ran]).all()
    assert choice_counts(one).sum() == one.expert_ran.sum() == len(served_tokens(one))
    rows = one.to_frame()["expert_ids"]
    assert [len(row) if row else 0 for row in rows] == one.expert_ran.sum(axis=-1).ravel().tolist()
    steps = layer_steps(layer_run(one, 0, 6))
    if one.gate[0, 6] > 0:
        assert "it was dropped" in steps[2].sentence and "wrote nothing" in steps[-1].sentence
    assert len(schematic_table(one)) == 32


def test_every_figure_and_answer_of_a_trace_says_so(base, changed, every):
    assert in_words(every[:1]) == "4 loops, λ held; layer 1, tokens 3, 4, 5, 6, 7, 8"
    assert in_words(every).endswith("and 3 more") and in_words(()) == ""
    assert "Under interventions" in source(changed) and "Under interventions" not in source(base)
    assert "Under interventions" in answers_text((changed,), View(0, 6))
    for each in CATALOGUE:
        if each.of is RoutingTrace and not each.why_not(changed):
            each.figure(changed, View(0, 6))
            each.table(changed)
    code = snippet(spec("gate_map"), changed, View(0, 6))
    assert "RoutingTrace.load" in code and "it holds the interventions" in code and needs(changed).files
    with pytest.raises(ValueError, match="different interventions"):
        same_model([base, changed])


def test_a_routing_from_json_has_a_limit(monkeypatch):
    monkeypatch.setattr("sample_models.routing.MAX_CELLS", 1)
    with pytest.raises(ValueError, match="at most 1 cells"):
        Routing.from_json(ROUTING | {"loops": [[1, 1]], "expert_weights": []})
