"""Arrays on disk: shards, marks, locks, whole files, and what made them."""
