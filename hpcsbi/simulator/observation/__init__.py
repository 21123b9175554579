"""What an instrument records of a spectrum: noise, masks, and what the model may be off by."""
