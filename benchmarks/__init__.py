"""Ratios measured side by side in one process, as medians; and how tests fare by chance. `make bench` runs them."""
