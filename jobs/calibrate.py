"""Judge the flow on spectra it never saw: flows/<name> -> calibration.zarr."""

from functools import partial

from stage import run_job, run_stage

if __name__ == "__main__":
    run_job("calibrate", partial(run_stage, "calibrate"))
