"""What a model is: its facts, its health, how exactly it is shown, how it was trained, and its family."""
