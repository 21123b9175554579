"""Whether a place can do the work: its installation, folders, cores, FSPS and SLURM."""
