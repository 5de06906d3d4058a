"""What is drawn on the cells and bars of a figure: hover cards, numbers, and the signs of "did not run"."""

import numpy as np

from analysis.palette import THEMES
from analysis.view import View
from analysis.words.labels import plotly_text, token_labels
from analysis.words.numbers import number
from hooks.trace import RoutingTrace


def hover_card(trace: RoutingTrace, view: View) -> dict:
    """Hover card of a map's cells, four lines on every page: token and layer, loops and gate, experts, difficulty.

    customdata [layer, token, 6]: token, layer, loops, lambda, hard and soft difficulty.
    """
    first, end = view.span(trace.num_tokens)
    part = np.s_[:, first:end]
    shape = (trace.num_layers, end - first)
    layer, token = np.indices(shape)
    fields = [token + first, layer, trace.loops[part], trace.gate[part]]
    fields += [trace.difficulty_hard[part], trace.difficulty_soft[part]]
    names = [
        plotly_text(label) + (" (added by the tokenizer)" if special else "")
        for label, special in zip(token_labels(trace, 40)[first:end], trace.special[first:end], strict=True)
    ]
    told = {
        "depth": "loops %{customdata[2]}<br>",
        "gate": "width share %{customdata[3]:.2f}<br>",
        "width": "%{text}<br>",
    }
    lines = "".join(line for part_of, line in told.items() if part_of in trace.parts)
    if "depth" in trace.parts:
        lines += "difficulty %{customdata[4]:.2f} hard, %{customdata[5]:.2f} soft<br>"
    lines = lines.replace("]}<br>width share", "]}, width share")
    return {
        "customdata": np.stack(fields, axis=-1).astype(np.float32),
        "hovertext": np.broadcast_to(np.array(names, dtype=object), shape),
        "text": chosen_experts(trace, first, end),
        "hovertemplate": (
            "<b>%{hovertext}</b><br>token %{customdata[0]}, layer %{customdata[1]}<br>"
            f"{lines.removesuffix('<br>')}<extra></extra>"
        ),
    }


def chosen_experts(trace: RoutingTrace, first: int, end: int) -> np.ndarray:
    """'experts 4 (0.57) 0 (0.43)' or 'did not route' for each cell, [layer, token] of strings."""
    k, ran = trace.expert_ids.shape[2], trace.width_ran[:, first:end]
    ids, weights, wrote = (
        values[:, first:end].reshape(-1, k).tolist()
        for values in (trace.expert_ids, trace.expert_weights, trace.expert_ran)
    )
    lines = np.empty(ran.size, dtype=object)
    for i, routed in enumerate(ran.ravel().tolist()):
        chosen = " ".join(f"{e} ({number(w)})" for e, w, on in zip(ids[i], weights[i], wrote[i], strict=True) if on)
        lines[i] = f"experts {chosen}" if routed else "did not route"
    return lines.reshape(ran.shape)


def numbers(x: np.ndarray, y: np.ndarray, texts: list[str], colours: np.ndarray, **trace_fields) -> list[dict]:
    """Numbers on cells, one text trace per text colour: Plotly's own heat-map numbers are too weak on mid tones."""
    texts = np.asarray(texts, dtype=object)
    return [
        {
            "type": "scatter", "mode": "text", "x": x[colours == colour], "y": y[colours == colour],
            "text": texts[colours == colour], "textfont": {"size": 10, "color": colour}, "hoverinfo": "skip",
            "showlegend": False, **trace_fields,
        }
        for colour in np.unique(colours)
    ]  # fmt: skip


def strokes(x: np.ndarray, y: np.ndarray, view: View, half: float = 0.25, **trace_fields) -> dict:
    """One diagonal stroke per cell that did not run: one line trace with breaks, which stays a vector in exports."""
    gap = np.full(len(x), np.nan)
    return {
        "type": "scatter", "mode": "lines", "name": "did not route", "hoverinfo": "skip", "showlegend": False,
        "line": {"width": 1, "color": THEMES[view.theme]["line"]},
        "x": np.stack([x - half, x + half, gap], axis=1).ravel(),
        "y": np.stack([y - half, y + half, gap], axis=1).ravel(),
        **trace_fields,
    }  # fmt: skip


def hatch(view: View) -> dict:
    """Marker of a bar that stands for 'did not run'."""
    c = THEMES[view.theme]
    pattern = {"shape": "/", "size": 6, "solidity": 0.18, "fgcolor": c["line"], "bgcolor": c["bg"]}
    return {"color": c["bg"], "pattern": pattern, "line": {"width": 1, "color": c["line"]}}
