"""How probable a spectrum is, given theta, and whether it looks like one of the model's."""
