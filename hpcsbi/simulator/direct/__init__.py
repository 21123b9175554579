"""The direct path, which says what is right: Prospector over FSPS, in processes that may end."""
