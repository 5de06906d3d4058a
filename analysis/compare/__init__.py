"""Compare: two traces beside each other, of two texts, two models, two training steps, or with an intervention."""
