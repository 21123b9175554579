"""The command line: what a job is given, checked, submitted, and run."""
