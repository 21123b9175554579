"""Posteriors of galaxy spectra by simulation-based inference, from a laptop to a SLURM cluster."""

__version__ = "0.1.0"
