"""What all visitors share: models, captures, the line in front of them, and files. Nothing here knows a visitor."""
