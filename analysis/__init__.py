"""Pure reading of a RoutingTrace: numbers, tables and figures. No torch, no Streamlit; only `export` writes files."""
