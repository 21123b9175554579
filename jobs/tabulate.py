"""Make the SSP table: FSPS -> ssp.zarr."""

from functools import partial

from stage import run_job, run_stage

if __name__ == "__main__":
    run_job("tabulate", partial(run_stage, "tabulate"))
