"""Noise-free spectra: prior, FSPS or the table -> simulations.zarr."""

from omegaconf import DictConfig
from stage import run_job, run_stage


def simulate(cfg: DictConfig) -> int:
    """Spectra from the table need the table: it is made first, or found as it was left.

    Not by the parts of an array, which would each make a part of it: there it is a job of its own.
    """
    array = cfg.cluster._target_.endswith(".Array")
    if cfg.simulate.source == "table" and not array:
        run_stage("tabulate", cfg)
    return run_stage("simulate", cfg)


if __name__ == "__main__":
    run_job("simulate", simulate)
