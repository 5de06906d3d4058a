"""Schedules of a training run: learning rate, Gumbel temperature, and the steps with intermediate checkpoints."""

import math

TAU_START, TAU_FLOOR, TAU_FLOOR_AT = 5.0, 0.1, 0.7
LR_FLOOR, WARM_UP = 0.1, 0.05


def learning_rate(peak: float, progress: float) -> float:
    """Linear warm-up over the first 5 % of the run, then a cosine to 10 % of the peak; progress in 0..1."""
    if progress < WARM_UP:
        return peak * (progress + 1e-3) / (WARM_UP + 1e-3)
    cosine = 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))
    return peak * (LR_FLOOR + (1 - LR_FLOOR) * cosine)


def tau_schedule(progress: float) -> float:
    """Gumbel temperature: geometric from 5 to 0.1 over the first 70 % of the run, then at its floor."""
    return TAU_START * (TAU_FLOOR / TAU_START) ** min(progress / TAU_FLOOR_AT, 1.0)


def checkpoint_steps(count: int, steps: int) -> list[int]:
    """The steps after which an intermediate checkpoint is saved: `count` steps from 0 (untrained) to `steps`.

    Their distance grows (squares of an even spacing), since routing changes most at the start. Fewer than `count` if
    the run is too short for different steps; none for a count of 0.
    """
    if count == 0:
        return []
    return sorted({round(steps * (i / (count - 1)) ** 2) for i in range(count)})


__all__ = [
    "LR_FLOOR",
    "TAU_FLOOR",
    "TAU_FLOOR_AT",
    "TAU_START",
    "WARM_UP",
    "checkpoint_steps",
    "learning_rate",
    "tau_schedule",
]
