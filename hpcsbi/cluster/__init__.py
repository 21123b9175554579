"""Where pieces run: here, by Dask, by SLURM. It knows no store."""
