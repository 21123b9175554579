"""Say where a run stands."""

from functools import partial

from stage import run_job, run_stage

if __name__ == "__main__":
    run_job("status", partial(run_stage, "status"))
