"""Numbers, tables and figures from a RoutingTrace: pure functions without torch or Streamlit.

Only `export.files` writes files.
"""
