"""The map of the chosen run's tokens that the visitor looks at, what is drawn around tokens on it, and its UMAP."""

import threading
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from analysis.figures.runs.token_map import category_of, colours_of
from analysis.runs.areas import Area
from analysis.runs.chosen import ChosenTokens
from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.map import FEWEST_TOKENS, TokenMap, umap_map
from analysis.runs.run import Run
from analysis.runs.sampling import TokenSample
from analysis.runs.vectors import blocks_of, usual_blocks
from app.limits import MAX_MAPS
from app.server import runs, token_maps
from app.server.presence import presence
from app.server.runs import RunError
from app.server.token_maps import token_in_context
from app.session import run_choice
from app.session.umap_maps import MapJob, umap_lock
from app.texts.chosen_tokens import chosen_from_text, chosen_to_text

METHOD, COUNT, SEED, BLOCKS, DRAG = "map-method", "map-count", "map-seed", "map-blocks", "map-drag"
"""Keys of the widgets of the page."""
COLOUR, LAYER = "token_map-choice", "token_map-layer"
PCA, UMAP, LASSO = "pca", "umap", "drawclosedpath"
COUNTS = (5_000, 20_000, 50_000, 100_000)
USUAL_COUNT = 20_000
MOST_SEEDS = 9_999
WHAT = (
    "UMAP places the tokens in a plane so that neighbours stay neighbours. It takes from seconds to minutes. Drawing "
    "continues while you look at other pages, and you can stop it."
)
_AREA, _POINT, _JOB, _MAPS, _KEPT = "map_area", "map_point", "map_job", "token_maps", "map_tokens_kept"


@dataclass(frozen=True)
class MapSettings:
    """What a map depends on."""

    folder: Path
    chosen: TokenFilter
    method: str
    count: int
    seed: int
    blocks: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """All but the folder."""
        return {**vars(self), "chosen": self.chosen.as_json(), "folder": None}

    @classmethod
    def from_json(cls, folder: Path, data: dict[str, Any]) -> "MapSettings":
        """What `as_json` gave, of the run in a folder; raises TypeError or ValueError for most of what it did not."""
        chosen = TokenFilter.from_json(data["chosen"])
        return cls(**{**data, "folder": folder, "chosen": chosen, "blocks": tuple(data["blocks"])})


def settings() -> MapSettings:
    """The settings of the page. Raises RunError if the run is gone or damaged."""
    session, run = st.session_state, run_choice.current_run()
    had, chosen = blocks_of(run.sizes), session.get(BLOCKS)
    blocks = usual_blocks(run.sizes) if chosen is None else [block for block in had if block in chosen]
    return MapSettings(
        folder=run_choice.run_folder(),
        chosen=token_maps.drawn_from(run_choice.chosen_filter()),
        method=session.get(METHOD) or PCA,
        count=session.get(COUNT) or USUAL_COUNT,
        seed=session.get(SEED) or 0,
        blocks=tuple(blocks),
    )


def current_map() -> TokenMap | None:
    """The map by these settings: by PCA it is made now, by UMAP it must have been drawn. None if there is none."""
    with suppress(RunError, ValueError):  # `why_no_map` tells both
        return _map_of(settings())
    return None


def why_no_map() -> str | None:
    """Why there is no map to show, in a sentence; None if there is one."""
    try:
        if run_choice.current_run() is None:
            return "There is no run to show."
        chosen = settings()
        if not chosen.blocks:
            return "Choose at least one kind of routing by which tokens are near each other."
        if len(_sample_of(chosen)) < FEWEST_TOKENS:
            found = len(_sample_of(chosen))
            return f"A map needs at least {FEWEST_TOKENS} tokens, and only {found} pass the filter."
        if running_job():
            return f"The map is being drawn. {WHAT}"
        if _map_of(chosen) is None:
            return f"Press the button Draw the map to draw this. {WHAT}"
    except RunError as error:
        return str(error)
    return None


def can_start() -> bool:
    """Whether a map by UMAP is wanted, possible, and not yet drawn or being drawn."""
    chosen = settings()
    wanted = chosen.method == UMAP and chosen.blocks and _map_of(chosen) is None and running_job() is None
    return bool(wanted) and len(_sample_of(chosen)) >= FEWEST_TOKENS


def start() -> None:
    """Start the map by UMAP in the background."""
    chosen = settings()
    job, sample = MapJob(chosen, presence()), _sample_of(chosen)
    args = umap_lock(), lambda: umap_map(sample, chosen.blocks, tell=job.tell)
    threading.Thread(target=job.run, args=args, daemon=True).start()
    st.session_state[_JOB] = job


def stop() -> None:
    """Forget the running map at once; its thread ends at the next stage."""
    if job := st.session_state.pop(_JOB, None):
        job.stop()


def running_job() -> MapJob | None:
    """The map that is still being drawn. A finished one is kept and no longer a job; its error is raised."""
    session = st.session_state
    job: MapJob | None = session.get(_JOB)
    if job is None or not job.future.done():
        return job
    del session[_JOB]
    with suppress(CancelledError):  # the visitor was away for long, and is back
        maps = {**session.get(_MAPS, {}), job.key: job.future.result()}
        session[_MAPS] = dict(list(maps.items())[-MAX_MAPS:])
    return None


def choose_area(area: Area, shown: list[int] | None = None) -> None:
    """Have only the tokens of the map in this area count, on every page about the run. `shown` are the categories that
    the legend has not hidden; None for all."""
    drawn = current_map()
    if drawn is None:
        return
    inside = area.inside(drawn.points)
    if shown is not None:
        inside &= _in_categories(drawn, shown)
    if not inside.any():
        clear()
        st.toast("No token lies there.")
        return
    session, sample = st.session_state, drawn.sample
    session[_AREA] = settings(), area
    session.pop(_POINT, None)
    run_choice.narrow(among=ChosenTokens(sample.prompt[inside], sample.token[inside], run_choice.run_name()))


def area_drawn(found: Any) -> None:
    """`choose_area` by what the browser sent; what is no area is left out."""
    with suppress(ValueError):
        shown = found.get("shown") if isinstance(found, dict) else None
        choose_area(Area.from_json(found), shown if isinstance(shown, list) and None not in shown else None)


def clear() -> None:
    """Have all tokens count again."""
    st.session_state.pop(_AREA, None)
    st.session_state.pop(_POINT, None)
    if run_choice.chosen_filter().among is not None:
        run_choice.narrow(among=None)


def chosen_tokens() -> ChosenTokens | None:
    """The tokens that were chosen one by one, on this map or another."""
    return run_choice.chosen_filter().among


def current_area() -> Area | None:
    """What is drawn around tokens on this map; None if the tokens were chosen on another."""
    made, area = st.session_state.get(_AREA, (None, None))
    return area if made == settings() and chosen_tokens() is not None else None


def kept() -> dict[str, Any] | None:
    """The tokens that were chosen, and the line around them, for the browser's tab; None if none were."""
    session = st.session_state
    chosen = session.get(run_choice.FILTER, ALL_TOKENS).among
    if chosen is None:
        return None
    of, text = session.get(_KEPT, (None, ""))
    if of is not chosen:
        text = chosen_to_text(chosen)
        session[_KEPT] = chosen, text
    made, area = session.get(_AREA, (None, None))
    line = {} if area is None else {"on": made.as_json(), "x": area.x, "y": area.y}
    return {"run": chosen.name, "tokens": text, "line": line}


def take_kept(found: Any) -> None:
    """Choose the tokens that `kept` gave. Anybody may have written them: what are no tokens of a run that is offered is
    left out. Call this once the run and its filter are chosen."""
    try:
        name, line = found["run"], found["line"]
        chosen = chosen_from_text(found["tokens"], name)
    except (TypeError, KeyError, ValueError, AttributeError):
        return
    if name not in run_choice.run_names():
        return
    run_choice.narrow(among=chosen)
    with suppress(TypeError, KeyError, ValueError):
        made = MapSettings.from_json(run_choice.run_folder(), line["on"])
        st.session_state[_AREA] = made, Area.from_json(line)


def choose_point(index: Any) -> None:
    """Look at the token at this place of the sample."""
    drawn = current_map()
    if drawn is not None and isinstance(index, int) and 0 <= index < len(drawn.points):
        st.session_state[_POINT] = int(drawn.sample.prompt[index]), int(drawn.sample.token[index])


def chosen_point() -> tuple[int, int] | None:
    """(prompt, token) that was clicked; None if there is none."""
    return st.session_state.get(_POINT)


def place_of(point: tuple[int, int]) -> tuple[float, float] | None:
    """Where a token is on the current map; None if it is not there."""
    drawn = current_map()
    if drawn is None:
        return None
    found = np.flatnonzero((drawn.sample.prompt == point[0]) & (drawn.sample.token == point[1]))
    return tuple(map(float, drawn.points[found[0]])) if len(found) else None


def in_context(point: tuple[int, int]) -> dict[str, Any] | None:
    """A token of the chosen run with the text before and after it, its source and the name of its prompt; None if the
    run can no longer be read."""
    with suppress(RunError):
        return runs.answer(run_choice.run_folder(), token_in_context, *point)
    return None


def drag() -> str:
    """What dragging the mouse over the map does."""
    return st.session_state.get(DRAG) or LASSO


def coloured_layer() -> int | None:
    """The layer by which the map is coloured; None if it is coloured by something else, or none was chosen."""
    return st.session_state.get(LAYER)


def forget_unknown(run: Run) -> None:
    """Forget kinds of routing and a layer that the run has not. Call this before the choices are drawn."""
    session, had = st.session_state, blocks_of(run.sizes)
    if not set(session.get(BLOCKS) or ()) <= set(had):
        session[BLOCKS] = [block for block in had if block in session[BLOCKS]]
    if (session.get(LAYER) or 0) >= run.sizes.num_layers:
        del session[LAYER]


def colours() -> dict[str, str]:
    """What the current map can be coloured by -> its label; what is chosen and not there is forgotten."""
    offered = colours_of(current_map())
    if st.session_state.get(COLOUR) not in offered:
        st.session_state.pop(COLOUR, None)
    return offered


def _in_categories(drawn: TokenMap, shown: list[int]) -> np.ndarray:
    layer = st.session_state.get(LAYER)
    return np.isin(category_of(drawn, st.session_state.get(COLOUR) or "loops", layer), shown)


def _sample_of(chosen: MapSettings) -> TokenSample:
    return token_maps.sample_of(chosen.folder, chosen.chosen, chosen.count, chosen.seed)


def _map_of(chosen: MapSettings) -> TokenMap | None:
    if chosen.method == UMAP:
        return st.session_state.get(_MAPS, {}).get(chosen)
    return token_maps.map_by_pca(chosen.folder, chosen.chosen, chosen.count, chosen.seed, chosen.blocks)
