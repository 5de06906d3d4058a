"""Answers about several texts, a list of prompts, and the model itself."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.answers.answer import Answer, Piece, a_layer, answer, share
from analysis.models.facts import model_facts
from analysis.models.health import Check, verdict
from analysis.texts.chance import FEWEST_TEXTS
from analysis.texts.groups import leading_group
from analysis.texts.study import Study
from analysis.texts.validity import MEASURES
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import how_many
from analysis.words.numbers import millions, number, percent
from hooks.trace import RoutingTrace

BEYOND = 0.05
"""A corrected p below this is called beyond chance, as in the figures."""
UNTESTED = f"not tested: this takes {FEWEST_TEXTS} texts"
UNTESTED_PROMPTS = f"not tested against chance: this takes {FEWEST_TEXTS} traced prompts"
SHORT = 20
"""Tokens below which a prompt is called short."""
LONGEST, LONGEST_NAME = 24, 40
"""Letters of the name of a column or group, and of a prompt."""


def what_decides(study: Study, view: View = DEFAULT_VIEW) -> Answer:
    """How much token, position and the token before it tell of loops and first expert, in texts not counted."""
    table = study.routing_sources
    if table.empty:
        return Answer("One text alone cannot answer this: its routing is predicted from counts in other texts.")
    explained = {key: rows.set_index("layer") for key, rows in table.groupby(["target", "source"])}
    token, position, previous = (explained["loops", source] for source in ("token", "position", "previous"))
    pieces: list[Piece] = [
        f"Over {how_many(study.texts, 'text')}, knowing the token removes {_removed(token, 'its loops')} and "
        f"{_removed(explained['expert', 'token'], 'its first expert')}"
    ]
    if (known := token["explained"].dropna()).empty:
        return answer(*pieces, ".")
    gain = 100 * (previous["explained"] - token["explained"])
    return answer(
        *pieces,
        ". For the loops, the token helps most in ",
        a_layer(known.idxmax()),
        f", position alone removes {_span(position)}, and knowing the token before as well adds "
        f"{number(gain.min(), 0)} to {number(gain.max(), 0)} points.",
    )


def validity(study: Study, view: View = DEFAULT_VIEW) -> Answer:
    """Whether soft difficulty goes with surprisal and frequency, and what it goes with most if that is another."""
    table = study.difficulty_validity["soft"]
    means = table[table["layer"].isna()].set_index("measure")
    known = means["rho"].dropna()
    if known.empty:
        return Answer("These texts are too short to say what difficulty correlates with.")
    directions = [
        _directed(known, means, *each) for each in (("surprisal_read", "surprising"), ("frequency", "frequent"))
    ]
    told = " and ".join(filter(None, directions)) or "not compared with frequency or surprisal"
    text = (
        f"Over {how_many(study.texts, 'text')}, tokens of higher difficulty are {told}. Each ρ is taken within texts, "
        "as a mean over layers."
    )
    if (most := known.abs().idxmax()) not in ("surprisal_read", "surprisal_read_given_frequency", "frequency"):
        text += f" Difficulty correlates most with the {MEASURES[most]} (ρ = {_rho(means.loc[most])})."
    return Answer(text)


def _directed(known: pd.Series, means: pd.DataFrame, measure: str, adjective: str) -> str:
    """Whether tokens of higher difficulty have more or less of a measure; empty if it is not `known`."""
    if measure not in known:
        return ""
    row, given = means.loc[measure], f"{measure}_given_frequency"
    more = f"{'more' if row['rho'] > 0 else 'less'} {adjective}"
    if pd.notna(row["p_corrected"]) and row["p_corrected"] >= BEYOND:
        more = f"neither more nor less {adjective}"
    among = f"; among equally frequent tokens {_rho(means.loc[given])}" if given in known else ""
    return f"{more} (ρ = {_rho(row)}{among})"


def models(trace: RoutingTrace, view: View = DEFAULT_VIEW, *, checks: Sequence[Check] | None = None) -> Answer:
    """What the model is made of, and the verdict of its health check if it was run."""
    facts = model_facts(trace)
    size = f"{millions(facts.parameters)} parameters in " if facts.parameters else ""
    heads = f"; routers and depth heads are {percent(facts.heads_share, 2)} of them" if facts.heads_share else ""
    if facts.family:
        size = f" It has {size.removesuffix(' in ')}." if size else ""
        return Answer(f"{facts.made_of}{size} {' '.join(facts.notes)}".strip())
    text = (
        f"This model has {size}{how_many(facts.layers, 'layer')} with {how_many(facts.experts, 'expert')} and up to "
        f"{how_many(facts.max_loops, 'loop')}{heads}. "
    )
    if checks is None:
        return Answer(text + "Whether its routing can be trusted has not been checked yet.")
    return Answer(f"{text}The health check calls it {verdict(list(checks))}.")


def prompts(table: pd.DataFrame, view: View = DEFAULT_VIEW, *, column: str | None = None) -> Answer:
    """The group of highest difficulty by a `column` of the reader's file, and the prompts of highest and lowest.

    `table` is that of `analysis.texts.summary.summary_table`.
    """
    traced = table[table["difficulty"].notna()]
    if traced.empty and table["loss"].notna().sum() > 1:
        return _by_loss(table)
    if len(traced) < 2:
        return Answer(f"{len(traced):,} of {how_many(len(table), 'prompt')} traced so far; a comparison needs two.")
    hard, easy = (traced.loc[traced["difficulty"].astype(float).agg(which)] for which in ("idxmax", "idxmin"))
    highest, lowest = (_short(each["name"], LONGEST_NAME) for each in (hard, easy))
    text = (
        f"{_leader(table, column)}Of {how_many(len(traced), 'traced prompt')}, “{highest}” has the highest soft "
        f"difficulty ({number(hard['difficulty'])}, mean over tokens and layers) and “{lowest}” the lowest "
        f"({number(easy['difficulty'])})."
    )
    if (shortest := int(min(hard["tokens"], easy["tokens"]))) < SHORT:
        text += f" The shorter one has only {how_many(shortest, 'token')}, and means of short texts scatter more."
    return Answer(text)


def _by_loss(table: pd.DataFrame) -> Answer:
    """The prompts that a model without difficulty predicts worst and best."""
    loss = table["loss"].dropna().astype(float)
    worst, best = (_short(table["name"][at], LONGEST_NAME) for at in (loss.idxmax(), loss.idxmin()))
    return Answer(
        f"Of {how_many(len(loss), 'traced prompt')}, “{worst}” has the highest loss ({number(loss.max())} nats per "
        f"token) and “{best}” the lowest ({number(loss.min())}). This model chooses no loops, so it has no difficulty."
    )


def _leader(table: pd.DataFrame, column: str | None) -> str:
    """Which group of prompts has the highest mean difficulty, and whether that is beyond chance; empty without one."""
    if column is None or (found := leading_group(table, "difficulty", column)) is None:
        return ""
    first, second, last = found.first, found.second, found.last
    high = "" if second == last else f" ({_told(found.p_high)})"
    lead = f"Its lead over “{_short(second.name)}” ({number(second.mean)}, n = {second.prompts:,}) is"
    end = "" if second == last else f", and “{_short(last.name)}” is lowest ({number(last.mean)}, n = {last.prompts:,})"
    return (
        f"By {_short(column)}, “{_short(first.name)}” has the highest mean difficulty: {number(first.mean)}, "
        f"n = {first.prompts:,}{high}. {lead} {_told(found.p_lead)}{end}. "
    )


def _told(p: float) -> str:
    """Whether a group's number is beyond chance."""
    if np.isnan(p):
        return UNTESTED_PROMPTS
    return f"{'beyond' if p < BEYOND else 'within'} chance, p = {number(p, 3)}"


def _short(words: str, longest: int = LONGEST) -> str:
    """The words of a file in one line, cut to `longest` letters."""
    words = " ".join(words.split())
    return words if len(words) <= longest else f"{words[: longest - 1]}…"


def _removed(rows: pd.DataFrame, what: str) -> str:
    """How much of the uncertainty about something is removed, least to most over layers, and where beyond chance."""
    if rows["explained"].isna().all():
        return f"nothing about {what}, where nothing varies"
    tested = rows["p_corrected"].dropna()
    beyond = f"beyond chance in {(tested < BEYOND).sum()} of {how_many(len(rows), 'layer')}"
    return f"{_span(rows)} of the uncertainty about {what} ({UNTESTED if tested.empty else beyond})"


def _span(rows: pd.DataFrame) -> str:
    """Least to most of what is explained, over layers."""
    low, high = share(rows["explained"].min()), share(rows["explained"].max())
    return low if low == high else f"{low} to {high}"


def _rho(row: pd.Series) -> str:
    """A correlation, and whether it is beyond chance."""
    chance = UNTESTED
    if pd.notna(row["p_corrected"]):
        chance = f"{'beyond' if row['p_corrected'] < BEYOND else 'within'} chance"
    return f"{number(row['rho'], signed=True)}, {chance}"


__all__ = ["models", "prompts", "validity", "what_decides"]
