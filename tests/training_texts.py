"""A small text to train on."""

from pathlib import Path

SENTENCES = ["The cat sat on the mat.", "A dog ran to the red barn.", "One and two make three.", "The moon rose late."]


def write_text(path: Path) -> Path:
    """Forty documents of six sentences each."""
    documents = ["\n".join(SENTENCES[(i + j) % 4] for j in range(6)) for i in range(40)]
    path.write_text("\n<|endoftext|>\n".join(documents) + "\n")
    return path
