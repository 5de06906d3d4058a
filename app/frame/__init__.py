"""What stands round every page: the frame itself, the ways to bring texts, the search, the tour, the export."""
