"""Custom Streamlit components, inline: no iframe, no network, and token text only as text nodes, never as HTML."""

from pathlib import Path

_HERE = Path(__file__).parent


def script(*names: str) -> str:
    """The JavaScript of a component, joined from several files: helpers first, the component last."""
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in names)
