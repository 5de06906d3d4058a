"""How a trace shows itself: one line at the prompt, and in a notebook its tokens, shaded by their loops."""

from html import escape

MOST_TOKENS = 400
"""Tokens shown in a notebook; figures show all."""
SHADE = "46, 117, 182"
"""Red, green and blue of the deepest tokens."""


def one_line(trace) -> str:
    """The sizes of a RoutingTrace and where it comes from, in at most 200 characters."""
    model = str(trace.meta.get("model", "unknown"))
    sizes = [_counted(trace.num_tokens, "token"), _counted(trace.num_layers, "layer")]
    sizes += [f"up to {_counted(trace.max_loops, 'loop')}"] if "depth" in trace.parts else []
    sizes += [_counted(trace.num_experts, "expert")] if "width" in trace.parts else []
    done = [_counted(len(trace.interventions), "intervention")] if trace.interventions else []
    text = "".join(trace.tokens)
    shown = text if len(text) <= 40 else text[:39] + "…"
    return f"RoutingTrace({shown!r}: {', '.join([*sizes, f'model {model[:40]!r}', *done])})"


def strip_html(trace) -> str:
    """The tokens of a RoutingTrace, each shaded by its mean loops over layers; pointing at one tells its numbers.

    Of a model that chooses no loops the tokens have no shade, and pointing at one tells its experts, if it has any.
    """
    mean, depth = trace.loops.mean(axis=0), "depth" in trace.parts
    cells = []
    for token, text in enumerate(trace.tokens[:MOST_TOKENS]):
        share = (mean[token] - 1) / max(trace.max_loops - 1, 1)
        shade = f"background:rgba({SHADE},{0.05 + 0.6 * share:.2f});" if depth else ""
        edge = "border:1px dashed currentColor;" if trace.special[token] else ""
        cells.append(
            f'<span title="{escape(_told(trace, token))}" style="{shade}{edge}'
            f'padding:1px 2px;margin:1px;border-radius:2px;display:inline-block;white-space:pre">{escape(text)}</span>'
        )
    more = trace.num_tokens - MOST_TOKENS
    rest = f" and {more:,} more tokens" if more > 0 else ""
    weights = str(trace.meta.get("weights_sha256") or "unknown")[:12]
    changed = ", changed since they were loaded" if trace.meta.get("weights_changed") else ""
    noise = " Gates untrained: routing is noise." if trace.meta.get("gates_trained") is False else ""
    done = "".join(f" {each.words()}." for each in trace.interventions)
    layers, family = _counted(trace.num_layers, "layer"), trace.meta.get("family", "model")
    what = f"A {family} with {layers}, which chooses no loops."
    if depth:
        what = f"Tokens shaded by their loops, 1 (light) to {trace.max_loops} (dark), in the mean over {layers}."
    about = f"{what} Model {trace.meta.get('model', 'unknown')}, weights {weights}{changed}.{noise}{done}"
    return (
        f'<div style="font-family:monospace;line-height:1.7">{"".join(cells)}{rest}</div>'
        f'<div style="font-size:85%;opacity:0.8">{escape(about)}</div>'
    )


def _told(trace, token: int) -> str:
    """What a token did, in words."""
    if "depth" in trace.parts:
        mean, layers = trace.loops[:, token].mean(), ", ".join(map(str, trace.loops[:, token].tolist()))
        return f"token {token}: {mean:.2f} loops in the mean over layers (by layer, from 0: {layers})"
    ran = [str(trace.expert_ids[layer, token].tolist()) for layer in trace.width_ran[:, token].nonzero()[0]]
    return f"token {token}: experts {', '.join(ran)} (by layer that routed)" if ran else f"token {token}"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


__all__ = ["one_line", "strip_html"]
