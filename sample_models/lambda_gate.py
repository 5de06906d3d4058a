"""The law of the gate: how lambda follows from the loops that a token takes. It needs no library."""


def width_share(loops, max_loops: int):
    """lambda = (max_loops - loops) / max_loops: share of the width path in a layer's output; 1 - lambda is depth's.

    0 for a token with all loops, which does not route. `loops`, from 1 to max_loops, is a number, an array or a tensor,
    whole or expected, and so is the answer.
    """
    return (max_loops - loops) / max_loops


__all__ = ["width_share"]
