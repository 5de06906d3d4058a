"""Browser-side pieces that Streamlit lacks, inline: no iframe, no network, token text only as text nodes."""

from pathlib import Path

_HERE = Path(__file__).parent


def script(*names: str) -> str:
    """JavaScript of a component from several files: what it is made with comes before the component itself."""
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in names)
