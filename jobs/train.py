"""Fit the flow: training.zarr -> flows/<name>."""

from functools import partial

from stage import run_job, run_stage

if __name__ == "__main__":
    run_job("train", partial(run_stage, "train"))
