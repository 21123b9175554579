"""How a spectrum comes about, and how probable it is."""
