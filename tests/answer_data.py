"""What the answers of the pages are about, of traces of every kind."""

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.runs.atlas import Atlas, atlas_of
from analysis.runs.cards import Card, card
from analysis.runs.choices import Choice
from analysis.runs.filters import TokenFilter
from analysis.runs.map import TokenMap, pca_map
from analysis.runs.sampling import sample_tokens
from analysis.texts.summary import PromptSummary, summary_table
from analysis.view import View
from tests.capture_results import result_of
from tests.runs import make_run
from tests.traces import HOSTILE, make_trace, random_trace

VIEW = View(layer=2, token=5)
SUMMARIES = [
    ("first", "The fox.", PromptSummary(30, 0.5, 0.4, 0.1, 3.0)),
    ("<b>$x$</b>", "A dog.", PromptSummary(4, 0.7, 0.4, 0.1, 3.0)),
    ("not traced", "A cat.", None),
]
TRACES = {
    "ordinary": random_trace(),
    "hostile": random_trace(tokens=24, words=HOSTILE),
    "few experts of one": random_trace(experts=2, k=1),
    "one token": random_trace(layers=3, tokens=1),
    "one loop": random_trace(max_loops=1),
    "all alike": make_trace(loops=np.full((3, 8), 4)),
    "nothing but special": make_trace(loops=np.full((3, 2), 2), special=[True, True]),
    "untrained": replace(random_trace(), meta={**random_trace().meta, "gates_trained": False}),
}


FOLDER = tempfile.TemporaryDirectory()


@cache
def data_of(kind: type, name: str, view: View):
    if kind in (Atlas, Card):
        run = make_run(Path(tempfile.mkdtemp(dir=FOLDER.name)) / "run", [TRACES[name]] * 6)
        return atlas_of(run) if kind is Atlas else card(run, Choice(0, expert=0))
    if kind is TokenMap:
        with make_run(Path(tempfile.mkdtemp(dir=FOLDER.name)) / "run", [TRACES[name]] * 40) as run:
            return pca_map(sample_tokens(run, TokenFilter(special=True), most=200))
    return summary_table(SUMMARIES) if kind is pd.DataFrame else result_of(kind, TRACES[name], view)
