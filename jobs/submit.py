"""Submit a run to SLURM, every stage a job that waits for those it needs."""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from frozen import composed, freeze, next_folder, with_groups
from hydra.utils import instantiate
from omegaconf import DictConfig
from stage import REFUSED, refuse

from hpcsbi import slurm
from hpcsbi.errors import BadInput
from hpcsbi.site import Site, make_site

ROOT = Path(__file__).resolve().parents[1]
# Stage -> what it waits for: "afterok" that the stage succeeds, "afterany" that it ends.
NEEDS = {
    "tabulate": {},
    "simulate": {"tabulate": "afterok"},
    "augment": {"simulate": "afterok"},
    "train": {"augment": "afterok"},
    "calibrate": {"train": "afterok"},
    "ingest": {},
    "infer": {"train": "afterok", "ingest": "afterok"},
    "fit": {"infer": "afterok"},
    # A flow that fails its calibration is for the page to tell.
    "report": {"calibrate": "afterany", "infer": "afterok"},
}
ALONE = ("train", "report")  # one process; all others fan out
WAYS = {
    "hpcsbi.allocation.Allocation": "allocation",
    "hpcsbi.elastic.Elastic": "slurm",
    "hpcsbi.cluster.Array": "array",
}


@dataclass(frozen=True)
class Job:
    """One submission.

    Arguments:
        stage: what runs.
        script: batch script in slurm/.
        options: of sbatch, without dashes.
        config: frozen configuration.
        waits: stage -> kind of dependency.
        parts: number of parts of a whole array.
    """

    stage: str
    script: str
    options: dict[str, str]
    config: Path
    waits: dict[str, str]
    parts: int = 0

    def environment(self, site: Site) -> dict[str, str]:
        """Variables that slurm/stage.sbatch reads."""
        found = {
            "HPCSBI_ROOT": str(ROOT),
            "HPCSBI_PYTHON": sys.executable,
            "HPCSBI_CONFIG": str(self.config),
            "HPCSBI_SETUP": "\n".join(site.setup),
            "HPCSBI_REQUEUES": str(site.requeues),
            "HPCSBI_UMASK": site.umask,
        }
        return found | ({"HPCSBI_PARTS": str(self.parts)} if self.parts else {})


def main() -> None:
    """Check everything that can be checked now, submit, print the jobs, return."""
    parser = argparse.ArgumentParser(prog="slurm/pipeline.sh", description=__doc__)
    parser.add_argument("name", help="of the run")
    parser.add_argument("--dry-run", action="store_true", help="print what would be submitted")
    parser.add_argument("--stages", default="", help="some of them, with commas between")
    parser.add_argument("overrides", nargs="*", help="as for the jobs; cluster=array, site=... too")
    arguments = parser.parse_intermixed_args()
    try:
        cfg = _configuration(arguments.name, arguments.overrides)
        stages = [stage for stage in arguments.stages.split(",") if stage] or chain(cfg)
        submit(cfg, stages, arguments.dry_run)
    except REFUSED as error:
        sys.exit(refuse(error))


def _configuration(name: str, overrides: Sequence[str]) -> DictConfig:
    """Composed for SLURM: in an allocation unless the overrides say otherwise."""
    given = list(overrides)
    if not any(override.startswith("cluster=") for override in given):
        given.append("cluster=allocation")
    return composed([*given, f"name={name}"])


def chain(cfg: DictConfig) -> list[str]:
    """All stages of a run, those of real spectra where there are any; `fit` only by name."""
    without = ("fit",) if cfg.ingest.files else ("ingest", "infer", "fit")
    return [stage for stage in NEEDS if stage not in without]


def submit(
    cfg: DictConfig,
    stages: Sequence[str],
    dry_run: bool,
    only: Mapping[str, Sequence[int]] | None = None,
    queued: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Submit stages; returns the number of each one's (last) job.

    Arguments:
        cfg: the configuration, with a cluster for SLURM.
        stages: names, in any order.
        dry_run: print instead.
        only: parts of a stage's array to submit, in place of all; without any it is only finished.
        queued: stage -> number of a job of an earlier submission to wait for.

    Raises:
        ValueError: an unknown stage, a stage's arguments that are wrong, a cluster for one machine.
        SlurmError: SLURM is not there, or refuses one of the jobs; none is left in the queue.
    """
    unknown = [stage for stage in stages if stage not in NEEDS]
    if unknown:
        raise BadInput(f"no stage {', '.join(unknown)}: choose from {', '.join(NEEDS)}.")
    site = make_site(cfg.site)
    for stage in stages:  # what is wrong with the input is wrong now, not after a night
        check_arguments(cfg, stage)
    configs, queued = _frozen(cfg, dry_run), dict(queued or {})
    jobs = [
        job
        for stage in NEEDS
        if stage in stages
        for job in _jobs(cfg, stage, configs, (only or {}).get(stage))
    ]
    if dry_run:
        names = {stage: f"<{stage}>" for stage in stages}
        for job in jobs:
            print(_command(job, queued | names))
        return {}
    for job in jobs:
        slurm.submit(_script(job), [job.stage], job.options, job.environment(site), test=True)
    return _submit_all(jobs, site, Path(cfg.run), queued)


def _submit_all(
    jobs: Sequence[Job], site: Site, run: Path, numbers: dict[str, str]
) -> dict[str, str]:
    """Submit in order; if one is refused, those before it are cancelled."""
    lines: list[dict] = []
    try:
        for job in jobs:
            after = _after(job, numbers)
            wait = {"dependency": after, "kill-on-invalid-dep": "yes"} if after else {}
            number = slurm.submit(
                _script(job), [job.stage], job.options | wait, job.environment(site)
            )
            numbers[job.stage] = number
            lines.append(line_of(job, number))
            print(f"{job.stage:10s} job {number}  {after}".rstrip(), flush=True)
    except slurm.SlurmError:
        slurm.cancel(line["job"] for line in lines)
        raise
    record(run, lines)
    print(f"logs in {run / 'logs'}; python jobs/status.py run={run} tells how far it is.")
    return numbers


def _after(job: Job, numbers: Mapping[str, str]) -> str:
    """What a job waits for, as sbatch takes it."""
    waits = [f"{kind}:{numbers[name]}" for name, kind in job.waits.items() if name in numbers]
    return ",".join(waits)


def record(run: Path, lines: Sequence[dict]) -> None:
    """Note jobs for `status`; those that cannot be noted are cancelled: nobody knows of them."""
    try:
        with (run / "slurm" / "jobs.jsonl").open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    except OSError:
        slurm.cancel(line["job"] for line in lines)
        raise


def line_of(job: Job, number: str) -> dict:
    """What `status` reads of a job."""
    return {
        "job": number,
        "stage": job.stage,
        "parts": job.parts,
        "array": job.options.get("array", ""),
        "log": job.options["output"],
        "config": str(job.config),
        "submitted": time.time(),
    }


def check_arguments(cfg: DictConfig, stage: str) -> None:
    """Build the stage's arguments, all but the cluster, which exists inside the job only."""
    node = {key: value for key, value in cfg[stage].items() if key != "cluster"}
    instantiate(node, _convert_="all")


def _frozen(cfg: DictConfig, dry_run: bool) -> tuple[Path, Path]:
    """Paths of the configuration of this submission, and of the one that finishes an array."""
    folder = next_folder(Path(cfg.run))
    paths = folder / "config.yaml", folder / "finish.yaml"
    if not dry_run:
        Path(cfg.run).mkdir(parents=True, exist_ok=True, mode=0o700)
        (Path(cfg.run) / "logs").mkdir(exist_ok=True, mode=0o700)
        freeze(cfg, paths[0])
        freeze(with_groups(cfg, ["cluster=serial"]), paths[1])
    return paths


def alone(cfg: DictConfig, stage: str, site: Site) -> dict[str, str]:
    """Options of sbatch for a stage in one process."""
    log = Path(cfg.run).absolute() / "logs" / f"{stage}-%j.log"
    own = {"job-name": f"{cfg.name}-{stage}", "mem-per-cpu": site.memory, "ntasks": 1}
    more = site.train if stage == "train" else {}
    return site.asked(**{**own, "output": log, **more})


def _jobs(
    cfg: DictConfig, stage: str, configs: tuple[Path, Path], only: Sequence[int] | None
) -> list[Job]:
    """The submission of a stage, for an array two: its tasks, and the one that finishes."""
    way, site = WAYS.get(cfg.cluster._target_), make_site(cfg.site)
    if way is None:
        raise BadInput(
            "cluster=serial and cluster=local run on this machine: submit with cluster=allocation "
            "(the default), cluster=slurm or cluster=array, or call jobs/pipeline.py."
        )
    one, needs = alone(cfg, stage, site), NEEDS[stage]
    if stage in ALONE or way == "slurm":
        return [Job(stage, "stage.sbatch", one, configs[0], needs)]
    if way == "allocation":
        return [Job(stage, "stage.sbatch", one | {"ntasks": str(site.tasks)}, configs[0], needs)]
    if only is not None and not only:
        return [Job(stage, "stage.sbatch", one, configs[1], needs)]
    tasks = one | {"array": _array(site, only), "output": one["output"].replace("%j", "%A_%a")}
    return [
        Job(stage, "array.sbatch", tasks, configs[0], needs, site.tasks),
        Job(stage, "stage.sbatch", one, configs[1], {stage: "afterok"}),
    ]


def _array(site: Site, only: Sequence[int] | None) -> str:
    """Indices of an array, e.g. "0-99%20"."""
    limit = slurm.largest_array()
    if limit is not None and site.tasks > limit:
        raise slurm.SlurmError(
            f"site.tasks={site.tasks} is more than an array may have here ({limit}): lower it; "
            "a part makes as many shards as it takes."
        )
    indices = f"0-{site.tasks - 1}" if only is None else ",".join(str(index) for index in only)
    return indices + (f"%{site.throttle}" if site.throttle else "")


def _script(job: Job) -> Path:
    return ROOT / "slurm" / job.script


def _command(job: Job, numbers: Mapping[str, str]) -> str:
    waits = _after(job, numbers)
    after = [f"--dependency={waits}"] if waits else []
    return shlex.join(
        ["sbatch", *slurm.flags(job.options), *after, f"slurm/{job.script}", job.stage]
    )


if __name__ == "__main__":
    main()
