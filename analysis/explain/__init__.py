"""What lies behind the routing of one text: writes, states, heads, near misses, cost."""
