"""Tokens as text: labels, whole words, the token strip, and the search."""
