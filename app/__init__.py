"""The explorer: a Streamlit app and a command line over the same functions."""
