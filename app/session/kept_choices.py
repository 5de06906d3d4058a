"""The choices that outlive a session, in the browser's tab or in a link: which there are, and what they may be.

Choices at their default are left out. Those that come back are checked one by one, since anybody can write a link:
what this app does not offer is left out too.
"""

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import streamlit as st

from analysis.catalogue import CATALOGUE
from analysis.figures.runs.token_map import COLOURS
from analysis.runs.vectors import BLOCKS
from analysis.words.search import MEASURES
from analysis.words.strip import QUANTITIES
from app.limits import MOST_CHOICES_BYTES
from app.session import (
    card_choice,
    choices,
    comparing,
    knock_outs,
    prompt_list,
    run_choice,
    search_form,
    state,
    targets,
    text_study,
    token_maps,
    umap_maps,
    what_if,
)
from app.session.folds import open_folds, unfold
from app.texts.packing import packed, unpacked

Check = Callable[[Any], bool]
LONGEST_WORDS = 200
MAP_TOKENS = "map_tokens"
"""Entry of the tokens that were chosen on a map."""
_STEP_OF = re.compile(r"step-of-(\d{1,3})")
_ASKED = ("half_precision_of", "removed_of", "training_read")
"""Results that the visitor has asked for, as (what they are of, ...): they are computed anew where they are shown."""


def _one_of(*values: Any) -> Check:
    return lambda value: isinstance(value, str) and value in values


def _words(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_WORDS


def _number(kind: type) -> Check:
    """Exactly this kind of number: the field of the form takes no other."""
    return lambda value: type(value) is kind and abs(value) < 10**6


def _some_of(*values: Any) -> Check:
    return lambda found: isinstance(found, list) and all(isinstance(each, str) and each in values for each in found)


def _count(value: Any) -> bool:
    """A number of a layer, an expert or loops; pages forget what their run has not."""
    return type(value) is int and 0 <= value < 10**6


@cache
def _offered() -> dict[str, tuple[Any, Check]]:
    """Key in the session -> the default, and what tells whether another value is one that the app offers."""
    offered: dict[str, tuple[Any, Check]] = {
        "level": ("token", _one_of("token", "word")),
        state.CHAT_KEY: (False, lambda value: isinstance(value, bool)),
        **{key: (default, _words) for key, default in targets.TARGETS.items()},
        text_study.CHOICE_KEY: (text_study.SAMPLE, _one_of(text_study.SAMPLE, text_study.OWN, text_study.RUN)),
        knock_outs.THEN_KEY: (next(iter(knock_outs.THENS)), _one_of(*knock_outs.THENS)),
        umap_maps.LAYERS_KEY: (umap_maps.ONE, _one_of(umap_maps.ONE, umap_maps.ALL)),
        search_form.TEXT_KEY: ("", _words),
        search_form.QUANTITY_KEY: (None, _one_of(*MEASURES)),
        prompt_list.FILTER: ("", _words),
        card_choice.KIND: (next(iter(card_choice.KINDS)), _one_of(*card_choice.KINDS)),
        **{key: (0, _count) for key in (card_choice.LAYER, card_choice.EXPERT)},
        card_choice.LOOPS: (None, _count),
        comparing.FIGURE_KEY: (comparing.FIRST_BESIDE, _one_of(*(each.name for each in comparing.BESIDE))),
        **{
            comparing.option_key(each.name): (each.choice.default, _one_of(*each.choice.labels))
            for each in comparing.BESIDE
            if each.choice
        },
        what_if.AGAINST_KEY: (what_if.OWN, _one_of(what_if.OWN, *what_if.PINS)),
    }
    for figure_spec in CATALOGUE:
        if choice := figure_spec.choice:
            offered[choices.choice_key(figure_spec)] = (choice.default, _one_of(*choice.labels))
    for quantity, measure in MEASURES.items():
        offered[search_form.part_key(quantity, "comparison")] = (None, _one_of(*measure.comparisons))
        offered[search_form.part_key(quantity, "value")] = (None, _number(search_form.kind_of_value(quantity)))
        offered[search_form.part_key(quantity, "where")] = (None, lambda value: _words(value) or type(value) is int)
    offered |= {
        token_maps.METHOD: (token_maps.PCA, _one_of(token_maps.PCA, token_maps.UMAP)),
        token_maps.COUNT: (token_maps.USUAL_COUNT, lambda value: type(value) is int and value in token_maps.COUNTS),
        token_maps.SEED: (0, lambda value: _count(value) and value <= token_maps.MOST_SEEDS),
        token_maps.BLOCKS: (None, _some_of(*BLOCKS)),
        token_maps.COLOUR: (next(iter(COLOURS)), _words),
        token_maps.LAYER: (None, _count),
    }
    return offered


def chosen() -> dict[str, Any]:
    """The choices that are not at their default, as JSON has them."""
    session = st.session_state
    made = {key: session[key] for key, (default, _) in _offered().items() if session.get(key, default) != default}
    made |= {key: session[key] for key in session if _STEP_OF.fullmatch(str(key))}
    if colouring := choices.chosen_colouring():
        made["colouring"] = colouring
    if folds := open_folds():
        made["folds"] = folds
    if of_run := run_choice.chosen_as_json():
        made["run"] = of_run
    if pinned := what_if.pinned_as_json():
        made["pinned"] = pinned
    if tokens := token_maps.kept():
        made[MAP_TOKENS] = tokens
    return made


def choose(found: Any) -> None:
    """Make the choices that `chosen` gave; whatever is not one is left out."""
    offered = _offered()
    for key, value in found.items() if isinstance(found, dict) else ():
        step = _STEP_OF.fullmatch(key)
        if offered[key][1](value) if key in offered else step and value in range(int(step[1])):
            st.session_state[key] = value
        elif key == "folds":
            unfold(value)
        elif key == "run":
            run_choice.choose_from_json(value)
        elif key == "pinned":
            what_if.pin_from_json(value)
        elif key == "colouring" and isinstance(value, list) and len(value) == 3:
            quantity, scope, for_good = value
            if quantity in QUANTITIES and scope in choices.SCOPES:
                choices.give_colouring(quantity, scope, for_good=for_good is True)
    if isinstance(found, dict):
        token_maps.take_kept(found.get(MAP_TOKENS))  # a part of the filter, which the run's entry begins anew


def choices_to_link() -> str:
    """The choices for the query of a link; empty if there are none. A link has no list, so none is chosen in it, and no
    tokens that were chosen on a map, which may be 100,000."""
    made = chosen()
    for key in (text_study.CHOICE_KEY, MAP_TOKENS):
        made.pop(key, None)
    return packed(json.dumps(made)) if made else ""


def choose_as_in_link(value: str) -> None:
    """Make the choices of a link; of a damaged one none."""
    try:
        found = json.loads(unpacked(value[:MOST_CHOICES_BYTES], MOST_CHOICES_BYTES))
    except (ValueError, RecursionError):
        state.tell_problem("The choices in this link are damaged; the rest of the link is shown.")
        return
    choose(found)


def asked() -> dict[str, Any]:
    """What tells which results of the current text the visitor has asked for, as JSON has it."""
    session = st.session_state
    wanted = {key: session[key] for key in _ASKED if session.get(key)}
    if text_study.list_is_studied():
        wanted[text_study.LIST_STUDIED] = True
    return wanted | ({"faithfulness_of": of[:2]} if (of := session.get("faithfulness_of")) else {})


def ask_again(found: Any) -> None:
    """Take back what `asked` gave, as far as it can mean a result of this app."""
    session, found = st.session_state, found if isinstance(found, dict) else {}
    session[text_study.LIST_STUDIED] = found.get(text_study.LIST_STUDIED) is True
    match found.get("half_precision_of"):
        case [str(model), str(text)]:
            session.half_precision_of = model, text
    match found.get("removed_of"):
        case [str(model), str(text), int(token), [int(target), int() | None as against]]:
            session.removed_of = model, text, token, (target, against)
    match found.get("training_read"):
        case [[str(model), str(text)], int(done)] if done > 0:
            session.training_read = (model, text), done
    match found.get("faithfulness_of"):
        case [str(model), str(text)]:
            session.faithfulness_of = model, text, None


__all__ = ["ask_again", "asked", "choices_to_link", "choose", "choose_as_in_link", "chosen"]
