"""Real spectra: formats, geometry, rest frame, quality."""
