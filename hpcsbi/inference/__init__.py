"""Representation, flow, training, posterior, certificate."""
