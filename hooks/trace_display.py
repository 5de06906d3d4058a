"""How a trace shows itself: one line at the prompt, and in a notebook its tokens, shaded by their loops."""

from html import escape

MOST_TOKENS = 400
"""Tokens shown in a notebook; figures show all."""
SHADE = "46, 117, 182"
"""Red, green and blue of the deepest tokens."""


def one_line(trace) -> str:
    """The sizes of a RoutingTrace and where it comes from, in at most 200 characters."""
    model = str(trace.meta.get("model", "unknown"))
    count = len(trace.interventions)
    done = f", {count} intervention{'s' * (count > 1)}" if count else ""
    text = "".join(trace.tokens)
    shown = text if len(text) <= 40 else text[:39] + "…"
    return (
        f"RoutingTrace({shown!r}: {trace.num_tokens} tokens, {trace.num_layers} layers, up to {trace.max_loops} loops, "
        f"{trace.num_experts} experts, model {model[:40]!r}{done})"
    )


def strip_html(trace) -> str:
    """The tokens of a RoutingTrace, each shaded by its mean loops over layers; pointing at one tells its numbers."""
    mean = trace.loops.mean(axis=0)
    cells = []
    for token, text in enumerate(trace.tokens[:MOST_TOKENS]):
        depth = (mean[token] - 1) / max(trace.max_loops - 1, 1)
        layers = ", ".join(map(str, trace.loops[:, token].tolist()))
        told = f"token {token}: {mean[token]:.2f} loops in the mean over layers (by layer, from 0: {layers})"
        edge = "border:1px dashed currentColor;" if trace.special[token] else ""
        cells.append(
            f'<span title="{escape(told)}" style="background:rgba({SHADE},{0.05 + 0.6 * depth:.2f});{edge}'
            f'padding:1px 2px;margin:1px;border-radius:2px;display:inline-block;white-space:pre">{escape(text)}</span>'
        )
    more = trace.num_tokens - MOST_TOKENS
    rest = f" and {more:,} more tokens" if more > 0 else ""
    weights = str(trace.meta.get("weights_sha256") or "unknown")[:12]
    changed = ", changed since they were loaded" if trace.meta.get("weights_changed") else ""
    noise = " Gates untrained: routing is noise." if trace.meta.get("gates_trained") is False else ""
    done = "".join(f" {each.words()}." for each in trace.interventions)
    about = (
        f"Tokens shaded by their loops, 1 (light) to {trace.max_loops} (dark), in the mean over {trace.num_layers} "
        f"layers. Model {trace.meta.get('model', 'unknown')}, weights {weights}{changed}.{noise}{done}"
    )
    return (
        f'<div style="font-family:monospace;line-height:1.7">{"".join(cells)}{rest}</div>'
        f'<div style="font-size:85%;opacity:0.8">{escape(about)}</div>'
    )


__all__ = ["one_line", "strip_html"]
