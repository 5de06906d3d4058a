"""Figures of what several texts say together."""
