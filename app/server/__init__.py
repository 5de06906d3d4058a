"""What all visitors share: models, captures, the line in front of them, files. Nothing here keeps a visitor's own."""
