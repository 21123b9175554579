"""Converged MCMC of chosen spectra: spectra.zarr -> fits.zarr, and into catalogue.parquet."""

from functools import partial

from stage import run_job, run_stage

if __name__ == "__main__":
    run_job("fit", partial(run_stage, "fit"))
