"""The configuration of a job that waits in a queue, as it was when it was submitted."""

import os
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

from omegaconf import DictConfig, ListConfig, OmegaConf

from hpcsbi.errors import BadInput
from hpcsbi.launch.checkout import CONF
from hpcsbi.launch.words import configuration_from
from hpcsbi.pipeline import STAGES
from hpcsbi.store.files import write_atomically

HOW = ("cluster", "site")  # groups that say how a run is made, not what: they may change

# Keys of a stage's node that name files where they are texts, or lists of them.
PATHS = ("run", "out", "files", "redshifts", "ids", "theta", "table", "simulations", "training",
         "flow", "pairs", "calibration", "spectra", "catalogue", "fits", "costs", "beside",
         "folder")  # fmt: skip

WHOLE = ("name", "run", *HOW)  # beside the stages: without them it is half a configuration

HYDRA = """\
# Written when the jobs that read it were submitted: later changes in conf/ do not reach them.
defaults: [_self_, {override hydra/job_logging: none}]
hydra:
  run: {dir: "FOLDER"}
"""

FINISH = "finish.yaml"  # beside the frozen configuration of a submission: of what follows an array


def configuration_of(overrides: Sequence[str]) -> DictConfig:
    """The configuration of a command line."""
    return configuration_from(CONF, "config", overrides)


def freeze(cfg: DictConfig, path: Path, folder: str = "${run}/hydra/${hydra.job.name}") -> Path:
    """Write a configuration, interpolations included, so that `--config-path` reads it.

    Arguments:
        cfg, path: the configuration, and the file.
        folder: where Hydra notes what a job that reads it was given.
    """
    write_atomically(path, (HYDRA.replace("FOLDER", folder) + OmegaConf.to_yaml(cfg)).encode())
    return path.absolute()


def what_finishes(stage: str, folder: str | None) -> str:
    """What follows when all parts of an array are done.

    Arguments:
        stage: of the array.
        folder: of the frozen configuration, None for an array that was submitted by hand.
    """
    if folder is not None and (Path(folder) / FINISH).exists():
        return f"the job that waits for the array finishes {stage}"
    return f"when all are, run jobs/{stage}.py with the same options and cluster=serial to finish"


def name_override(name: str) -> str:
    """The override for the name of a run, which is text: 2024_05_01 and 1e3 are no numbers.

    Raises:
        BadInput: it is an override itself, in the place of the name.
    """
    if "=" in name:
        raise BadInput(f"the name of the run comes first: NAME {name}")
    text = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"name='{text}'"


def with_absolute_paths(cfg: DictConfig) -> DictConfig:
    """A copy whose paths hold in every folder, for its jobs do not run in this one."""
    cfg = cfg.copy()
    cfg.run = os.path.abspath(cfg.run)
    for node in cfg.values():
        for key in PATHS if isinstance(node, DictConfig) else ():
            value = node.get(key)
            if isinstance(value, str) and not os.path.isabs(value):
                node[key] = _absolute(value)
            elif isinstance(value, ListConfig):
                node[key] = [_absolute(path) for path in value]
    return cfg


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


def thaw(path: Path, overrides: Sequence[str]) -> DictConfig:
    """A frozen configuration; cluster and site may be chosen anew.

    Arguments:
        path: what `freeze` wrote.
        overrides: of single values, and cluster=... and site=...

    Raises:
        BadInput: the file is damaged, or cut short.
    """
    groups = [override for override in overrides if override.split("=")[0] in HOW]
    values = [override for override in overrides if override not in groups]
    cfg = configuration_from(str(path.parent.absolute()), path.stem, values)
    if lacking := [key for key in (*WHOLE, *STAGES) if key not in cfg]:
        raise BadInput(
            f"{path} has no {', '.join(lacking)}: it is cut short, or of another version of "
            "hpcsbi. Submit the run again (slurm/pipeline.sh); what is done is kept."
        )
    chosen = {group.split("=")[0] for group in groups}
    return with_groups(cfg, [*groups, *(v for v in values if v.split(".")[0] in chosen)])


def with_groups(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """A copy in which some groups are as in conf/, with these overrides."""
    cfg, fresh = deepcopy(cfg), configuration_of(overrides)
    for group in {override.split("=")[0].split(".")[0] for override in overrides}:
        cfg[group] = deepcopy(fresh[group])
    return cfg
