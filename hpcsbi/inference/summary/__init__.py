"""What a network sees of a spectrum, and the coordinates in which it infers theta."""
