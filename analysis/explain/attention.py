"""Attention and routing: which tokens the heads of a token read, and how those were routed."""

import numpy as np
import pandas as pd
from jaxtyping import Bool

from analysis.aggregate import ordinary
from analysis.explain.ledger import TOLERANCE
from analysis.words.numbers import significant
from hooks.attention_trace import AttentionTrace


def mismatch(attention: AttentionTrace, layer: int) -> str | None:
    """One sentence for the figure to show instead if the weights do not rebuild what the layer's attention wrote."""
    gap, allowed = float(attention.gap[layer]), TOLERANCE[attention.routing.meta.get("dtype", "float32")]
    if gap <= allowed:
        return None
    return (
        f"Not drawn: the attention weights rebuild the stream only within {significant(gap, 2)} of it, more than "
        f"{significant(allowed, 1)}, so they are not what the model read with."
    )


def counted(attention: AttentionTrace) -> Bool[np.ndarray, " read"]:
    """True for the tokens that count in shares: ordinary tokens before the reading one."""
    is_counted = ordinary(attention.routing)[attention.reads].copy()
    is_counted[-1] = False
    return is_counted


def attention_table(attention: AttentionTrace) -> pd.DataFrame:
    """One row per layer x head x token read: the weight, and how the token read was routed in the same layer."""
    trace = attention.as_read
    layer, head, read = (axis.ravel() for axis in np.indices(attention.pattern.shape))
    read += attention.first_read
    return pd.DataFrame(
        {
            "token": attention.token,
            "text": trace.tokens[attention.token],
            "layer": layer,
            "head": head,
            "read_token": read,
            "read_text": np.array(trace.tokens, dtype=object)[read],
            "read_special": trace.special[read],
            "weight": attention.pattern.ravel(),
            "read_loops": trace.loops[layer, read],
            "read_gate": trace.gate[layer, read],
            "read_width_ran": trace.width_ran[layer, read],
        }
    )


def attention_by_loops(attention: AttentionTrace) -> pd.DataFrame:
    """One row per layer x number of loops: the attention, mean over heads, on the counted tokens with these loops.

    `attention_share` and `token_share` sum to 1 over a layer; the second is the mean of the first if the loops are
    shuffled among the counted tokens. Both are NaN without a counted token. `counted_weight` is the layer's attention
    on all counted tokens. `did_not_route`: there are tokens with these loops, and none of them routed.
    """
    trace, is_counted = attention.as_read, counted(attention)
    weight = attention.pattern.mean(axis=1, dtype=np.float64)[:, is_counted]  # [layer, counted]
    loops, ran = (values[:, attention.reads][:, is_counted] for values in (trace.loops, trace.width_ran))
    at = loops == np.arange(1, trace.max_loops + 1)[:, None, None]  # [loop, layer, counted]
    tokens, whole = at.sum(axis=2), weight.sum(axis=1)
    routed = (at & ran).any(axis=2)
    nothing = np.full(tokens.shape, np.nan)
    layer = np.arange(trace.num_layers)
    columns = {
        "attention_share": np.divide((at * weight).sum(axis=2), whole, out=nothing.copy(), where=whole > 0),
        "token_share": tokens / is_counted.sum() if is_counted.any() else nothing,
        "tokens": tokens,
        "did_not_route": (tokens > 0) & ~routed,
        "counted_weight": np.broadcast_to(whole, tokens.shape),
    }
    return pd.DataFrame(
        {
            "token": attention.token,
            "layer": np.repeat(layer, trace.max_loops),
            "loops": np.tile(np.arange(1, trace.max_loops + 1), len(layer)),
            **{name: values.T.ravel() for name, values in columns.items()},
        }
    )


__all__ = ["attention_by_loops", "attention_table", "counted", "mismatch"]
