"""Building blocks of pages: the page itself, figure panels, pickers, slider."""
