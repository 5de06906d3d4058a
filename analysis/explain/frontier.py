"""The compute-quality frontier: what a text loses under each gate against the FFN passes that it takes."""

import numpy as np
import pandas as pd

from hooks.frontier_record import RULES, SCOPES, Frontier, GateSweep

RULE_WORDS = {
    "learned": "learned gate",
    "random": "its loops, shuffled",
    "always": "always the same loops",
    "threshold": "thresholds of the depth head moved",
    "change": "leave after a short step",
    "entropy": "leave at a low lens entropy",
    "oracle": "oracle, greedy per cell",
}
"""Rule -> its name in figures and sentences."""


def frontier_table(found: Frontier) -> pd.DataFrame:
    """One row per pass: rule, its setting, mean loops, loss in nats per token, and loss minus the learned gate's."""
    table = pd.DataFrame({"rule": found.rule, "setting": found.setting, "loops": found.loops, "loss": found.loss})
    return table.assign(more=table["loss"] - table["loss"].iloc[0])


def curve(found: Frontier, rule: str) -> tuple[np.ndarray, np.ndarray]:
    """(loops, loss) of a rule's points by rising loops; random deals, which all cost the same, are one mean point."""
    here = np.array([each == rule for each in found.rule])
    loops, loss = found.loops[here], found.loss[here]
    if rule == "random" and len(loops):
        return loops[:1], np.array([loss.mean()])
    order = np.argsort(loops, kind="stable")
    return loops[order], loss[order]


def at_learned_cost(found: Frontier) -> pd.DataFrame:
    """One row per other rule: loss at the learned gate's mean loops minus the learned gate's loss, nats per token.

    Between two points of a rule the loss is interpolated, as of passes that use one setting or the other in turn. NaN
    where the rule has no points on both sides of that cost.
    """
    cost, loss = found.loops[0], found.loss[0]
    rows = []
    for rule in RULES[1:]:
        loops, lost = curve(found, rule)
        reached = len(loops) > 0 and loops[0] - 1e-9 <= cost <= loops[-1] + 1e-9
        rows.append((rule, float(np.interp(cost, loops, lost)) - loss if reached else np.nan))
    return pd.DataFrame(rows, columns=["rule", "more"])


def gate_sweep_table(found: GateSweep) -> pd.DataFrame:
    """One row per scope x forced lambda: the change of the mean surprisal that the scope can change, nats.

    Scope "next" is the cell's own next prediction alone.
    """
    values = {"next": found.own, **dict(zip(SCOPES, found.loss, strict=True))}
    rows = [
        (
            scope,
            None if scope == "model" else found.layer,
            found.token if scope in ("next", "cell") else None,
            gate,
            change,
        )
        for scope, row in values.items()
        for gate, change in zip(found.gate.tolist(), row.tolist(), strict=True)
    ]
    table = pd.DataFrame(rows, columns=["scope", "forced_layer", "forced_token", "gate", "change"])
    return table.astype({"forced_layer": "Int64", "forced_token": "Int64"})


__all__ = ["RULE_WORDS", "at_learned_cost", "curve", "frontier_table", "gate_sweep_table"]
