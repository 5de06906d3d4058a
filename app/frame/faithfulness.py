"""The line under every page: which model and text its numbers come from, and on demand how exact they are."""

import pandas as pd
import streamlit as st

from analysis.models.faithfulness import digest_of_texts, provenance, summary
from analysis.parts import ALL, why_lacking
from analysis.words.labels import how_many
from app.parts.page import Page
from app.server.runs import RunError
from app.session import prompt_list, results, run_choice, state, text_study
from app.texts.markdown import literal

MARKS = {"exact": "✓ exact", "rounding": "✓ up to rounding", "not faithful": "✗ not faithful"}
DIGITS = 12
"""Digits of a digest that the line shows; the panel shows all."""
ABOVE = "These measurements are about the text above, not about the texts studied on this page."

OWN_CHOICES = "These measurements are about the model's own choices on this text, without the interventions above."


def faithfulness_line(page: Page) -> None:
    """The line of a page: the model, and the text or texts that the page's numbers come from."""
    where = provenance(state.current_trace())
    several = page.about != "text"
    model = f"Model {where['model']}, weights {where['weights'][:DIGITS]}, {where['precision']}"
    if several and state.why_no_model():
        model = f"Model {state.model_and_text()[0]}, not the trace file above"
    if page.about == "run" or (page.about == "study" and text_study.run_chosen()):
        model = _model_of_run() or model
    texts = _texts(page) if several else f"text {where['text'][:DIGITS]}"
    st.divider()
    st.caption(literal(f"{model}, {texts}"))
    if several:
        where["text above"] = where.pop("text")
    _panel(where, several)


def _model_of_run() -> str | None:
    """The model that read the chosen run; None if there is no run to show."""
    try:
        run = run_choice.current_run()
    except RunError:
        return None
    if run is None:
        return None
    return f"Model {run.meta.get('model')}, weights {str(run.meta.get('weights_sha256'))[:DIGITS]}"


def _texts(page: Page) -> str:
    """The texts of a page over several texts, with a digest over them."""
    if page.about == "run":
        name = run_choice.run_name()
        return f"run “{name}”" if name else "there is no run to show"
    if page.about == "list":
        prompts = prompt_list.prompt_list()
        name, texts = prompts.name, [prompt.text for prompt in prompts.prompts]
    elif not state.why_no_model() and (finished := text_study.finished_study()) and finished.study:
        name, texts = finished.study.name, finished.study.read
        if text_study.run_chosen():
            return f"{how_many(len(texts), 'text')} of the run “{name}”"
    else:
        return "no texts have been traced for this page"
    return f"{how_many(len(texts), 'text')} of “{name}”, digest {digest_of_texts(texts)[:DIGITS]}"


@st.fragment
def _panel(where: dict[str, str], several: bool) -> None:
    """The panel with digests and measurements; opening it reruns only this fragment."""
    opener = st.expander("How exact is this?", key="faithfulness", type="compact", on_change="rerun")
    if not opener.open:
        return
    with opener:
        st.caption("  \n".join(f"**{name.capitalize()}** {literal(value)}" for name, value in where.items()))
        if several:
            st.caption(ABOVE)
        if state.interventions():
            st.caption(OWN_CHOICES)
        if why_not := state.why_no_model():
            st.caption(f"Measuring how exact the numbers are takes the model. {why_not}")
            return
        place = st.empty()
        if why_not := why_lacking(ALL, state.current_trace().meta):
            st.caption(literal(f"How exact its numbers are is not measured here. {why_not}"))
            return
        if (findings := results.measured_faithfulness()) is None:
            with place.container():
                st.caption(
                    "**Measure** runs this text again in four ways: without hooks, with every token made to exit at "
                    "its actual loop, with all paths computed in full and separately, and in a batch with another "
                    "text. It compares logits, choices and layer outputs, and checks that the parts of every layer's "
                    "write add up."
                )
                if not st.button("Measure"):
                    return
            with place:
                results.measure_faithfulness()
            place.empty()
            findings = results.measured_faithfulness()
        st.markdown(f"**{summary(findings)}**")
        rows = [(finding.name, MARKS[finding.verdict], finding.figure, finding.meaning) for finding in findings]
        table = pd.DataFrame(rows, columns=["comparison", "verdict", "measured", "what was compared"])
        st.table(table.set_index("comparison"))
        st.caption("Measured for this model and this text on this machine.")
