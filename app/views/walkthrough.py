"""Walkthrough page: one token through one layer in six steps, with formulas and numbers."""

from functools import partial

import numpy as np
import streamlit as st

from analysis.explain.walkthrough import Walkthrough, token_by_layer, walkthrough
from analysis.words.labels import token_labels
from analysis.words.numbers import number, significant
from app.parts.panel import difficulty_column, panel, title
from app.session.results import current_result, why_not_drawn
from app.session.state import current_trace, current_view, select
from app.session.widgets import selected_row
from app.texts.markdown import literal
from hooks.path_trace import PathTrace

SHOWN_EXPERTS = 8
THREE = partial(number, digits=3)


def step(number: int, title: str, formula: str, text: str) -> None:
    """Draw one step: the formula on the left, this token's numbers on the right."""
    st.subheader(f"{number}. {title}", anchor=False)
    left, right = st.columns(2, vertical_alignment="center")
    left.latex(formula)
    right.markdown(text)


def depth_head(walk: Walkthrough) -> None:
    """Step 2, with the table of depth logits."""
    winner = int(walk.depth["logit"].argmax()) + 1
    lead = f", {walk.margin:.2f} logits ahead of the runner-up" if walk.max_loops > 1 else ""
    step(
        2,
        "The depth head chooses the loops",
        r"\begin{gathered} z = W_{\mathrm{loop}} H \\ L = \operatorname*{arg\,max}_l z_l \end{gathered}",
        f"The largest of the {walk.max_loops} logits is that of **{winner}**{lead}, and **{walk.loops}** "
        f"{'loop' if walk.loops == 1 else 'loops'} ran. The softmax of the logits gives the expected number of loops "
        f"E[L] = {walk.expected_loops:.2f}, which soft difficulty rescales to the range 0 to 1.",
    )
    table = walk.depth.assign(ran=np.where(walk.depth["ran"], "●\u00a0ran", ""))
    st.table(table.style.hide(axis="index").format({"logit": THREE, "probability": THREE}), border="horizontal")


def router(walk: Walkthrough) -> None:
    """Step 5, with the table of experts."""
    kept = walk.experts[walk.experts["kept"]]
    if walk.width_ran:
        chosen = " and ".join(
            f"expert **{expert}** (weight {weight:.2f})"
            for expert, weight in zip(kept["expert"], kept["weight"], strict=True)
        )
        text = (
            f"The router kept {chosen}. Together they give $Y_{{\\mathrm{{width}}}}$, of length {walk.width_norm:.4g}."
        )
    else:
        by_loops = walk.gate <= 0 and walk.loops == walk.max_loops
        why = f"It took all {walk.max_loops} loops, so λ = 0 and" if by_loops else "Under the interventions"
        text = (
            f"**This token did not route.** {why} the width path did not run. "
            "The table shows what the router would have chosen; none of it reached the output."
        )
    step(
        5,
        "The router chooses the experts: the width path",
        r"\begin{gathered} r = W_{\mathrm{gate}} H \\ "
        rf"w = \operatorname{{softmax}}(r_{{\mathrm{{top\,{len(kept)}}}}}) \\ "
        r"Y_{\mathrm{width}} = H + \sum_e w_e\, f_e(H) \end{gathered}",
        text,
    )
    shown = walk.experts.head(max(SHOWN_EXPERTS, len(kept)))
    words = "kept" if walk.width_ran else "would be kept"
    table = shown.assign(kept=np.where(shown["kept"], f"●\u00a0{words}", "")).rename(
        columns={"length": "length of fₑ(H)"}
    )
    formats = {"logit": THREE, "probability": THREE, "weight": THREE, "length of fₑ(H)": significant}
    st.table(table.style.hide(axis="index").format(formats, na_rep=""), border="horizontal")
    rest = len(walk.experts) - len(shown)
    more = f" The {rest} experts with smaller logits are not shown." if rest else ""
    st.caption(
        "Probability is the softmax over all experts. Weight is the softmax over the kept experts, and the model "
        f"uses only the weight. Expert e is a slice of the shared FFN, and fₑ(H) is what this slice adds to H.{more}"
    )


def every_layer() -> None:
    """A table of what every layer decided for the selected token, whose rows select the layer."""
    trace, view = current_trace(), current_view()
    if trace.num_layers == 1:
        return
    title("The selected token in every layer")
    table = token_by_layer(trace, view.token)

    def chosen() -> None:
        if (row := selected_row("every_layer")) is not None:
            select(layer=int(table["layer"].iloc[row]))

    st.dataframe(
        table.assign(experts=table["experts"].fillna("did not route")),
        hide_index=True,
        key="every_layer",
        height="content" if trace.num_layers <= 12 else 285,
        on_select=chosen,
        selection_mode="single-row",
        column_config={
            "gate": st.column_config.NumberColumn("width share λ", format="%.2f"),
            "experts": "experts (weight)",
            "difficulty_soft": difficulty_column("soft difficulty"),
            "margin": st.column_config.NumberColumn("margin of the loops, logits", format="%.2f"),
        },
        placeholder="–",
    )
    st.caption(
        "Margin is how far the number of loops that won lies ahead of the next. Click the box before a row to select "
        "its layer."
    )


def six_steps() -> None:
    """All six steps for the selected token and layer."""
    if why_not := why_not_drawn(PathTrace):
        st.caption(why_not)
        return
    paths, view = current_result(PathTrace), current_view()
    walk = walkthrough(paths, view.layer, view.token)
    label, most = literal(token_labels(paths.routing)[view.token]), walk.max_loops
    step(
        1,
        "The input",
        r"H = X + \operatorname{Attention}(\operatorname{RMSNorm}(X))",
        f"Token {view.token} “{label}” enters layer {view.layer} as a vector X of length {walk.input_norm:.4g}. "
        f"Attention adds its output, which gives H, of length {walk.state_norms[0]:.4g}.",
    )
    depth_head(walk)
    step(
        3,
        "The loops set the gate",
        r"\lambda = \frac{L_{\max} - L}{L_{\max}} = "
        rf"\frac{{{most} - {walk.loops}}}{{{most}}} = {walk.gate:.3g}",
        f"λ is the weight of the width path, and 1 − λ = {1 - walk.gate:.3g} is the weight of the depth path. λ "
        "depends only on the number of loops: more loops mean less width.",
    )
    step(
        4,
        "The depth path",
        r"\begin{gathered} H(0) = H \\ H(l) = H(l-1) + f(H(l-1)) \\ Y_{\mathrm{depth}} = H(L) \end{gathered}",
        f"The shared FFN f ran {walk.loops} {'time' if walk.loops == 1 else 'times'}. The token exited with the state "
        f"H({walk.loops}), of length {walk.depth_norm:.4g}.",
    )
    panel("recursion_states", main=True)
    router(walk)
    balance = "the same up to rounding" if walk.residual <= walk.allowed else "**not the same**"
    step(
        6,
        "Both paths are mixed",
        r"Y = \lambda\, Y_{\mathrm{width}} + (1 - \lambda)\, Y_{\mathrm{depth}}",
        f"The output has length {walk.output_norm:.4g}. Recomputed from the numbers above, it differs from the "
        f"model's own output by {significant(walk.residual, 2)} of what the layer added: {balance}.",
    )
    panel("fusion_plane")
