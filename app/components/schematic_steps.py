"""Buttons that show the schematic of a layer step by step, in the browser alone: the server draws it once."""

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from analysis.explain.schematic import Step
from app.components import script

_component = st.components.v2.component(
    "schematic_steps",
    html="""
<div class="stepper">
  <div class="buttons" role="group" aria-label="Steps of the drawing; the left and right arrow keys move between them">
    <button class="play">Play</button>
  </div>
  <div class="said"></div>
  <ol class="told" aria-label="The drawing in words"></ol>
  <div class="live" aria-live="polite"></div>
</div>
""",
    css=(Path(__file__).parent / "schematic_steps.css").read_text(encoding="utf-8"),
    js=script("schematic_steps.js"),
)


def schematic_steps(figure_key: str, *, whole: str, steps: Sequence[Step], most_loops: int) -> None:
    """Buttons for the chart in the container with the key `figure_key`, and the sentence of the chosen step.

    `whole` is the sentence of the whole drawing. All sentences are there as a list for screen readers, too. The buttons
    leave room for the steps of `most_loops` loops, so that nothing below moves when another token takes more.
    """
    told = [[step.name, step.sentence] for step in steps]
    spare = max(most_loops - sum(step.name.startswith("Loop") for step in steps), 0)
    _component(key="schematic_steps", data={"figure": figure_key, "whole": whole, "told": told, "spare": spare})
