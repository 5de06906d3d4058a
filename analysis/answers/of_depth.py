"""The answer about forced depth: whether the loops that ran were the best ones."""

import numpy as np

from analysis.answers.answer import Answer, a_layer, a_token, answer, share
from analysis.explain.regret import best_loops, cells_of, choices_by_chance, gates_compared, regret
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import how_many
from analysis.words.numbers import number
from hooks.depth_effects import DepthEffects


def forced_depth(effects: DepthEffects, view: View = DEFAULT_VIEW) -> Answer:
    """How often the choice was best, beside a random deal and the same loops for all, and where it cost most."""
    trace, cells = effects.routing, cells_of(effects)
    if trace.max_loops == 1:
        return Answer("This model has only one loop, so there is no other depth to force.")
    if not cells.counted.any():
        return Answer("None of the text's own tokens was run.")
    table = gates_compared(cells).set_index("gate")
    best, by_chance = choices_by_chance(cells)
    same = max(int(np.floor(table.loc["learned", "loops"] + 1e-9)), 1)  # as many as cost no more
    ran = int(cells.counted.sum())
    begun = "" if effects.complete else f" of the {how_many(ran, 'token')} run so far"
    lost = np.where(cells.counted, regret(cells), -1.0)
    layer, token = np.unravel_index(int(lost.argmax()), lost.shape)
    often = (
        f"Where one number is best, it ran in {share(best)} (shuffled, {share(by_chance)}). "
        if np.isfinite(best)
        else ""
    )
    return answer(
        f"Forced one at a time in {how_many(ran * trace.num_layers, 'cell')} (a token in a layer){begun}, the best "
        "number of loops would predict the next token better than the one that ran, by "
        f"{number(table.loc['learned', 'regret'], 3)} nats on average. With the same loops, shuffled, this gap "
        f"is {_larger(table.loc['random', 'more'])}; with always {how_many(same, 'loop')}, it is "
        f"{_larger(table.loc[f'always {same}', 'more'])}. {often}",
        a_token(trace, token, layer=int(layer)),
        " missed most, ",
        f"{number(lost[layer, token], 3)} in ",
        a_layer(int(layer)),
        f" ({how_many(int(best_loops(cells)[layer, token]), 'loop')} instead of {int(cells.chosen[layer, token])}).",
    )  # fmt: skip


def _larger(value: float) -> str:
    return f"{number(abs(value), 3)} {'larger' if value >= 0 else 'smaller'}"


__all__ = ["forced_depth"]
