"""Parts of pages other than figures of the catalogue: functions that the rows of `app.pages` list."""
