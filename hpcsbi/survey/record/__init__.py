"""The record that every survey's files become: spectra, and who they are."""
