"""Texts before any model sees them, and the words of the app: prompts, files and tables of them, examples, glossary."""
