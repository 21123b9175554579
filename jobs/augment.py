"""Add noise: simulations.zarr -> training.zarr."""

from functools import partial

from stage import run_job, run_stage

if __name__ == "__main__":
    run_job("augment", partial(run_stage, "augment"))
