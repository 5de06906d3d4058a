"""Lambda, the gate: how the share of the width path follows from the loops that a token takes. Imports nothing."""


def width_share(loops, max_loops: int):
    """lambda = (max_loops - loops) / max_loops, the share of the width path in a layer's output.

    The depth path has the share 1 - lambda. A token that takes all loops has lambda 0 and does not route. `loops`, from
    1 to max_loops, is a number, array or tensor of actual or expected loops; the result is of the same kind.
    """
    return (max_loops - loops) / max_loops


__all__ = ["width_share"]
