"""Compare the flows of a run, as after a sweep: flows/ -> sweep.html, .json, .csv."""

from functools import partial

from stage import run_job, run_stage

if __name__ == "__main__":
    run_job("compare", partial(run_stage, "compare"))
