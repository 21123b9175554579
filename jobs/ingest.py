"""Read survey files: FITS, Parquet or NumPy -> spectra.zarr."""

from functools import partial

from stage import run_job, run_stage

if __name__ == "__main__":
    run_job("ingest", partial(run_stage, "ingest"))
