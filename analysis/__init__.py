"""Pure reading of a RoutingTrace: numbers, tables and figures.

No torch, no Streamlit; `leaving.export` alone writes files.
"""
