"""Fit the flow: training.zarr -> flows/<name>; in a sweep judge it too."""

from pathlib import Path

import environment  # noqa: F401  first: what is not installed is told before it is imported
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from stage import run_job, run_stage


def train(cfg: DictConfig) -> int:
    """A flow of a sweep is calibrated when it is trained: one that fails is for `compare` to tell.

    Its calibration stands in calibrations/ under the flow's name.
    """
    status = run_stage("train", cfg)
    if _judges(cfg):
        out = Path(cfg.run) / "calibrations" / f"{Path(cfg.train.out).name}.zarr"
        OmegaConf.update(cfg, "calibrate.out", str(out))
        run_stage("calibrate", cfg)
    return status


def _judges(cfg: DictConfig) -> bool:
    return HydraConfig.get().mode == RunMode.MULTIRUN if cfg.judge is None else cfg.judge


if __name__ == "__main__":
    run_job("train", train)
