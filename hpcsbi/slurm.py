"""SLURM, spoken to through its own commands: submit, ask, cancel."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hpcsbi.errors import Unfinished

__all__ = [
    "ACTIVE",
    "JobState",
    "SlurmError",
    "account_states",
    "cancel",
    "end_time",
    "flags",
    "jobs",
    "largest_array",
    "own_job",
    "queue_states",
    "restarts",
    "spread",
    "submit",
    "tasks_of",
    "waiting",
]

ACTIVE = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "STOPPED")
MISSING = (
    "{program} is not on the path: log in to a SLURM cluster, or try one on this machine with "
    'slurm/lab.sh start && eval "$(slurm/lab.sh env)", or run here with cluster=local.'
)


class SlurmError(Unfinished):
    """SLURM is not there, or refused; says what it printed."""


@dataclass(frozen=True)
class JobState:
    """What SLURM says of a job or of one task of an array.

    Arguments:
        state: RUNNING, PENDING, COMPLETED, FAILED, TIMEOUT, OUT_OF_MEMORY, NODE_FAIL, CANCELLED ...
        reason: why it waits or ended, "" where SLURM gives none.
        exit_code: "status:signal", "" where it is not known.
    """

    state: str
    reason: str = ""
    exit_code: str = ""

    @property
    def active(self) -> bool:
        """True while the job waits or runs."""
        return self.state in ACTIVE


def flags(options: Mapping[str, str]) -> list[str]:
    """Options as sbatch reads them; "" for a bare one."""
    return [f"--{key}={value}" if value else f"--{key}" for key, value in options.items()]


def submit(
    script: Path,
    arguments: Sequence[str],
    options: Mapping[str, str],
    environment: Mapping[str, str],
    test: bool = False,
) -> str:
    """Submit a script; returns the job's number ("" with `test`, which only asks whether it would).

    Arguments:
        script: the batch script.
        arguments: its arguments.
        options: options of sbatch without dashes, e.g. {"partition": "main"}; "" for a bare one.
        environment: variables the job gets beside those of this process.

    Raises:
        SlurmError: SLURM is not there or refuses; with the reason and what was asked.
    """
    given = flags(options)
    command = ["sbatch", "--parsable", *given, str(script), *arguments]
    if test:
        command.insert(1, "--test-only")
    done = _call(command, {**os.environ, **environment})
    if done.returncode:
        raise SlurmError(
            f"sbatch refused: {_first_line(done.stderr)}\n  {' '.join(given)}"
            "\nThe options come from conf/site (site=...): mend them there, or choose another."
        )
    return done.stdout.strip().split(";")[0]


def jobs(ids: Iterable[str]) -> dict[str, JobState]:
    """State of some jobs; an array is spread into its tasks ("12_3"). Forgotten ones are left out.

    squeue tells of those that wait, run or have just ended; the accounting, where there is one, of
    all others.

    Raises:
        SlurmError: SLURM is not there.
    """
    ids = sorted(set(ids))
    if not ids:
        return {}
    fields = "%i|%T|%r"
    # One unknown number makes squeue refuse all: ask for everything of this user.
    seen = _call(["squeue", "--noheader", "--array", "--states=all", "--me", f"--format={fields}"])
    if seen.returncode:
        raise SlurmError(f"squeue: {_first_line(seen.stderr)}")
    return _merged(queue_states(seen.stdout, ids), account_states(_accounted(ids)))


def _merged(queued: dict[str, JobState], ended: dict[str, JobState]) -> dict[str, JobState]:
    """The accounting says more of what has ended, but lags behind the queue."""
    found = dict(queued)
    for job, state in ended.items():
        seen = queued.get(job)
        if seen is None:
            found[job] = state
        elif not seen.active and not state.active:
            found[job] = JobState(state.state, state.reason or seen.reason, state.exit_code)
    return found


def queue_states(text: str, ids: Sequence[str]) -> dict[str, JobState]:
    """States from what `squeue --array --format=%i|%T|%r` printed."""
    found = {}
    for line in text.splitlines():
        job, state, reason = line.split("|", 2)
        if job.split("_")[0] in ids:
            found[job] = JobState(state, "" if reason == "None" else reason)
    return found


def account_states(text: str) -> dict[str, JobState]:
    """States from what `sacct --parsable2 --format=JobID,State,Reason,ExitCode` printed.

    The reason of a job that somebody cancelled is "by UID"; one that SLURM cancelled because what
    it waited for failed has Dependency.
    """
    found = {}
    for line in text.splitlines():
        jobs, state, reason, code = line.split("|")
        state, _, by = state.partition(" ")  # "CANCELLED by 1000"
        reason = by or ("" if reason == "None" else reason)
        found |= dict.fromkeys(spread(jobs), JobState(state, reason, code))
    return found


def spread(jobs: str) -> list[str]:
    """Tasks that stand on one line: "12_[0-2,5%4]" is 12_0, 12_1, 12_2 and 12_5."""
    array, bracket, tasks = jobs.partition("_[")
    if not bracket:
        return [jobs]
    found = []
    for part in tasks.rstrip("]").split("%")[0].split(","):
        ends, _, step = part.partition(":")
        first, _, last = ends.partition("-")
        found += range(int(first), int(last or first) + 1, int(step or 1))
    return [f"{array}_{task}" for task in found]


def _accounted(ids: Sequence[str]) -> str:
    """What the accounting says; nothing where there is none."""
    if shutil.which("sacct") is None:
        return ""
    command = ["sacct", "--allocations", "--noheader", "--parsable2", f"--jobs={','.join(ids)}"]
    seen = _call([*command, "--format=JobID,State,Reason,ExitCode"])
    return "" if seen.returncode else seen.stdout


def tasks_of(job: str, states: Mapping[str, JobState]) -> dict[str, JobState]:
    """Of some states those of one job: itself, or the tasks of its array."""
    return {name: state for name, state in states.items() if name.split("_")[0] == job}


def waiting(name: str) -> dict[str, JobState]:
    """Jobs of this user of that name which wait, and why."""
    command = ["squeue", "--noheader", "--me", f"--name={name}", "--states=PENDING"]
    lines = _call([*command, "--format=%i|%T|%r"]).stdout.splitlines()
    return {job: JobState(state, why) for job, state, why in (line.split("|") for line in lines)}


def cancel(ids: Iterable[str]) -> None:
    """Cancel jobs; those that have ended are left alone."""
    if ids := list(ids):
        _call(["scancel", *ids])


def own_job() -> str | None:
    """Number of the job that this process runs in ("12_3" in an array), None outside."""
    job, array = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else job


def restarts() -> int:
    """How often this job was queued again."""
    return int(os.environ.get("SLURM_RESTART_COUNT", 0))


def end_time() -> float | None:
    """When SLURM ends this job, seconds since 1970; None outside a job or without a limit."""
    if "SLURM_JOB_ID" not in os.environ:
        return None
    if "SLURM_JOB_END_TIME" in os.environ:
        return float(os.environ["SLURM_JOB_END_TIME"])
    # Before SLURM 23.02 the environment does not tell.
    job = os.environ["SLURM_JOB_ID"]
    text = _call(["squeue", "--noheader", f"--job={job}", "--format=%e"]).stdout.strip()
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def largest_array() -> int | None:
    """Highest number of tasks in an array, None where SLURM does not tell."""
    lines = _call(["scontrol", "show", "config"]).stdout.splitlines()
    limits = [line.split("=")[1].strip() for line in lines if line.startswith("MaxArraySize")]
    return int(limits[0]) - 1 if limits else None


def _call(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess:
    if shutil.which(command[0]) is None:
        raise SlurmError(MISSING.format(program=command[0]))
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["it gave no reason"])[0]
