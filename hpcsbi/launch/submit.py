"""Submit a run to SLURM, every stage a job that waits for those it needs."""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig

from hpcsbi.caches import keep_caches
from hpcsbi.cluster import sbatch, slurm
from hpcsbi.cluster.site import Site, make_site
from hpcsbi.errors import BadInput
from hpcsbi.launch.checkout import BATCH_SCRIPT
from hpcsbi.launch.checks import check_stages
from hpcsbi.launch.frozen import (
    FINISH,
    configuration_of,
    freeze,
    name_override,
    with_absolute_paths,
    with_groups,
)
from hpcsbi.launch.job import REFUSED, refuse
from hpcsbi.launch.time_limits import warn_of_short_limits
from hpcsbi.launch.transaction import Job, refuse_twice, submission
from hpcsbi.launch.waiting_readers import move_behind, waiting_readers
from hpcsbi.launch.ways import FOR_SLURM, way_of
from hpcsbi.launch.words import in_plain_words
from hpcsbi.pipeline import OF_A_RUN, STAGES, stages_of_run, waits
from hpcsbi.run import submissions
from hpcsbi.terminal import outlive_reader

NOT_SHOWN = (  # not among the commands, which a shell may be given
    "SLURM was shown none of these jobs: python jobs/doctor.py with the same site=... does that, "
    "and the submission before it submits the first."
)


def main() -> None:
    """Check everything that can be checked now, submit, print the jobs, return."""
    outlive_reader()
    parser = argparse.ArgumentParser(prog="slurm/pipeline.sh", description=__doc__)
    parser.add_argument("name", help="of the run")
    parser.add_argument("--dry-run", action="store_true", help="print what would be submitted")
    parser.add_argument("--stages", default="", help="some of them, with commas between")
    parser.add_argument("overrides", nargs="*", help="as for the jobs; cluster=array, site=... too")
    arguments = parser.parse_intermixed_args()
    keep_caches(None)
    try:
        cfg = _configuration(arguments.name, arguments.overrides)
        some = [stage for stage in arguments.stages.split(",") if stage]
        submit(cfg, some or stages_of_run(bool(cfg.ingest.files)), arguments.dry_run)
    except REFUSED as error:
        sys.exit(refuse(error))


def _configuration(name: str, overrides: Sequence[str]) -> DictConfig:
    """Composed for SLURM: in an allocation unless the overrides say otherwise."""
    given = list(overrides)
    if not any(override.startswith("cluster=") for override in given):
        given.append("cluster=allocation")
    return configuration_of([*given, name_override(name)])


def submit(
    cfg: DictConfig,
    stages: Sequence[str],
    dry_run: bool,
    only: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, str]:
    """Submit stages; returns the number of each one's (last) job.

    A stage waits for those before it, be they of this submission or in the queue already; what is
    in the queue and reads one of these waits for it from now on.

    Arguments:
        cfg: the configuration, with a cluster for SLURM.
        stages: names, in any order.
        dry_run: print instead.
        only: parts of a stage's array to submit, in place of all; without any it is only finished.

    Raises:
        ValueError: an unknown stage, a stage's arguments that are wrong, a cluster for one machine.
        SlurmError: SLURM is not there, or refuses one of the jobs; none is left in the queue.
        Unfinished: a stage is in the queue already, or a signal came; none is left in the queue.
    """
    unknown = [stage for stage in stages if stage not in OF_A_RUN]
    if unknown:
        raise BadInput(f"no stage {', '.join(unknown)}: choose from {', '.join(OF_A_RUN)}.")
    cfg, site = with_absolute_paths(cfg), make_site(cfg.site)
    run = Path(cfg.run)
    known = _known_jobs(run)
    queued = submissions.queued_jobs(known)
    with in_plain_words([]):  # what is wrong with the input is wrong now, not after a night
        check_stages(cfg, stages, tuple(queued))
    planned = _all_jobs(cfg, stages, run / "slurm" / "next", only)
    warn_of_short_limits(planned, site)
    if dry_run:
        numbers = queued | {stage: f"<{stage}>" for stage in stages}
        for job in planned:
            print(_command(job, numbers))
        for reader in waiting_readers(known, stages):
            wait = f"Dependency={_reader_waits(cfg, site, reader['stage'], numbers)}"
            print(shlex.join(["scontrol", "update", f"JobId={reader['job']}", wait]))
        print(NOT_SHOWN, file=sys.stderr)
        return {}
    ask_about(planned)
    with submission(run, site) as new:
        known = submissions.ask(run)
        refuse_twice(planned, run, known)
        _freeze(cfg, new.folder)
        numbers = submissions.queued_jobs(known)
        for job in _all_jobs(cfg, stages, new.folder, only):
            after = _after(job, numbers)
            numbers[job.stage] = number = new.add(job, after)
            print(f"{job.stage:10s} job {number}  {after}".rstrip(), flush=True)
    for reader in waiting_readers(known, stages):
        move_behind(reader, _reader_waits(cfg, site, reader["stage"], numbers), run)
    print(f"logs in {run / 'logs'}; python jobs/status.py run={run} tells how far it is.")
    return numbers


def _reader_waits(cfg: DictConfig, site: Site, stage: str, numbers: Mapping[str, str]) -> str:
    """What a job in the queue has to wait for from now on."""
    given = stage_options(cfg, stage, site).get("dependency")
    return ",".join(filter(None, (given, _dependency(waits(stage), numbers))))


def ask_about(jobs: Sequence[Job]) -> None:
    """Let SLURM refuse what it would refuse before anything is submitted or written.

    What would only not start now (a maintenance, say) is told.
    """
    told = set()
    for job in jobs:
        if (why := sbatch.would_submit(BATCH_SCRIPT, [job.stage], job.options)) and why not in told:
            told.add(why)
            print(f"warning: no such job can start now, it will wait: {why}", file=sys.stderr)


def _known_jobs(run: Path) -> list[dict]:
    """Jobs of the run as far as SLURM can be asked, for a dry run."""
    try:
        return submissions.ask(run)
    except slurm.SlurmError as error:
        print(f"warning: {error}", file=sys.stderr)
        return []


def _after(job: Job, numbers: Mapping[str, str]) -> str:
    """What a job waits for, as sbatch takes it."""
    return _dependency(job.waits, numbers)


def _dependency(kinds: Mapping[str, str], numbers: Mapping[str, str]) -> str:
    of_a_kind: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        if name in numbers:
            of_a_kind.setdefault(kind, []).append(numbers[name])
    return ",".join(":".join([kind, *jobs]) for kind, jobs in of_a_kind.items())


def _freeze(cfg: DictConfig, folder: Path) -> None:
    """Write the configuration of a submission, and that of a job that finishes an array."""
    cfg = cfg.copy()
    if way_of(cfg) == "array":
        cfg.cluster.count = cfg.site.tasks  # which part a task is does not hang on a variable
    freeze(cfg, folder / "config.yaml")
    freeze(with_groups(cfg, ["cluster=serial"]), folder / FINISH)


def stage_options(cfg: DictConfig, stage: str, site: Site, tasks: int = 1) -> dict[str, str]:
    """Options of sbatch for a stage in one process, or so many."""
    further = site.of_stage(stage).options
    resources = {"ntasks": tasks, "mem-per-cpu": site.memory}
    if any(further.get(name) is not None for name in ("mem", "mem-per-gpu")):
        del resources["mem-per-cpu"]  # SLURM takes one of them
    # sbatch replaces what follows a percent sign, which a folder may have too.
    logs = str(Path(cfg.run).absolute() / "logs").replace("%", "%%")
    ours = {"job-name": f"{cfg.name}-{stage}", "output": f"{logs}/{stage}-%j.log"}
    return site.sbatch_options(**resources | further | ours)


def _all_jobs(
    cfg: DictConfig,
    stages: Sequence[str],
    folder: Path,
    only: Mapping[str, Sequence[int]] | None,
) -> list[Job]:
    """The jobs of stages, in the order in which they need each other."""
    return [
        job
        for stage in OF_A_RUN
        if stage in stages
        for job in _jobs(cfg, stage, folder, (only or {}).get(stage))
    ]


def _jobs(cfg: DictConfig, stage: str, folder: Path, only: Sequence[int] | None) -> list[Job]:
    """The submission of a stage, for an array two: its tasks, and the one that finishes."""
    way, site = way_of(cfg), make_site(cfg.site)
    if way not in FOR_SLURM:
        raise BadInput(
            "cluster=serial and cluster=local run on this machine: submit with cluster=allocation "
            "(the default), cluster=slurm or cluster=array, or call jobs/pipeline.py."
        )
    options, needs, outs = stage_options(cfg, stage, site), waits(stage), (cfg[stage].out,)
    whole, finish = folder / "config.yaml", folder / FINISH
    if way == "slurm" or not STAGES[stage].fans_out:
        return [Job(stage, options, whole, needs, outs)]
    if way == "allocation":
        return [Job(stage, stage_options(cfg, stage, site, site.tasks), whole, needs, outs)]
    if only is not None and not only:
        return [Job(stage, options, finish, needs, outs, finishes=True)]
    array_options = options | {"array": _array(site, only), "output": task_logs(options["output"])}
    return [
        Job(stage, array_options, whole, needs, outs, site.tasks),
        Job(stage, options, finish, {stage: "afterok"}, outs, finishes=True),
    ]


def task_logs(output: str) -> str:
    """The log of one job as one for each task of an array."""
    folder, slash, name = output.rpartition("/")
    return folder + slash + name.replace("%j", "%A_%a")


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


def _command(job: Job, numbers: Mapping[str, str]) -> str:
    waits = _after(job, numbers)
    after = [f"--dependency={waits}"] if waits else []
    return shlex.join(
        ["sbatch", *sbatch.flags(job.options), *after, "slurm/stage.sbatch", job.stage]
    )
