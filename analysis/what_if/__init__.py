"""What if: a text before and after some decisions were changed, interventions in words, and first questions."""
