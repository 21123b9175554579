"""What the folder of a run holds: flows, catalogue, progress, jobs."""
