"""The flow: its networks, what it learns from, and how."""
