"""Runs: whole files and datasets of texts, traced into Parquet, opened and asked in bounded memory."""
