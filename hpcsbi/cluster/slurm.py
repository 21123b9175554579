"""What SLURM knows of jobs, asked of its own programs, and how to cancel them."""

import shutil
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hpcsbi.cluster import this_job
from hpcsbi.cluster.slurm_commands import (
    PATIENCE,
    WAITS,
    SlurmError,
    answer,
    call,
    clean_environment,
    reason,
)

__all__ = [
    "ACTIVE",
    "JobState",
    "SlurmError",
    "account_states",
    "array_tasks",
    "cancel",
    "cluster",
    "is_elsewhere",
    "jobs",
    "jobs_below",
    "largest_array",
    "let_wait",
    "queue_states",
    "tasks_of",
    "waiting_jobs",
]

ACTIVE = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "STOPPED")
ACCOUNTING = 15.0  # seconds for sacct, which tells more but nothing that decides


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


def jobs_below(folder: Path, active: bool = False) -> dict[str, Path]:
    """Numbers of the jobs that start in or below a folder -> where; of arrays theirs.

    Arguments:
        folder: absolute.
        active: leave out those that have ended.

    Raises:
        SlurmError: it is not known.
    """
    states = [] if active else ["--states=all"]
    text = answer(["squeue", "--all", "--noheader", *states, "--format=%F|%Z"])
    parts = (line.partition("|") for line in text.splitlines())
    starts = {number.strip(): Path(start) for number, bar, start in parts if bar}
    return {job: start for job, start in starts.items() if start.is_relative_to(folder)}


def jobs(ids: Iterable[str], own: bool = False) -> dict[str, JobState]:
    """State of some jobs; an array is spread into its tasks ("12_3"). Forgotten ones are left out.

    squeue tells of those that wait, run or have just ended, whoever's they are; the accounting,
    where there is one, of all others.

    Arguments:
        ids: numbers of jobs.
        own: they are this user's, to whom SLURM shows them in any case.

    Raises:
        SlurmError: it is not known which of them wait or run.
    """
    ids = sorted(set(ids))
    if not ids:
        return {}
    # One unknown number makes squeue refuse all: ask for everything.
    command = ["squeue", "--all", "--noheader", "--array", "--states=all", "--format=%i|%T|%r"]
    states = _merged(queue_states(answer(command), ids), account_states(_accounted(ids)))
    missing = set(ids) - {job.split("_")[0] for job in states}
    if missing and not own and "jobs" in (_configured("PrivateData") or ""):
        raise SlurmError(
            f"SLURM does not show the jobs of other users here (PrivateData), so whether "
            f"{', '.join(sorted(missing))} wait or run is not known: ask whose they are."
        )
    return states


def _merged(queued: dict[str, JobState], ended: dict[str, JobState]) -> dict[str, JobState]:
    """The accounting says more of what has ended, but lags behind the queue."""
    states = dict(queued)
    for job, state in ended.items():
        in_queue = queued.get(job)
        if in_queue is None:
            states[job] = state
        elif not in_queue.active and not state.active:
            states[job] = JobState(state.state, state.reason or in_queue.reason, state.exit_code)
    return states


def queue_states(text: str, ids: Sequence[str]) -> dict[str, JobState]:
    """States from what `squeue --array --format=%i|%T|%r` printed."""
    states = {}
    for job, state, why in _rows(text, 3):
        if job.split("_")[0] in ids:
            states[job] = JobState(state, "" if why == "None" else why)
    return states


def account_states(text: str) -> dict[str, JobState]:
    """States from what `sacct --parsable2 --format=JobID,State,Reason,ExitCode` printed.

    The reason of a job that somebody cancelled is "by UID"; one that SLURM cancelled because what
    it waited for failed has Dependency.
    """
    states = {}
    for jobs, state, why, code in _rows(text, 4):
        state, _, by = state.partition(" ")  # "CANCELLED by 1000"
        why = by or ("" if why == "None" else why)
        states |= dict.fromkeys(array_tasks(jobs), JobState(state, why, code))
    return states


def _rows(text: str, fields: int) -> list[list[str]]:
    """Lines about jobs; a banner that a site's wrapper prints is none."""
    rows = [line.split("|", fields - 1) for line in text.splitlines() if line[:1].isdigit()]
    return [row for row in rows if len(row) == fields]


def array_tasks(jobs: str) -> list[str]:
    """Tasks that stand on one line: "12_[0-2,5%4]" is 12_0, 12_1, 12_2 and 12_5."""
    array, bracket, tasks = jobs.partition("_[")
    if not bracket:
        return [jobs]
    numbers = []
    for part in tasks.rstrip("]").split("%")[0].split(","):
        ends, _, step = part.partition(":")
        first, _, last = ends.partition("-")
        numbers += range(int(first), int(last or first) + 1, int(step or 1))
    return [f"{array}_{task}" for task in numbers]


def _accounted(ids: Sequence[str]) -> str:
    """What the accounting says; nothing where there is none.

    The queue knows all that wait or run: what the accounting does not tell is how others ended.
    """
    if shutil.which("sacct") is None:
        return ""
    command = ["sacct", "--allocations", "--noheader", "--parsable2", f"--jobs={','.join(ids)}",
               "--format=JobID,State,Reason,ExitCode"]  # fmt: skip
    done = call(command, clean_environment(LC_ALL="C"), ACCOUNTING)
    if done.returncode == -signal.SIGKILL:
        print(f"sacct: {done.stderr}: how jobs ended is not known now.", file=sys.stderr)
    return "" if done.returncode else done.stdout


def tasks_of(job: str, states: Mapping[str, JobState]) -> dict[str, JobState]:
    """Of some states those of one job: itself, or the tasks of its array."""
    return {name: state for name, state in states.items() if name.split("_")[0] == job}


def waiting_jobs(name: str) -> dict[str, JobState]:
    """Jobs of this user of that name which wait, and why.

    Raises:
        SlurmError: it is not known.
    """
    command = ["squeue", "--noheader", "--me", f"--name={name}", "--states=PENDING"]
    rows = _rows(answer([*command, "--format=%i|%T|%r"]), 3)
    return {job: JobState(state, why) for job, state, why in rows}


def cancel(ids: Iterable[str]) -> None:
    """Cancel jobs; those that have ended are left alone.

    Raises:
        SlurmError: some may be in the queue yet; names them.
    """
    ids = sorted(set(ids))
    if not ids:
        return
    for wait in (*WAITS, None):
        done = call(["scancel", *ids], clean_environment(LC_ALL="C"), PATIENCE)
        if not done.returncode:
            return
        if wait is not None:
            time.sleep(wait)
    said = f"scancel: {reason(done.stderr)}"
    try:
        states = jobs((job.split("_")[0] for job in ids), own=True)
    except SlurmError as error:
        raise SlurmError(
            f"{said}; {error} End them when it answers: scancel {' '.join(ids)}"
        ) from error
    if left := [job for job in ids if any(s.active for s in tasks_of(job, states).values())]:
        raise SlurmError(f"{said}; in the queue yet: scancel {' '.join(left)}")


def let_wait(job: str, after: str) -> None:
    """Change what a job in the queue waits for.

    Arguments:
        job: its number, of an array that of all its tasks.
        after: dependency, as sbatch takes it, in place of that which it has.

    Raises:
        SlurmError: SLURM refuses, because the job runs already for one.
    """
    command = ["scontrol", "update", f"JobId={job}", f"Dependency={after}"]
    done = call(command, clean_environment(LC_ALL="C"), PATIENCE)
    if done.returncode:
        raise SlurmError(f"scontrol update: {reason(done.stderr)}")


@lru_cache(maxsize=1)
def cluster() -> str:
    """Name of the cluster that answers here, "" where SLURM gives it none.

    Raises:
        SlurmError: it is not known.
    """
    return this_job.cluster() or _configured("ClusterName") or ""


def is_elsewhere(name: str | None) -> bool:
    """True of the jobs of a cluster that is not the one which answers here.

    Several may share a file system: numbers mean other jobs there, and what is not seen here may
    well run.

    Arguments:
        name: of the cluster, None or "" where it was not noted.

    Raises:
        SlurmError: it is not known.
    """
    return bool(name) and cluster() not in ("", name)


def largest_array() -> int | None:
    """Highest number of tasks in an array, None where SLURM does not tell."""
    limit = _configured("MaxArraySize")
    return int(limit) - 1 if limit else None


def _configured(name: str) -> str | None:
    """A value of SLURM's configuration, None where it has none of that name."""
    lines = answer(["scontrol", "show", "config"]).splitlines()
    values = [line.partition("=")[2].strip() for line in lines if line.split()[:1] == [name]]
    return values[0] if values else None
