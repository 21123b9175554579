"""Submit to SLURM what of a run failed or is missing, and nothing else."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig

from hpcsbi.caches import keep_caches
from hpcsbi.cluster.job_words import error_lines
from hpcsbi.launch.frozen import configuration_of, name_override, thaw, with_absolute_paths
from hpcsbi.launch.job import REFUSED, refuse
from hpcsbi.launch.submit import submit
from hpcsbi.launch.ways import way_of
from hpcsbi.pipeline import OF_A_RUN, STAGES
from hpcsbi.run import submissions
from hpcsbi.run.folder import RunFolder
from hpcsbi.run.progress import WorkLeft, work_left
from hpcsbi.store.locks import holders
from hpcsbi.terminal import outlive_reader


def main() -> None:
    """Look at the run, submit, print the jobs, return."""
    outlive_reader()
    parser = argparse.ArgumentParser(prog="python jobs/retry.py", description=__doc__)
    parser.add_argument("name", help="of the run")
    parser.add_argument("--dry-run", action="store_true", help="print what would be submitted")
    parser.add_argument(
        "overrides", nargs="*", help="run=FOLDER if it has one, site.time=..., cluster=array ..."
    )
    arguments = parser.parse_intermixed_args()
    keep_caches(None)
    try:
        retry(arguments.name, arguments.overrides, arguments.dry_run)
    except REFUSED as error:
        sys.exit(refuse(error))


def retry(name: str, overrides: Sequence[str], dry_run: bool = False) -> dict[str, str]:
    """Submit stages that were submitted before and are neither done nor in the queue.

    Arguments:
        name: of the run.
        overrides: over the configuration of the newest submission.
        dry_run: print instead.

    Returns:
        stage -> number of its (last) job.

    Raises:
        FileNotFoundError: the run was never submitted.
        Damaged: a product that its stage would refuse.
        SlurmError: SLURM is not there, or refuses one of the jobs.
    """
    run = Path(configuration_of([name_override(name), *_only_run(overrides)]).run)
    cfg = with_absolute_paths(thaw(_newest_configuration(run, name), overrides))
    jobs = submissions.ask(run)
    known = {job["stage"] for job in jobs}
    queued = _queued_stages(jobs)
    todo = _todo(cfg, [stage for stage in OF_A_RUN if stage in known], queued)
    refused = _tell_failures(jobs, todo)
    if not todo:
        print("nothing to submit." if queued else "nothing is missing.")
        if refused:
            print(
                f"{', '.join(refused)} would fail again: mend it as told, then slurm/pipeline.sh."
            )
        return {}
    return submit(cfg, list(todo), dry_run, _parts(cfg, todo))


def _only_run(overrides: Sequence[str]) -> list[str]:
    return [override for override in overrides if override.startswith("run=")]


def _newest_configuration(run: Path, name: str) -> Path:
    """Configuration of the newest submission."""
    paths = [folder / "config.yaml" for folder in RunFolder(run).numbered_submissions]
    configurations = [path for path in paths if path.exists()]
    if not configurations:
        raise FileNotFoundError(
            f"{run} was never submitted: slurm/pipeline.sh {name} does that; if it was, with "
            "run=FOLDER, give the same here."
        )
    return configurations[-1]


def _queued_stages(jobs: Sequence[dict]) -> dict[str, str]:
    """Stages with a job that waits or runs -> the last of these jobs; tells of them."""
    for job in jobs:
        if job["active"]:
            waits = [f"({wait['reason']}: {wait['mend']})" for wait in job["waits"]]
            print(
                f"{job['stage']:10} left alone, job {job['job']}: {job['state']} {' '.join(waits)}"
            )
    return submissions.queued_jobs(jobs)


def _todo(cfg: DictConfig, stages: Sequence[str], queued: dict[str, str]) -> dict[str, WorkLeft]:
    """Stages to submit, and what each has to do."""
    todo = {}
    for stage in stages:
        out = Path(cfg[stage].out)
        if stage in queued:
            continue
        if drivers := holders(out):
            driver = drivers[0]
            print(f"{stage:10} left alone, process {driver['pid']} on {driver['host']} is at it")
            continue
        what = work_left(stage, out)
        if stage == "report" and what is None and (todo or queued):
            what = WorkLeft("to be made again, when the others are")
        if what:
            todo[stage] = what
            print(f"{stage:10} {what.why}")
    return todo


def _tell_failures(jobs: Sequence[dict], todo: Mapping[str, WorkLeft]) -> list[str]:
    """Tell how newest jobs failed, and why; returns stages that lack nothing and were refused.

    A product of other settings, for one, is whole, and its stage has refused to touch it.
    """
    refused = []
    for job in jobs:
        if not (job["newest"] and job["failures"]) or job["active"]:
            continue
        stage, failure = job["stage"], job["failures"][0]
        why = f" ({failure['why']})" if failure["why"] else ""
        left = "" if stage in todo else ", not submitted again: nothing is missing of what it makes"
        print(f"{stage:10} job {failure['job']} {failure['state']}{why}{left}")
        error = error_lines(Path(failure["log"]))
        print("".join(f"{'':10}   {line}\n" for line in error), end="")
        refused += [stage] * bool(error and left)
    return refused


def _parts(cfg: DictConfig, todo: dict[str, WorkLeft]) -> dict[str, list[int]]:
    """Parts of arrays that have something to make."""
    if way_of(cfg) != "array":
        return {}
    parts = cfg.site.tasks
    return {
        stage: sorted({shard % parts for shard in what.shards})
        for stage, what in todo.items()
        if STAGES[stage].fans_out and what.shards is not None
    }
