"""Token map page: tokens of the chosen run in a plane, and those around which the reader draws a line."""

from functools import partial

import streamlit as st

from analysis.figures.runs.token_map import COLUMN, TOKEN_MAP
from analysis.figures.template import config
from analysis.palette import THEMES
from analysis.runs.areas import Area
from analysis.runs.map import TokenMap
from analysis.runs.run import Run
from analysis.runs.vectors import blocks_of, usual_blocks
from analysis.words.labels import how_many
from app.components.map_bridge import map_bridge
from app.parts.data_and_code import data_and_code
from app.parts.panel import title
from app.parts.run_bar import run_bar
from app.parts.stop_button import stop_button
from app.session import drawings, kept_work, pending, run_texts, token_maps
from app.session.choices import chosen_options
from app.session.state import current_view
from app.texts.markdown import literal

PAGE = "Token map"
KEY = "figure-token_map"
METHODS = {token_maps.PCA: "PCA", token_maps.UMAP: "UMAP"}
BLOCKS = {"loops": "Loops", "experts": "Experts", "difficulty": "Soft difficulty", "gate": "λ"}
DRAGS = {token_maps.LASSO: "Lasso", "drawrect": "Box", "zoom": "Zoom", "pan": "Move"}
KEPT = "This tab keeps them until you close it, also when the page is loaded again; a link does not hold them."
NOT_KEPT = "They are gone when the page is loaded again."
CLEAR = "rgba(0,0,0,0)"
FULL_CONFIG = {"modeBarButtonsToRemove": ["select2d", "lasso2d", "zoom2d", "pan2d", "autoScale2d"]}
"""Of the map: with buttons that zoom, since its axes are not fixed."""


def map_of_tokens() -> None:
    """The bar of the run, how the map is made, and the map."""
    run = run_bar(chosen_apart=True)
    if run is None:
        return
    token_maps.forget_unknown(run)
    _how_it_is_made(run)
    with title(TOKEN_MAP.title):
        st.segmented_control(
            "Dragging the mouse",
            DRAGS,
            default=token_maps.LASSO,
            required=True,
            format_func=DRAGS.get,
            key=token_maps.DRAG,
            label_visibility="collapsed",
            persist_state="session",
        )
    if token_maps.running_job():
        st.fragment(_progress, run_every=0.3)()
        _chosen(None)
        return
    if why_not := token_maps.why_no_map():
        st.caption(literal(why_not))
        if token_maps.can_start():
            st.button("Draw the map", type="primary", on_click=pending.callback(token_maps.start))
        _chosen(None)
        return
    drawn = token_maps.current_map()
    _colouring(drawn)
    _chart(drawn)
    st.caption(f"**How to read.** {TOKEN_MAP.how_to_read}", help=TOKEN_MAP.details)
    st.caption(literal(_told(drawn)))
    _chosen(drawn)


def _how_it_is_made(run: Run) -> None:
    """The choices on which the map depends."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="map-form"):
        st.segmented_control(
            "Placed by", METHODS, default=token_maps.PCA, required=True, format_func=METHODS.get, key=token_maps.METHOD,
            persist_state="session", help="PCA is immediate. UMAP shows neighbourhoods better but takes longer.",
        )  # fmt: skip
        st.pills(
            "Tokens are alike by their",
            blocks_of(run.sizes),
            selection_mode="multi",
            default=usual_blocks(run.sizes),
            format_func=BLOCKS.get,
            key=token_maps.BLOCKS,
            persist_state="session",
            help="Over all layers; each kind counts the same. In a VersatileFFN λ follows from the loops.",
        )
        st.selectbox(
            "Tokens drawn, at most", token_maps.COUNTS, token_maps.COUNTS.index(token_maps.USUAL_COUNT),
            format_func="{:,}".format, key=token_maps.COUNT, persist_state="session", width=160,
        )  # fmt: skip
        st.number_input(
            "Seed", 0, token_maps.MOST_SEEDS, key=token_maps.SEED, persist_state="session", width=110,
            help="The same seed draws the same tokens again; another seed draws others.",
        )  # fmt: skip


def _progress() -> None:
    """Progress of the map that is being drawn, and the button that stops it."""
    job = token_maps.running_job()
    if job is None:
        st.rerun()  # the whole page, which shows the map and ends the fragment's timer
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(job.share, text=literal(f"{job.message} {job.seconds:.0f} s"))
        stop_button("stop-map", on_click=token_maps.stop)


def _colouring(drawn: TokenMap) -> None:
    offered = token_maps.colours()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        colour = st.selectbox(
            "Coloured by", list(offered), format_func=offered.get, key=token_maps.COLOUR, persist_state="session",
            width=220,
        )  # fmt: skip
        layers = range(drawn.sample.sizes.num_layers)
        if not colour.startswith(COLUMN):
            st.selectbox("Layer", layers, len(layers) // 2, key=token_maps.LAYER, persist_state="session", width=100)


def _chart(drawn: TokenMap) -> None:
    """The figure, which the browser tells what is drawn on it."""
    options = chosen_options(TOKEN_MAP)
    figure = drawings.drawing(KEY, TOKEN_MAP, drawn, options, 1.0).given_figure
    with st.container(key=KEY):
        st.plotly_chart(
            figure, key=f"{KEY}-chart", theme=None, config=config(TOKEN_MAP.name) | FULL_CONFIG, alt=TOKEN_MAP.title
        )
    map_bridge(
        page=PAGE,
        figure=KEY,
        shapes=_shapes(),
        drag=token_maps.drag(),
        on_area=token_maps.area_drawn,
        on_point=token_maps.choose_point,
    )
    data_and_code(TOKEN_MAP, options)


def _shapes() -> list[dict]:
    """What is drawn over the map: the line around the chosen tokens, and a ring around the clicked one."""
    ink, shapes = THEMES[current_view().theme]["ink"], []
    if (area := token_maps.current_area()) is not None:
        line = {"color": ink, "width": 1.5, "dash": "dot"}
        path = "L".join(f"{x!r},{y!r}" for x, y in zip(area.x, area.y, strict=True))
        shapes.append({"type": "path", "path": f"M{path}Z", "line": line, "fillcolor": CLEAR})
    if (point := token_maps.chosen_point()) and (place := token_maps.place_of(point)):
        ring = {"x0": -8, "x1": 8, "y0": -8, "y1": 8, "xsizemode": "pixel", "ysizemode": "pixel"}
        at = {"xanchor": place[0], "yanchor": place[1], "name": "token"}
        shapes.append({"type": "circle", "line": {"color": ink, "width": 2}, **ring, **at})
    return shapes


def _told(drawn: TokenMap) -> str:
    """What the map is of, in sentences."""
    sample, kinds = drawn.sample, [BLOCKS[block].lower() for block in drawn.blocks]
    still = [BLOCKS[block].lower() for block, variance in drawn.variances.items() if not variance]
    which = "all" if len(sample) == sample.count else f"a random sample of {len(sample):,} of"
    and_all = " and ".join([", ".join(kinds[:-1]), *kinds[-1:]] if len(kinds) > 1 else kinds)
    fitted = "all" if drawn.fitted == len(sample) else f"{drawn.fitted:,}"
    told = (
        f"The map shows {which} {sample.count:,} tokens that the filter leaves, by {drawn.columns} numbers each: "
        f"{and_all} of every layer, each kind scaled to the same variance. {METHODS[drawn.method]} is fitted "
        f"on {fitted} of them."
    )
    return told + (f" There is no variance in {' and '.join(still)}, so these do not count." if still else "")


def _chosen(drawn: TokenMap | None) -> None:
    """The tokens that were chosen and, under a map, the token that was clicked and the choice by numbers."""
    chosen, point = token_maps.chosen_tokens(), token_maps.chosen_point()
    if drawn is None and chosen is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if chosen is None:
            st.markdown("No tokens are chosen, so everything below is about all tokens that pass the filter.")
        else:
            st.markdown(
                f"**{how_many(len(chosen), 'token')}** of {how_many(chosen.prompts, 'prompt')} chosen. Below, and on "
                f"the page Atlas, only these count. {KEPT if kept_work.is_on() else NOT_KEPT}"
            )
            st.button("Choose none", on_click=pending.callback(token_maps.clear))
        if drawn is not None:
            told = "To choose without the mouse, give a box by its ends on both axes."
            with st.popover("Choose by numbers", help=told):
                _by_numbers(drawn)
    if point and drawn is not None:
        _point(*point)


def _by_numbers(drawn: TokenMap) -> None:
    """A box by its sides, as typed."""
    low, high = drawn.points.min(axis=0), drawn.points.max(axis=0)
    with st.form("map-box", border=False):
        sides = {}
        for axis, name in enumerate("xy"):
            left, right = st.columns(2)
            for side, column, value in (("from", left, low[axis]), ("to", right, high[axis])):
                sides[name, side] = column.number_input(f"{name} {side}", value=round(float(value), 2), step=0.1)
        if st.form_submit_button("Choose these tokens", type="primary"):
            token_maps.choose_area(Area.box(sides["x", "from"], sides["x", "to"], sides["y", "from"], sides["y", "to"]))
            st.rerun()


def _point(prompt: int, token: int) -> None:
    """The clicked token in its text."""
    found = token_maps.in_context((prompt, token))
    if found is None:
        return
    place = run_texts.RunPlace(prompt, token, token_maps.coloured_layer())
    with st.container(border=True, key="map-point"):
        st.caption(literal(f"Token {token:,} of prompt {found['prompt_id']} from {found['source']}"))
        st.markdown(f"…{literal(found['before'])} **{literal(found['text'])}** {literal(found['after'])}…")
        st.button(
            "Open in the explorer",
            key="map-point-open",
            on_click=pending.callback(partial(run_texts.open_place, place)),
        )


__all__ = ["map_of_tokens"]
