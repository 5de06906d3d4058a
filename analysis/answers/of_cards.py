"""The answer of a card: what an expert, or a number of loops, serves in a run."""

import pandas as pd

from analysis.answers.answer import Answer, share
from analysis.runs.cards import CANDIDATES, FEWEST, Card
from analysis.texts.chance import BEYOND, FEWEST_TEXTS
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import how_many, isolated, short_label
from analysis.words.numbers import number

MOST_NAMED = 3


def expert_cards(card: Card, view: View = DEFAULT_VIEW) -> Answer:
    """How many tokens made the choice, and which tokens and classes made it beyond chance."""
    row = card.counts.iloc[0]
    name = card.choice.words
    if not row["had"]:
        could = "routed in this layer" if card.choice.loops is None else "count"
        return Answer(f"No token of this run under the filter {could}, so there is no card of {name}.")
    had = "that routed there" if card.choice.loops is None else "that count"
    serves = "serves" if card.choice.loops is None else "is taken by" if card.choice.loops == 1 else "are taken by"
    ends = [number(100 * row[name], 1) for name in ("low", "high")]
    interval = f"; 95% interval over prompts {ends[0]} to {ends[1]}%" if pd.notna(row["low"]) else ""
    text = (
        f"{name[0].upper()}{name[1:]} {serves} {share(row['made'] / row['had'])} of the "
        f"{how_many(int(row['had']), 'token')} {had} ({int(row['made']):,}{interval})."
    )
    if not row["made"]:
        return Answer(text)
    if row["prompts"] < FEWEST_TEXTS:
        return Answer(f"{text} Its tokens are not tested against chance: that takes {FEWEST_TEXTS} prompts.")
    return Answer(f"{text} {_tokens(card)}{_classes(card)}")


def _tokens(card: Card) -> str:
    above = card.tokens[(card.tokens["p_corrected"] < BEYOND) & (card.tokens["lift"] > 1)]
    if not card.compared:
        return f"No token occurs {FEWEST} times, so none is compared."
    if card.compared == 1:
        verb = "is not served" if above.empty else "is served"
        return f"The only token compared {verb} more often than by chance{_named(above)}."
    if above.empty:
        return f"None of the {how_many(card.compared, 'token')} compared is served more often than by chance."
    these = "these" if len(above) > 1 else "one"
    return f"Of {card.compared:,} tokens compared, it serves {these} more often than by chance{_named(above)}."


def _named(tokens: pd.DataFrame) -> str:
    """A colon and the first of these tokens, each with its lift; nothing of none."""
    if tokens.empty:
        return ""
    named = [
        f"“{isolated(short_label(row.text))}” ({number(row.lift, 1)} times as often)" for row in tokens.itertuples()
    ]
    least = "at least " if len(tokens) == CANDIDATES else ""  # others were not looked at by prompt
    more = f" and {least}{len(tokens) - MOST_NAMED:,} more" if len(tokens) > MOST_NAMED else ""
    return f": {', '.join(named[:MOST_NAMED])}{more}"


def _classes(card: Card) -> str:
    table = card.classes[(card.classes["p_corrected"] < BEYOND) & (card.classes["lift"] > 1)]
    if table.empty:
        return " No class of token stands out."
    top = table.sort_values("lift", ascending=False).iloc[0]
    return f" Of the classes, {top['class']} stands out most ({number(top['lift'], 1)} times as often)."


__all__ = ["expert_cards"]
