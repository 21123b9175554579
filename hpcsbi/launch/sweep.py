"""A sweep of one stage as one SLURM array: task i runs the stage with configuration i."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from hpcsbi.cluster import slurm
from hpcsbi.cluster.site import Site, make_site
from hpcsbi.errors import BadInput
from hpcsbi.launch.checks import check_stages
from hpcsbi.launch.frozen import freeze, with_absolute_paths
from hpcsbi.launch.submit import ask_about, stage_options, task_logs
from hpcsbi.launch.time_limits import warn_of_short_limits
from hpcsbi.launch.transaction import Job, refuse_twice, submission
from hpcsbi.launch.ways import CLASSES
from hpcsbi.pipeline import OF_A_RUN
from hpcsbi.run import submissions

SERIAL = {"_target_": CLASSES["serial"], "workers": 1}


def check(cfg: DictConfig) -> None:
    """What can be known before the settings are: the stage, and whether SLURM takes such a job.

    Raises:
        ValueError: a job that is no stage, an unknown key of the site.
        SlurmError: SLURM is not there or refuses, or more tasks than an array may have.
    """
    stage = cfg.hydra.job.name
    if stage not in OF_A_RUN:
        raise BadInput(
            f"jobs/{stage}.py is no stage: hydra/launcher=slurm_array sweeps {', '.join(OF_A_RUN)}."
        )
    site, tasks = make_site(cfg.site), _count(cfg.hydra.overrides.task)
    os.umask(site.mask)
    limit = slurm.largest_array()
    if limit is not None and tasks > limit:
        raise slurm.SlurmError(
            f"{tasks} settings are more than an array may have here ({limit}): sweep in parts."
        )
    jobs = [Job(stage, _options(cfg, stage, site, tasks), Path(), {})]
    warn_of_short_limits(jobs, site)
    ask_about(jobs)


def _count(overrides: Sequence[str]) -> int:
    """Number of settings: composing a thousand of them takes minutes."""
    swept = OverridesParser.create().parse_overrides(list(overrides))
    return prod(
        len(list(override.sweep_iterator())) for override in swept if override.is_sweep_override()
    )


def submit(cfgs: Sequence[DictConfig], overrides: Sequence[Sequence[str]]) -> str:
    """Write the configurations, submit the array, note it for `status`; returns its number.

    Arguments:
        cfgs: one for each task, with Hydra's own node.
        overrides: what each was composed from.

    Raises:
        ValueError: arguments of a stage that are wrong, several runs, two tasks with one product.
        SlurmError: SLURM refuses; nothing is in the queue.
    """
    stage = cfgs[0].hydra.job.name
    cfgs = [with_absolute_paths(_of_a_task(cfg)) for cfg in cfgs]
    _refuse_collisions(cfgs, stage)
    for cfg in cfgs:
        check_stages(cfg, [stage])
    site, run = make_site(cfgs[0].site), Path(cfgs[0].run)
    tasks = tuple(
        _task(cfg, stage, varied)
        for cfg, varied in zip(cfgs, _varied_overrides(overrides), strict=True)
    )
    options = _options(cfgs[0], stage, site, len(cfgs))
    outs = tuple(cfg[stage].out for cfg in cfgs)
    with submission(run, site) as new:
        folder = new.folder / "settings"
        job = Job(stage, options, folder, {}, outs, len(cfgs), tasks=tasks)
        refuse_twice([job], run, submissions.ask(run))
        for i, cfg in enumerate(cfgs):
            freeze(cfg, folder / f"{i}.yaml", f"${{run}}/hydra/${{hydra.job.name}}/{i}")
        number = new.add(job)
    for i, task in enumerate(tasks):
        print(f"{stage:10s} job {number}_{i}  {' '.join(task['overrides'])}")
    print(f"logs in {run / 'logs'}; python jobs/compare.py run={run} tells how far it is.")
    return number


def _options(cfg: DictConfig, stage: str, site: Site, tasks: int) -> dict[str, str]:
    """Options of sbatch for the array."""
    options = stage_options(cfg, stage, site)
    throttle = f"%{site.throttle}" if site.throttle else ""
    return options | {"output": task_logs(options["output"]), "array": f"0-{tasks - 1}{throttle}"}


def _of_a_task(cfg: DictConfig) -> DictConfig:
    """The configuration without Hydra's node, for one process."""
    cfg = cfg.copy()
    with open_dict(cfg):
        del cfg["hydra"]
        cfg.cluster = SERIAL
        cfg.judge = True if cfg.judge is None else cfg.judge
    return cfg


def _refuse_collisions(cfgs: Sequence[DictConfig], stage: str) -> None:
    """One array is of one run, and each of its tasks makes a product of its own."""
    runs = sorted({cfg.run for cfg in cfgs})
    if len(runs) > 1:
        raise BadInput(
            f"one array is of one run, not of {', '.join(runs)}: submit each of them by itself."
        )
    out, times = Counter(cfg[stage].out for cfg in cfgs).most_common(1)[0]
    if times > 1:
        raise BadInput(
            f"{times} of the settings would write {out}: put what differs into {stage}.out, as in "
            f"'{stage}.out=${{run}}/{stage}_${{seed}}'."
        )


def _varied_overrides(overrides: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """Of the overrides of each task those that not all have."""
    common = set(overrides[0]).intersection(*overrides) if len(overrides) > 1 else set()
    for given in overrides:
        yield [override for override in given if override not in common]


def _task(cfg: DictConfig, stage: str, varied: Sequence[str]) -> dict:
    """What `status` and `compare` read of a task."""
    task = {"overrides": list(varied), "out": os.path.relpath(cfg[stage].out, cfg.run)}
    if stage == "train":
        flow = OmegaConf.to_container(cfg.flow, resolve=True)
        task["flow"] = {key: flow[key] for key in ("network", "hidden", "transforms")}
    return task
