"""Ratios measured side by side in one process, interleaved, as medians. `make bench` runs them all."""
