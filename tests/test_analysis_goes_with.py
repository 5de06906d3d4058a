"""What difficulty goes with: the shipped numbers are those that the code finds, and the sentence tells all of them."""

import json

import pytest

from analysis.texts.goes_with import MEASURES_TOLD, Correlation, GoesWith, correlations, told
from analysis.texts.sample_texts import SAMPLE_TEXTS
from analysis.texts.study import SAMPLES
from analysis.texts.validity import difficulty_validity
from app.texts.correlations import PATH, shipped_correlations
from hooks import capture
from sample_models import load_model
from sample_models.registry import available_models
from tests.app_in_process import captions, turn_to
from tests.traces import make_trace

SMALL = "versatile-4l-0.4m"


def test_every_shipped_model_has_its_correlations():
    kept = json.loads(PATH.read_text(encoding="utf-8"))
    digests = {name: load_model(name).weights_sha256 for name, _ in available_models()}
    assert {each["model"]: weights for weights, each in kept.items()} == digests
    assert shipped_correlations("another model's") is None is shipped_correlations(None)


def test_shipped_correlations_are_those_that_the_code_finds():
    loaded, texts = load_model(SMALL), list(dict.fromkeys(SAMPLE_TEXTS))
    kept = shipped_correlations(loaded.weights_sha256)
    traces = capture(loaded, texts)
    found = correlations(difficulty_validity(traces, "soft", draws=1))
    assert (kept.name, kept.texts) == (SAMPLES, len(texts))
    assert kept.tokens == sum(int((~trace.special).sum()) for trace in traces)
    assert list(found) == list(kept.measures) == list(MEASURES_TOLD)
    for name, each in found.items():
        assert vars(each) == pytest.approx(vars(kept.measures[name]), abs=0.01), name


def test_sentence_tells_every_number_with_its_interval_and_whether_it_is_raw():
    found = GoesWith(
        SAMPLES,
        31,
        1863,
        {
            "frequency": Correlation(-0.55, -0.62, -0.45),
            "surprisal_read": Correlation(0.3, 0.22, 0.39),
            "surprisal_read_given_frequency": Correlation(-0.001, -0.1, 0.004),
        },
    )
    assert told(found) == (
        "How far soft difficulty goes up (above 0) or down (below 0) with other measures in 31 sample texts, as "
        "Spearman's ρ within texts with 95% intervals. The token's frequency in these texts: −0.55 (−0.62 to −0.45); "
        "its surprisal: +0.30 (+0.22 to +0.39); its surprisal among equally frequent tokens: 0.00 (−0.10 to 0.00)."
    )
    assert GoesWith.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_difficulty_says_what_it_goes_with(app):
    said = " ".join(captions(turn_to(app.run(), "difficulty")))
    assert not app.exception
    assert told(shipped_correlations(load_model().weights_sha256)) in said
    assert "not how hard the token is" in said


def test_difficulty_of_an_unknown_model_is_said_to_be_unmeasured(app, tmp_path, monkeypatch):
    make_trace().save(tmp_path / "a.trace.safetensors")
    monkeypatch.setenv("VERSATILEFFN_TRACE", str(tmp_path / "a.trace.safetensors"))
    said = " ".join(captions(turn_to(app.run(), "difficulty")))
    assert not app.exception and "or neither has not been measured yet" in said and "What this model's soft" not in said
