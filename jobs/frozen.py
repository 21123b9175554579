"""The configuration of a job that waits in a queue, as it was when it was submitted."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from stage import CONF

HYDRA = """\
# Written when the jobs that read it were submitted: later changes in conf/ do not reach them.
defaults: [_self_, {override hydra/job_logging: none}]
hydra:
  run: {dir: "${run}/hydra/${hydra.job.name}"}
"""


def composed(overrides: list[str]) -> DictConfig:
    """The configuration of a command line."""
    with initialize_config_dir(CONF, version_base="1.3"):
        return compose("config", overrides=overrides)


def freeze(cfg: DictConfig, path: Path) -> Path:
    """Write a configuration, interpolations included, so that `--config-path` reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HYDRA + OmegaConf.to_yaml(cfg))
    return path.absolute()
