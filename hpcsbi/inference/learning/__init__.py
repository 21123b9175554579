"""An error of the model, learned from a survey's own spectra."""
