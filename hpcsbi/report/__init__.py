"""Figures, tables and the page: arrays in, HTML out."""
