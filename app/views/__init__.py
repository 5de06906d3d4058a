"""What pages show beside rows of figures: functions that `app.pages` names."""
