"""The texts behind a number of a run: occurrences of tokens in context, page by page, and the text of a prompt."""

from collections.abc import Iterable

import pandas as pd

from analysis.runs.filters import TokenFilter
from analysis.runs.run import Run
from hooks.token_text import token_bytes

AROUND = 12
"""Tokens of context on each side."""
_COLUMNS = (
    "prompt",
    "token",
    "before",
    "text",
    "after",
    "loops",
    "gate",
    "difficulty",
    "experts",
    "source",
    "prompt_id",
)


def number_of_tokens(run: Run, *chosen: TokenFilter) -> int:
    """How many tokens all these filters leave."""
    where, values = _all(run, chosen)
    return int(run.ask(f"SELECT count(*) AS n FROM tokens WHERE {where}", values)["n"][0])


def occurrences(run: Run, *chosen: TokenFilter, first: int, rows: int, mixed: bool, layer: int | None) -> pd.DataFrame:
    """`rows` of the tokens that all these filters leave, from the `first` on, each with the text before and after it.

    `mixed` takes them in an order that is random and always the same, otherwise in that of the run. loops, gate,
    difficulty and experts are those of the layer or, without one, means over layers and no experts.
    """
    where, values = _all(run, chosen)
    order = "ORDER BY hash(prompt, token), prompt, token" if mixed else ""
    places = run.ask(
        f"SELECT prompt, token FROM tokens WHERE {where} {order} LIMIT {int(rows)} OFFSET {int(first)}", values
    )
    if places.empty:
        return pd.DataFrame(columns=pd.Index(_COLUMNS, dtype=object))
    by_place = tokens_around(run, places, AROUND, f"text, {_decided(run, layer)}")
    of_prompts = names_of_prompts(run, places["prompt"])
    lines = []
    for prompt, token in places.itertuples(index=False):
        around = by_place.loc[prompt]
        row = around.loc[token]
        lines.append(
            {
                "prompt": prompt,
                "token": token,
                "before": plain_text(around["text"][around.index < token].loc[token - AROUND :]),
                "after": plain_text(around["text"][around.index > token].loc[: token + AROUND]),
                **row.to_dict(),
                **of_prompts.loc[prompt].to_dict(),
            }
        )
    return pd.DataFrame(lines)[list(_COLUMNS)]


def tokens_around(run: Run, places: pd.DataFrame, around: int, columns: str) -> pd.DataFrame:
    """Tokens that are at most `around` before or after one of the `places` (prompt, token), or there: `columns` in SQL
    of each, by prompt and token, sorted."""
    wanted = places[["prompt", "token"]].to_numpy().tolist()
    in_prompts, numbers = _in_prompts(places["prompt"])
    near = " OR ".join(["(prompt = ? AND token BETWEEN ? AND ?)"] * len(wanted)) or "false"
    bounds = [each for prompt, token in wanted for each in (prompt, token - around, token + around)]
    found = run.ask(f"SELECT prompt, token, {columns} FROM tokens WHERE {in_prompts} AND ({near})", [*numbers, *bounds])
    return found.set_index(["prompt", "token"]).sort_index()


def names_of_prompts(run: Run, prompts: pd.Series) -> pd.DataFrame:
    """prompt_id and source of prompts, by prompt."""
    in_prompts, numbers = _in_prompts(prompts)
    return run.ask(f"SELECT prompt, prompt_id, source FROM prompts WHERE {in_prompts}", numbers).set_index("prompt")


def _in_prompts(prompts: pd.Series) -> tuple[str, list[int]]:
    """The condition that a row is of one of these prompts, and its parameters. Files of other prompts are not read."""
    numbers = prompts.unique().tolist()
    return (f"prompt IN ({', '.join('?' * len(numbers))})" if numbers else "false"), numbers


def prompt_text(run: Run, prompt: int) -> str:
    """The text of a prompt. Raises ValueError if the run has none of this number."""
    found = run.ask("SELECT text FROM prompts WHERE prompt = ? AND problem IS NULL", [prompt])["text"]
    if found.empty:
        raise ValueError(f"the run has no prompt {prompt}")
    return found[0]


def plain_text(tokens: Iterable[str]) -> str:
    """The text of display strings after each other, on one line."""
    text = b"".join(map(token_bytes, tokens)).decode("utf-8", "replace")
    return text.replace("\r", "").replace("\n", "↵").replace("\t", " ")


def _all(run: Run, chosen: tuple[TokenFilter, ...]) -> tuple[str, list]:
    found = [each.where(run.sizes) for each in chosen]
    return " AND ".join(f"({where})" for where, _ in found) or "true", [v for _, values in found for v in values]


def _decided(run: Run, layer: int | None) -> str:
    """What the model decided about a token, in the layer or over all layers, as columns in SQL."""
    if layer is None:
        means = ", ".join(f"list_avg({name})::DOUBLE AS {name}" for name in ("loops", "gate", "difficulty"))
        return f"{means}, NULL AS experts"
    k = run.sizes.k
    ran = f"list_filter(experts[{layer * k + 1}:{layer * k + k}], lambda e: e IS NOT NULL)"
    values = ", ".join(f"{name}[{layer + 1}]::DOUBLE AS {name}" for name in ("loops", "gate", "difficulty"))
    return f"{values}, array_to_string({ran}, ', ') AS experts"


__all__ = [
    "AROUND",
    "names_of_prompts",
    "number_of_tokens",
    "occurrences",
    "plain_text",
    "prompt_text",
    "tokens_around",
]
