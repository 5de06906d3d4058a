"""What all pages share: the frame with the token strip, the prompt picker, token search, tour and export dialog."""
