"""The doctor: whether this machine can do a run as it is configured, a line for each check."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from hpcsbi.cluster.site import bytes_of, make_site
from hpcsbi.errors import BadInput
from hpcsbi.health import folders, installation, processors, slurm_service
from hpcsbi.health.check import OK, WRONG, Check, lines
from hpcsbi.health.fsps_tree import fsps_tree
from hpcsbi.launch.checkout import BATCH_SCRIPT, ROOT
from hpcsbi.launch.frozen import configuration_of
from hpcsbi.launch.submit import stage_options
from hpcsbi.launch.ways import HERE, way_of

__all__ = ["doctor", "needed_bytes"]

ALWAYS = 1e9  # bytes: table, flow, page, logs
SPILL = 1e9  # of the folder for temporary files
PLACES = ("partition", "account", "qos", "constraint", "options", "setup")  # of a site
NUMBER = 4  # bytes of a number in a store, before it is compressed


def doctor(cfg: DictConfig) -> int:
    """Print all checks of a configuration; nothing is left where it writes.

    Raises:
        BadInput: something is wrong, after all has been told.
    """
    checks = []
    for part in (_installation, _folders, _work):
        told = part(cfg)
        checks += told
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print("\n".join(lines(checks, columns)), flush=True)
    if wrong := [check.name for check in checks if check.state == WRONG]:
        raise BadInput(f"{', '.join(wrong)}: mend as told above, then ask again.")
    print(f"Nothing is wrong. Next: {_next(cfg)}")
    return 0


def needed_bytes(cfg: DictConfig) -> float:
    """What a run takes on the disk before it has real spectra, at most.

    Spectra and pairs in single precision, with one sigma for each flux of a pair.
    """
    held_out = cfg.augment.validation + cfg.augment.test
    pairs = cfg.augment.copies * max(cfg.simulate.n - held_out, 0) + held_out
    return ALWAYS + NUMBER * cfg.grid.pixels * (cfg.simulate.n + 2 * pairs)


def _installation(cfg: DictConfig) -> list[Check]:
    return [
        installation.python(),
        installation.libraries(ROOT / "constraints.txt"),
        installation.torch_and_gpu(
            {stage: cfg[stage].device for stage in ("train", "infer")}, elsewhere=_submits(cfg)
        ),
        installation.installation(ROOT / "hpcsbi"),
        installation.home(),
    ]


def _folders(cfg: DictConfig) -> list[Check]:
    run, site = Path(cfg.run), make_site(cfg.site)
    needed = needed_bytes(cfg)
    checks = [
        folders.room("run", run, needed),
        folders.file_system("run, disk", run),
        folders.locks("run, locks", run),
        folders.room("temporary", Path(tempfile.gettempdir()), SPILL),
    ]
    return checks + ([folders.room("scratch", Path(site.scratch), SPILL)] if site.scratch else [])


def _work(cfg: DictConfig) -> list[Check]:
    """FSPS; cores and memory where the run is here, SLURM where it is not."""
    site, submits = make_site(cfg.site), _submits(cfg)
    tree = _tree(cfg, submits)
    if not submits:
        workers, each = instantiate(cfg.cluster).workers, bytes_of(site.memory or "2G")
        threads = cfg.train.threads
        return [
            tree,
            processors.processors(workers, threads),
            processors.memory(workers, each),
            slurm_service.not_needed(),
        ]
    asked = slurm_service.programs()
    if slurm_service.answers(asked):
        tasks = site.tasks if way_of(cfg) in ("allocation", *HERE) else 1
        options = {"simulate": stage_options(cfg, "simulate", site, tasks)}
        options |= {"train": stage_options(cfg, "train", site)}
        asked += slurm_service.jobs(BATCH_SCRIPT, options)
    return [tree, *asked]


def _tree(cfg: DictConfig, submits: bool) -> Check:
    if submits and any("SPS_HOME" in line for line in cfg.site.setup):
        return Check("SPS_HOME", OK, "is set by site.setup, in the jobs")
    direct = cfg.simulate.source == "fsps" or cfg.fit.engine == "prospector"
    return fsps_tree(os.environ.get("SPS_HOME"), cfg.tabulate.demo, direct)


def _submits(cfg: DictConfig) -> bool:
    """Whether the run goes to SLURM: its cluster says so, or it names a site."""
    here = configuration_of([]).site
    return way_of(cfg) not in HERE or any(cfg.site[key] != here[key] for key in PLACES)


def _next(cfg: DictConfig) -> str:
    """The command that begins the run."""
    if _submits(cfg):
        return f"slurm/pipeline.sh {cfg.name}, with the same options (--dry-run shows the jobs)"
    return f"python jobs/pipeline.py name={cfg.name}, with the same options"
