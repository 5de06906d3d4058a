"""Figures of what lies behind the routing of one text."""
