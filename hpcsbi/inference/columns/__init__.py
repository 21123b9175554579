"""What is published of a posterior: columns, their meaning, flags and derived quantities."""
