"""Posteriors of survey spectra: spectra.zarr -> catalogue.zarr, catalogue.parquet."""

from functools import partial

from stage import run_job, run_stage

if __name__ == "__main__":
    run_job("infer", partial(run_stage, "infer"))
