"""Texts to trace, before any model sees them: prompts, files and tables of them, examples, links. And the glossary."""
