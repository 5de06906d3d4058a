"""`python -m app generate`: files named as `trace` names them, the same text as in Python, and mistakes in a line."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from app.cli import main
from hooks import ForceLoops, Generation, RoutingTrace, Sampling
from sample_models import load_model
from tests.traces import make_trace

SMALL = "versatile-4l-0.4m"
PROMPT = "The fox ran to the"


def test_generate_writes_one_trace_and_the_routing_table(tmp_path, capsys):
    (tmp_path / "spec.json").write_text('[{"kind": "ForceLoops", "loops": 4, "layers": [1]}]')
    make_trace().save(tmp_path / "0003.trace.safetensors")
    how = ["--tokens", "6", "--temperature", "0.9", "--top-k", "30", "--seed", "5", "--model", SMALL]
    out = ["--intervene", str(tmp_path / "spec.json"), "--out", str(tmp_path), "--overwrite"]
    assert main(["generate", PROMPT, *how, *out]) == 0
    said = capsys.readouterr()
    trace = RoutingTrace.load(tmp_path / "0000.trace.safetensors")
    expected = Generation(
        load_model(SMALL), PROMPT, sampling=Sampling(0.9, top_k=30, seed=5), interventions=(ForceLoops(4, layers=1),)
    )
    assert [step.token for step in expected.steps(6)] == trace.tokens[trace.first_generated :]
    assert trace.interventions == (ForceLoops(4, layers=1),) and (trace.loops[1] == 4).all()
    assert not (tmp_path / "0003.trace.safetensors").exists() and "removed 1 file of an earlier run" in said.err
    assert "6 of them generated (temperature 0.9, top k 30, seed 5)" in said.out
    assert [line.split()[0] for line in said.out.splitlines()[:6]] == [
        *map(str, range(trace.first_generated, trace.num_tokens))
    ]
    table = pq.read_table(tmp_path / "routing.parquet")
    assert len(table) == trace.num_layers * trace.num_tokens and "generated" not in table.column_names
    metadata = pq.read_metadata(tmp_path / "routing.parquet").metadata
    assert json.loads(metadata[b"interventions"]) == {"0": "4 loops, λ follows; layer 1, all tokens"}
    assert json.loads(metadata[b"generated"]) == {"0": trace.first_generated}


def test_table_of_a_generated_text_says_which_tokens_the_model_wrote(loaded):
    written = Generation(loaded, PROMPT)
    list(written.steps(3))
    frame: pd.DataFrame = written.trace().to_frame()
    assert np.array_equal(frame["generated"], frame["token"] >= len(PROMPT))
    assert "generated" not in make_trace().to_frame()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--tokens", "0"], "--tokens must be at least 1, got 0"),
        (["--temperature", "-1"], "temperature must be a number from 0 to 10, got -1.0"),
        (["--top-k", "0"], "top_k must be a whole number from 1, got 0"),
        (["--model", "no-such-model"], "no-such-model"),
        (["--chat", "--model", SMALL], "has no chat template"),
    ],
)
def test_mistakes_are_told_in_a_line_and_nothing_is_removed(arguments, sentence, tmp_path, capsys):
    make_trace().save(tmp_path / "0000.trace.safetensors")
    assert main(["generate", PROMPT, *arguments, "--out", str(tmp_path), "--overwrite"]) == 2
    error = capsys.readouterr().err
    assert sentence in error and len(error.splitlines()) == 1
    assert (tmp_path / "0000.trace.safetensors").exists()
