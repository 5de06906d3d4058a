"""Occurrences of what a card counts, in the text around them."""

from collections.abc import Sequence

import pandas as pd

from analysis.runs.choices import Choice, weight_of
from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.occurrences import names_of_prompts, plain_text, tokens_around
from analysis.runs.run import Run

AROUND, COUNT = 8, 12
"""Tokens before and after, and most occurrences."""


def contexts(
    run: Run,
    choice: Choice,
    chosen: TokenFilter = ALL_TOKENS,
    token_ids: Sequence[int] = (),
    *,
    count: int = COUNT,
    seed: int = 0,
) -> pd.DataFrame:
    """Tokens that made a choice, drawn at random, in the text around: at most `count` of those that count.

    With `token_ids`, only occurrences of these tokens. One row each, in the order of the run: prompt, prompt_id,
    source, token, before, text, after, loops and weight (of the expert; NaN for a choice of loops). `before` and
    `after` are the text of AROUND tokens or fewer, on one line.
    """
    choice.check(run.sizes)
    where, values = chosen.where(run.sizes)
    only = " AND list_contains(?, token_id)" if token_ids else ""
    made = choice.made(run.sizes)
    drawn = run.ask(
        f"SELECT prompt, token FROM tokens WHERE {where} AND {made}{only} "
        f"ORDER BY hash(prompt, token, {int(seed)}) LIMIT {int(count)}",
        [*values, *([list(token_ids)] if token_ids else [])],
    )
    drawn = drawn.sort_values(["prompt", "token"], ignore_index=True)
    columns = f"text, loops[{choice.layer + 1}] AS loops, {weight_of(choice, run.sizes)} AS weight"
    around, told = tokens_around(run, drawn, AROUND, columns), names_of_prompts(run, drawn["prompt"])
    texts = around["text"].to_dict()

    def joined(prompt: int, places: range) -> str:
        return plain_text(texts[prompt, place] for place in places if (prompt, place) in texts)

    cells = list(zip(drawn["prompt"].tolist(), drawn["token"].tolist(), strict=True))
    return drawn.join(around, on=["prompt", "token"]).assign(
        before=[joined(prompt, range(token - AROUND, token)) for prompt, token in cells],
        after=[joined(prompt, range(token + 1, token + AROUND + 1)) for prompt, token in cells],
        prompt_id=[told["prompt_id"].get(prompt) for prompt, _ in cells],
        source=[told["source"].get(prompt) for prompt, _ in cells],
    )[["prompt", "prompt_id", "source", "token", "before", "text", "after", "loops", "weight"]]


__all__ = ["AROUND", "COUNT", "contexts"]
