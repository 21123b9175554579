"""The whole run: every stage in turn, to the path of the report."""

import subprocess
import sys
from pathlib import Path

from omegaconf import DictConfig
from stage import FAILED, run_job, run_stage

from hpcsbi.errors import Unfinished

MODEL = ("tabulate", "simulate", "augment", "train", "calibrate")
SURVEY = ("ingest", "infer")


def pipeline(cfg: DictConfig) -> int:
    """Run the stages; a failed calibration is reported by the page and by the exit status."""
    status = 0
    for name in MODEL + (SURVEY if cfg.ingest.files else ()):
        print(f"--- {name}", flush=True)
        status = run_stage(name, cfg) or status
    if cfg.beside:
        print("--- beside", flush=True)
        done = subprocess.run([sys.executable, __file__, *cfg.beside], check=False)
        if done.returncode not in (0, FAILED):
            raise Unfinished(f"the pipeline beside this one ended with {done.returncode}.")
    print("--- report", flush=True)
    run_stage("report", cfg)
    print(Path(cfg.report.out).resolve())
    return status


if __name__ == "__main__":
    run_job("pipeline", pipeline)
