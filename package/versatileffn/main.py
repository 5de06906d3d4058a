"""What Streamlit runs where the explorer is installed: the app's entry point, under its installed name."""

from runpy import run_module

run_module("versatileffn.app.main")
