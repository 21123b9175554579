"""The whole run: every stage in turn, to the path of the report."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

from omegaconf import DictConfig

from hpcsbi.errors import Unfinished
from hpcsbi.launch.checkout import CONF, PIPELINE
from hpcsbi.launch.checks import check_stages
from hpcsbi.launch.job import FAILED, run_stage
from hpcsbi.launch.words import configuration_from, in_plain_words
from hpcsbi.pipeline import stages_of_run


def pipeline(cfg: DictConfig) -> int:
    """Run the stages; a failed calibration is reported by the page and by the exit status.

    The page is written before the pipeline beside this one runs, and once more after it.
    """
    if cfg.takes:
        print(f"This takes {cfg.takes}.", flush=True)
    status = 0
    for name in stages(cfg):
        print(f"--- {name}", flush=True)
        status = run_stage(name, cfg) or status
    page = Path(cfg.report.out).resolve()
    if cfg.beside:
        print(f"{page}\n--- beside, to be shown on the same page", flush=True)
        done = subprocess.run([sys.executable, PIPELINE, *cfg.beside], check=False)
        if done.returncode not in (0, FAILED):
            raise Unfinished(f"the pipeline beside this one ended with {done.returncode}.")
        print("--- report", flush=True)
        run_stage("report", cfg)
    print(page)
    return status


def stages(cfg: DictConfig) -> tuple[str, ...]:
    """What the job runs; what runs beside it must be right too."""
    return stages_of_run(bool(cfg.ingest.files))


def check(cfg: DictConfig) -> tuple[str, ...]:
    """The stages, after a look at those of the pipeline beside this one and at this machine."""
    for stage in ("train", "infer"):
        if cfg[stage].device == "cuda" and stage in stages(cfg):  # on SLURM its node has it
            import_module("hpcsbi.inference.network.devices").device_of("cuda", stage)
    if cfg.train.compiled and "train" in stages(cfg):
        import_module("hpcsbi.inference.network.compilation").refuse_no_compiler()
    if cfg.beside:
        beside = configuration_from(CONF, "config", cfg.beside)
        with in_plain_words(cfg.beside):
            check_stages(beside, stages(beside))
    return stages(cfg)
