"""Chains, and how far the flow is from them."""
