"""SLURM: whether its programs answer, and whether it would take the jobs of a run."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpcsbi.cluster import sbatch
from hpcsbi.cluster.slurm import cluster
from hpcsbi.cluster.slurm_commands import SlurmError, answer
from hpcsbi.health.check import OK, WARNING, WRONG, Check

__all__ = ["answers", "jobs", "not_needed", "programs"]

LATER = "try again when it answers, ask the site, or run here with cluster=local"
SET = "set the options in conf/site (site=...), or as site.account=... beside it"

QUEUE = ["squeue", "--me", "--noheader", "--format=%i"]
ACCOUNTS = ["sacct", "--allocations", "--noheader", "--parsable2", "--starttime=now"]


def programs() -> list[Check]:
    """Ask the programs that a run on SLURM asks, until one does not answer."""
    try:
        jobs_of_ours = len(answer(QUEUE).split())
        version, name = answer(["squeue", "--version"]).strip(), cluster()
    except SlurmError as error:
        return [Check("SLURM", WRONG, error.problem, error.mend or LATER)]
    words = f"{version}, cluster {name or 'without a name'}; {jobs_of_ours} jobs of yours"
    return [Check("SLURM", OK, words), _accounts()]


def not_needed() -> Check:
    """What is told of it to a run that stays on this machine."""
    there = "is on this machine" if shutil.which("squeue") else "is not here"
    words = f"{there}, and not asked: the run stays here (site=NAME or cluster=allocation asks it)"
    return Check("SLURM", OK, words)


def answers(checks: Sequence[Check]) -> bool:
    """Whether SLURM is there, by what `programs` returned."""
    return checks[0].state == OK


def jobs(script: Path, options: Mapping[str, Mapping[str, str]]) -> list[Check]:
    """Show SLURM a job of each kind, as `sbatch --test-only` does, and submit none.

    Arguments:
        script: the batch script.
        options: stage -> options of sbatch without dashes, as the site has them.
    """
    return [_shown(script, stage, asked) for stage, asked in options.items()]


def _accounts() -> Check:
    """Only how jobs ended hangs on it, and that for minutes in the queue too."""
    try:
        answer(ACCOUNTS)
    except SlurmError:
        words = "does not answer: how jobs ended is known for some minutes only"
        return Check("sacct", WARNING, words, "ask the site for SLURM's accounting, or do without")
    return Check("sacct", OK, "answers")


def _shown(script: Path, stage: str, options: Mapping[str, str]) -> Check:
    name = f"job {stage}"
    asked = " ".join(sbatch.flags({k: v for k, v in options.items() if k != "output"}))
    try:
        late = sbatch.would_submit(script, [stage], options)
    except SlurmError as error:
        said = error.problem.splitlines()[0]
        return Check(name, WRONG, f"{said} ({asked})", error.mend or SET)
    if late:
        mend = "nothing, where that is a maintenance; else ask for less (site.time, site.tasks)"
        return Check(name, WARNING, f"SLURM would take it, and not start it now: {late}", mend)
    return Check(name, OK, f"SLURM would take it ({asked})")
