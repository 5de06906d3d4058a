"""What several texts say together, and what chance says."""
