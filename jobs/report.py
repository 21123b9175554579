"""Write the page: all stores -> report.html."""

from functools import partial

from stage import run_job, run_stage

if __name__ == "__main__":
    run_job("report", partial(run_stage, "report"))
