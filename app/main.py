"""Entry of the app: the pages, the frame they share, and the page that is open."""

import sys
from pathlib import Path

# `streamlit run app/main.py` puts only app/ on the path; the packages live one folder up.
sys.path.insert(0, str(Path(__file__).parents[1]))

import streamlit as st

from app.frame.faithfulness import faithfulness_line
from app.frame.frame import connect_figures, frame, sidebar, styles
from app.frame.tour import follow_tour, tour_box
from app.session import link, pending

HERE = Path(__file__).parent
PAGES = {
    "Read": [
        st.Page(HERE / "views" / "overview.py", title="Overview", default=True),
        st.Page(HERE / "views" / "difficulty.py", title="Difficulty"),
        st.Page(HERE / "views" / "gate.py", title="Gate"),
        st.Page(HERE / "views" / "experts.py", title="Experts"),
        st.Page(HERE / "views" / "recursion.py", title="Recursion"),
    ],
    "Explain": [
        st.Page(HERE / "views" / "walkthrough.py", title="Walkthrough"),
        st.Page(HERE / "views" / "write_ledger.py", title="Write ledger"),
        st.Page(HERE / "views" / "recursion_lens.py", title="Recursion lens"),
        st.Page(HERE / "views" / "geometry.py", title="Geometry"),
        st.Page(HERE / "views" / "attention.py", title="Attention"),
        st.Page(HERE / "views" / "near_misses.py", title="Near misses"),
        st.Page(HERE / "views" / "cost.py", title="Cost"),
        st.Page(HERE / "views" / "what_decides.py", title="What decides"),
        st.Page(HERE / "views" / "validity.py", title="Validity"),
    ],
    "Models": [
        st.Page(HERE / "views" / "models.py", title="Models"),
    ],
    "Corpus": [
        st.Page(HERE / "views" / "prompts.py", title="Prompts"),
    ],
}

st.set_page_config(
    "VersatileFFN Explorer", page_icon=str(HERE / "assets" / "icon.svg"), layout="wide", initial_sidebar_state=256
)
st.logo(str(HERE / "assets" / "logo.svg"), icon_image=str(HERE / "assets" / "icon.svg"))
page = st.navigation(PAGES, expanded=True)
styles()
with st.spinner("Loading the model and tracing the text…", show_time=True):
    link.begin_session()
    pending.answer()
    follow_tour({each.title: each for group in PAGES.values() for each in group})
    sidebar()
frame(page.title.lower())
tour_box()
link.write_link()
page.run()
faithfulness_line(page.title.lower())
connect_figures(page.title.lower())
