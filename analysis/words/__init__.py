"""How tokens are shown as words: labels, whole words, the strip, the search."""
