"""Figures of a model and its training."""
