"""How much the slices of the FFN, which are its experts, contribute to the steps of the loops."""

import numpy as np
import pandas as pd
from jaxtyping import Float

from hooks.slice_trace import SliceTrace


def slice_use(slices: SliceTrace, layer: int) -> tuple[Float[np.ndarray, "loop expert"], np.ndarray]:
    """Mean share of every slice in the step of each loop over the ordinary tokens that ran it, and their number [loop].

    Rows sum to 1; NaN for a loop that no token ran.
    """
    row = int(np.flatnonzero(slices.layers == layer)[0])
    share, trace = slices.share[row], slices.routing
    tokens = slice(slices.first_token, slices.first_token + share.shape[0])
    ran = trace.loops[layer, tokens, None] >= np.arange(1, share.shape[1] + 1)
    ran &= ~trace.special[tokens, None]
    count = ran.sum(axis=0)
    total = np.where(ran[..., None], share, 0).sum(axis=0)
    return np.divide(total, count[:, None], out=np.full(total.shape, np.nan), where=count[:, None] > 0), count


def slice_table(slices: SliceTrace) -> pd.DataFrame:
    """One row per captured layer x token x loop x expert: share of the step, length, whether the loop ran."""
    row, index, loop, expert = (axis.ravel() for axis in np.indices(slices.share.shape))
    layer, token, trace = slices.layers[row], index + slices.first_token, slices.routing
    return pd.DataFrame(
        {
            "layer": layer,
            "token": token,
            "text": np.array(trace.tokens, dtype=object)[token],
            "loop": loop + 1,
            "expert": expert,
            "ran": loop < trace.loops[layer, token],
            "share": slices.share.ravel(),
            "norm": slices.norm.ravel(),
        }
    )


__all__ = ["slice_table", "slice_use"]
