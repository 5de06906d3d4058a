"""Tells the browser to keep a cookie, which later sessions of the same visitor send along."""

import streamlit as st

YEAR_S = 365 * 24 * 3600
_component = st.components.v2.component(
    "cookie",
    html="<span></span>",
    css=":host { display: none }",
    js="""
export default function ({ data }) {
  document.cookie = `${data.name}=${data.value}; path=/; max-age=${data.seconds}; SameSite=Lax`;
}
""",
)


def keep_cookie(name: str, value: str) -> None:
    """Set a cookie for a year. Name and value must be letters, digits, dots and underscores."""
    assert (name + value).replace("_", "").replace(".", "").isalnum()
    _component(key="cookie", data={"name": name, "value": value, "seconds": YEAR_S})
