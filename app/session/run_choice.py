"""The run that the visitor looks at, and which of its tokens count: every page about a run obeys both."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from analysis.runs.atlas import Atlas
from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.run import Run
from app.server import runs
from app.session import own_run

RUN_KEY, FILTER = "run", "run_filter"
"""Keys of the name of the chosen run, and of the chosen `TokenFilter`."""
_RESET = "run_filter_set"
BEHIND = "run_behind"
"""Key of what is common to the tokens whose texts are shown."""


def run_names() -> list[str]:
    """Names of the runs to choose from, the default first."""
    return list(_folders())


def run_name() -> str | None:
    """Name of the chosen run, or of the first; None if there is none."""
    names, chosen = run_names(), st.session_state.get(RUN_KEY)
    return chosen if chosen in names else next(iter(names), None)


def run_folder() -> Path | None:
    """Folder of the chosen run; None if there is none."""
    return _folders().get(run_name())


def _folders() -> dict[str, Path]:
    """Those that the server offers to everybody, and the one of this visitor's own file."""
    return runs.folders() | own_run.offered()


def choose_run(name: str) -> None:
    """Choose the run with this name."""
    st.session_state[RUN_KEY] = name


def current_run() -> Run | None:
    """The chosen run; None if there is none. Raises RunError, in a sentence, if it is gone or damaged."""
    return runs.opened(folder) if (folder := run_folder()) else None


def chosen_filter() -> TokenFilter:
    """Which tokens of the chosen run count, as far as it has what the filter names. Raises RunError like
    `current_run`."""
    run, chosen = current_run(), st.session_state.get(FILTER, ALL_TOKENS)
    if chosen.among is not None and chosen.among.name != run_name():
        chosen = replace(chosen, among=None)  # chosen in another run
    return chosen.fitting(run.sizes, run.manifest.others) if run else chosen


def current_atlas() -> Atlas | None:
    """The chosen run under the chosen filter, as answers and figures take it; None if there is no run. Raises RunError
    like `current_run`, as do its tables."""
    if (run := current_run()) is None:
        return None
    chosen = chosen_filter()
    return Atlas(run_name(), run.meta, run.sizes, chosen, partial(runs.table, run_folder(), chosen))


def why_none() -> str | None:
    """Why no run can be shown, in a sentence; None if one can."""
    try:
        return None if current_run() else "There is no run to show."
    except runs.RunError as error:
        return str(error)


def choose_filter(chosen: TokenFilter) -> None:
    """Have these tokens count. Widgets that show the filter are drawn with it anew: `filter_number`."""
    st.session_state[FILTER] = chosen
    st.session_state[_RESET] = filter_number() + 1


def narrow(**changes: Any) -> None:
    """Change parts of the filter: the fields of `TokenFilter`."""
    choose_filter(replace(st.session_state.get(FILTER, ALL_TOKENS), **changes))


def forget_unknown() -> None:
    """Choose the first run if the chosen one is not offered any more. Call this before the choice is drawn."""
    if st.session_state.get(RUN_KEY) not in (None, *run_names()):
        del st.session_state[RUN_KEY]


def look_behind(what: Any, value: Any, layer: Any) -> None:
    """Show the tokens behind a part of a figure: those with `value` loops or the expert `value`, in a layer.

    Where `what` is "token", `value` is a list: the id of the token, "loops" or "expert", and their number. All of it
    comes from the browser: what the chosen run does not have is not shown.
    """
    try:
        part = {}
        if what == "token":
            token_id, what, value = value
            part = {"token_ids": [token_id]}
        part |= {"loops": [value]} if what == "loops" else {"expert": value} if what == "expert" else {}
        run = current_run()
        found = TokenFilter.from_json(part | {"layer": layer})
    except (ValueError, TypeError):
        return
    if run and found == found.fitting(run.sizes, ()):
        st.session_state[BEHIND] = found


def behind() -> TokenFilter | None:
    """What the tokens have in common that are shown in their texts; None if none are."""
    return st.session_state.get(BEHIND)


def forget_behind() -> None:
    """Show no tokens behind a part any more."""
    st.session_state.pop(BEHIND, None)


def narrow_to_behind() -> None:
    """Count only the tokens that are shown in their texts.

    A filter has one layer for all its conditions, so those that it had on another layer give way.
    """
    if (part := behind()) is None:
        return
    forget_behind()
    had = st.session_state.get(FILTER, ALL_TOKENS)
    in_layer = had if had.layer == part.layer else ALL_TOKENS
    narrow(
        layer=part.layer,
        loops=part.loops or in_layer.loops,
        expert=in_layer.expert if part.expert is None else part.expert,
        token_ids=part.token_ids or had.token_ids,
    )


def filter_number() -> int:
    """A number that changes whenever the filter is changed: part of the keys of widgets that show it."""
    return st.session_state.get(_RESET, 0)


def chosen_as_json() -> dict[str, Any]:
    """Run and filter as JSON, for links and for the browser's tab; nothing that is at its default."""
    session, made = st.session_state, {}
    if (name := session.get(RUN_KEY)) and name != next(iter(run_names()), None):
        made["name"] = name
    if (chosen := session.get(FILTER, ALL_TOKENS)) != ALL_TOKENS:
        made["filter"] = chosen.as_json()
    return made


def choose_from_json(found: Any) -> None:
    """Choose what `chosen_as_json` gave; anything else is left out."""
    found = found if isinstance(found, dict) else {}
    if found.get("name") in run_names():
        st.session_state[RUN_KEY] = found["name"]
    try:
        choose_filter(TokenFilter.from_json(found.get("filter", {})))
    except ValueError:
        return


__all__ = [
    "RUN_KEY",
    "behind",
    "choose_filter",
    "choose_from_json",
    "choose_run",
    "chosen_as_json",
    "chosen_filter",
    "current_atlas",
    "current_run",
    "filter_number",
    "forget_behind",
    "forget_unknown",
    "look_behind",
    "narrow",
    "narrow_to_behind",
    "run_folder",
    "run_name",
    "run_names",
    "why_none",
]
