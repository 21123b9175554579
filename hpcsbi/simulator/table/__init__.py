"""The table: theta to spectra for whole batches, from populations that FSPS made once."""
