"""Draws of a posterior, and their certificate."""
