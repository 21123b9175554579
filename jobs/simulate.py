"""Noise-free spectra: prior, FSPS or the table -> simulations.zarr."""

import environment  # noqa: F401  first: what is not installed is told before it is imported
from omegaconf import DictConfig
from stage import run_job, run_stage


def simulate(cfg: DictConfig) -> int:
    """Spectra from the table need the table: it is made first, or found as it was left.

    Not by the parts of an array, which would each make a part of it: there it is a job of its own.
    """
    status = 0
    for name in stages(cfg):
        status = run_stage(name, cfg)
    return status


def stages(cfg: DictConfig) -> tuple[str, ...]:
    """What the job runs."""
    array = str(cfg.cluster._target_).endswith(".Array")
    table = cfg.simulate.source == "table" and not array
    return ("tabulate", "simulate") if table else ("simulate",)


if __name__ == "__main__":
    run_job("simulate", simulate, stages)
