"""Entry point of the Streamlit app: navigation, the frame that all pages share, and the open page."""

import sys
from functools import partial
from pathlib import Path

# `streamlit run app/main.py` puts only app/ on the path; the packages live one folder up. Where they are parts of an
# installed package, they need no path.
if not (Path(__file__).parents[1] / "__init__.py").exists():
    sys.path.insert(0, str(Path(__file__).parents[1]))

import streamlit as st

from app.frame.faithfulness import faithfulness_line
from app.frame.frame import connect_figures, frame, model_choice, sidebar, styles
from app.frame.keeping import fetch_from_tab, keep_in_tab
from app.frame.refused_model import told_to_choose
from app.frame.tour import tour_box
from app.pages import PAGES
from app.parts.page import draw_page
from app.server import models
from app.session import kept_work, link, navigation, pending, state

HERE = Path(__file__).parent
st.set_page_config(
    "VersatileFFN Explorer", page_icon=str(HERE / "assets" / "icon.svg"), layout="wide", initial_sidebar_state=256
)
st.logo(str(HERE / "assets" / "logo.svg"), icon_image=str(HERE / "assets" / "icon.svg"))
first = PAGES[0]
offered = {first.name: st.Page(partial(draw_page, first), title=first.name, url_path="", default=True)} | {
    page.name: st.Page(partial(draw_page, page), title=page.name, url_path=page.url_path) for page in PAGES[1:]
}
groups = {page.group: [offered[each.name] for each in PAGES if each.group == page.group] for page in PAGES}
# Streamlit has the default page at / alone. The same page, not listed, answers at the path of its name.
groups[first.group].append(
    st.Page(partial(draw_page, first), title=first.name, url_path=first.url_path, visibility="hidden")
)
opened = st.navigation(groups, expanded=True)
page = next(page for page in PAGES if page.name == opened.title)
navigation.remember_pages(offered.values())
styles()
fetch_from_tab(page.name)
with told_to_choose(model_choice), st.spinner("Loading the model and tracing the text…", show_time=True):
    link.begin_session()
    link.follow_history()
    pending.do()
    kept_work.tell_what_came_back()
    navigation.open_asked_page()
sidebar()
with told_to_choose():
    frame(page)
    tour_box()
    link.write_link()
    opened.run()
    faithfulness_line(page)
    connect_figures(page)
    keep_in_tab(page.name)
    if not state.why_no_model():
        # The first page of a shipped example needs no model, but most other pages do.
        models.warm_up(after_s=models.WARM_UP_AFTER_S)
