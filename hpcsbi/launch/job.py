"""What all jobs share: compose the configuration, call the stage, note what it cost."""

import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hpcsbi.caches import keep_caches
from hpcsbi.cluster import deadline
from hpcsbi.cluster.executors import FULL
from hpcsbi.cluster.site import make_site
from hpcsbi.errors import Refusal, file_trouble
from hpcsbi.launch.checkout import CONF
from hpcsbi.launch.checks import check_stages, with_files_read
from hpcsbi.launch.configuration_files import one_line
from hpcsbi.launch.frozen import what_finishes
from hpcsbi.launch.manual import manual
from hpcsbi.launch.privacy import keep_private
from hpcsbi.launch.ways import NO_CHILDREN, way_of
from hpcsbi.launch.words import (
    VALUED,
    configuration_from,
    hydra_arguments,
    in_plain_words,
)
from hpcsbi.pipeline import STAGES
from hpcsbi.run.folder import RunFolder
from hpcsbi.run.progress import worker_seconds
from hpcsbi.store.files import append_line
from hpcsbi.store.shards import Elsewhere
from hpcsbi.terminal import outlive_reader

# 1: calibration failed. 2: something is wrong with the input, or shards failed. 70: a fault of this
# program. 75: the job ends before the work does, and wants to be queued again (slurm/stage.sbatch).
# 130: Ctrl-C.
FAILED, WRONG, BROKEN, AGAIN, INTERRUPTED = 1, 2, 70, 75, 130
# These only look: a run that is not there must not come to be.
LOOKING = ("doctor", *(stage.name for stage in STAGES.values() if not stage.product))
# What is wrong with the input, the disk or the cluster, and not with this program.
REFUSED = (HydraException, OmegaConfBaseException, Refusal, OSError)


def run_job(
    name: str,
    task: Callable[[DictConfig], int | None],
    stages: Callable[[DictConfig], Sequence[str]],
) -> None:
    """Compose the configuration from the command line and call the task; exit with its status.

    Arguments:
        name: of the job.
        task: returns an exit status.
        stages: those that the task will run, whose arguments are checked first.
    """
    statuses = [0]

    @hydra.main(config_path=CONF, config_name="config", version_base="1.3")
    def main(cfg: DictConfig) -> None:
        try:
            if name not in LOOKING:
                _keep_private(cfg)
            _check_one_of_many(cfg, stages)
            statuses.append(task(cfg) or 0)
        except deadline.OutOfTime as end:
            print(f"{end}: the next job goes on from here.", flush=True)
            os._exit(AGAIN)  # without waiting for work that cannot be done in time
        except Elsewhere as end:
            folder = _flags(sys.argv[1:]).get("--config-path")
            print(f"{end}; {what_finishes(name, folder)}.", flush=True)
        except REFUSED as error:  # the next job of a sweep may do better
            statuses.append(refuse(error))

    sys.excepthook = _broken
    deadline.listen()
    outlive_reader()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # what is wrong comes here, in place of a printed stack
    try:
        _prepare(name, stages)
        main()
    except REFUSED as error:
        sys.exit(refuse(error))
    except KeyboardInterrupt:
        print("\ninterrupted: what is done is kept, the same command goes on.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except SystemExit as end:  # Hydra's status 1 would read as a failed calibration
        sys.exit(WRONG if end.code else 0)
    sys.exit(max(statuses))  # after all jobs of a sweep


def _broken(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Tell of a fault of this program, and end with its status in place of Python's 1."""
    sys.__excepthook__(kind, error, trace)
    raise SystemExit(BROKEN)


def _prepare(name: str, stages: Callable[[DictConfig], Sequence[str]]) -> None:
    """Read the command line for Hydra: what is wrong is told before Hydra makes a folder.

    The settings of a sweep are composed one by one, later.
    """
    given = sys.argv[1:]
    if {"-h", "--help"} & set(given):
        print(help_of(name, stages))
        sys.exit(0)
    given = hydra_arguments(given)
    sys.argv[1:] = [*given, f"hydra.job.name={name}"]
    if name in LOOKING:
        sys.argv += ["hydra.output_subdir=null", "hydra.run.dir=."]
        keep_caches(None)
    flags = _flags(given)
    if {"-m", "--multirun", "-c", "--cfg", "--hydra-help"} & set(given):
        return
    folder, config = flags.get("--config-path", CONF), flags.get("--config-name", "config")
    words = [word for before, word in pairwise(["", *given]) if before not in VALUED]
    overrides = [word for word in words if not word.startswith("-")]
    cfg = configuration_from(os.path.abspath(folder), config, overrides)
    with in_plain_words(overrides), _no_trace(Path(cfg.run)):
        check_stages(cfg, stages(cfg))


def _flags(given: Sequence[str]) -> dict[str, str]:
    """Hydra's own options that take a value, with it."""
    return {flag: value for flag, value in pairwise(given) if flag in VALUED}


@contextmanager
def _no_trace(run: Path) -> Iterator[None]:
    """A run that is refused does not come to be, though libraries make their caches in it."""
    new = not run.exists()
    keep_caches(run)  # before the libraries of the stages are there
    try:
        yield
    except REFUSED:
        if new and run.exists():
            for cache in run.glob(".*"):
                shutil.rmtree(cache, ignore_errors=True)
            with suppress(OSError):  # another process may have begun the run
                run.rmdir()
        raise


def _check_one_of_many(cfg: DictConfig, stages: Callable[[DictConfig], Sequence[str]]) -> None:
    """The settings of a sweep; those of one run were checked before Hydra started."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        with in_plain_words(sys.argv[1:]):
            check_stages(cfg, stages(cfg))


def help_of(name: str, stages: Callable[[DictConfig], Sequence[str]]) -> str:
    """The text of `--help`."""
    about = (sys.modules["__main__"].__doc__ or "").splitlines()
    return manual(
        name, about[0] if about else "", tuple(stages(configuration_from(CONF, "config", [])))
    )


def _keep_private(cfg: DictConfig) -> None:
    """What the run writes is for whom the site says, by default for nobody else, and is here."""
    keep_private(Path(cfg.run), make_site(cfg.site).mask)


def refuse(error: BaseException) -> int:
    """Tell what is wrong in place of a stack; the exit status."""
    text = file_trouble(error) if isinstance(error, OSError) else one_line(error)
    if isinstance(error, OSError) and (error.errno in FULL or "No space left" in str(error)):
        text += "\nMake room, or choose another run=...; then the same command goes on from here."
    print(f"error: {text}", file=sys.stderr, flush=True)
    return WRONG


def run_stage(name: str, cfg: DictConfig) -> int:
    """Call hpcsbi.<name>.<name> with its node of the configuration."""
    stage = getattr(import_module(f"hpcsbi.stages.{name}"), name)
    before, start = _cpu_seconds(cfg, name), time.time()
    try:
        node = with_files_read(OmegaConf.to_container(cfg[name], resolve=True))
        if "site" in node.get("cluster", {}):  # jobs of its workers ask for what the stage does
            node["cluster"]["site"]["stage"] = name
        passed = stage(**instantiate(node, _convert_="all"))
    finally:  # a stage that ran out of time has cost something too
        if name not in LOOKING:
            _note_cost(cfg, name, _cpu_seconds(cfg, name) - before, time.time() - start)
    return FAILED if passed is False else 0


def _cpu_seconds(cfg: DictConfig, stage: str) -> float:
    """CPU seconds of this process, of the children that have ended, and of workers elsewhere."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    here = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    elsewhere = way_of(cfg) in NO_CHILDREN
    return here + (worker_seconds(Path(cfg.run), stage) if elsewhere else 0.0)


def _note_cost(cfg: DictConfig, stage: str, cpu_seconds: float, wall_seconds: float) -> None:
    run = Path(cfg.run)
    line: dict[str, Any] = {
        "stage": stage,
        "out": os.path.relpath(cfg[stage].out, run),
        "cpu_seconds": round(cpu_seconds, 2),
        "wall_seconds": round(wall_seconds, 2),
    }
    append_line(RunFolder(run).costs, line)
