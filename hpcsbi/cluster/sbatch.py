"""Give jobs to SLURM: either their number is known, or they are not in the queue."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hpcsbi.cluster.slurm import cancel, jobs_below
from hpcsbi.cluster.slurm_commands import (
    FLEETING,
    WAITS,
    SlurmError,
    away,
    call,
    clean_environment,
    reason,
)

__all__ = ["flags", "submit", "would_submit"]

SUBMITTING = 90.0  # seconds for sbatch, which itself asks a busy controller again
LOOKS = (0.0, 1.0, 3.0)  # seconds before each look for a job that may have been taken
# Why a job would not start now, though it may wait in the queue.
NOT_NOW = ("node configuration is not available", "nodes are busy", "node not available",
           "drained", "partition configuration not available now", "nodes required for job are "
           "down", "reserved for jobs in higher priority")  # fmt: skip


def flags(options: Mapping[str, str]) -> list[str]:
    """Options as sbatch reads them; "" for a bare one."""
    return [f"--{key}={value}" if value else f"--{key}" for key, value in options.items()]


def would_submit(script: Path, arguments: Sequence[str], options: Mapping[str, str]) -> str:
    """Ask whether SLURM would take a job; "" or why it would not start now, for a warning.

    Before a maintenance, with all nodes drained, `sbatch --test-only` refuses what sbatch takes.

    Raises:
        SlurmError: SLURM is not there or refuses; with the reason and what was asked.
    """
    command = ["sbatch", "--test-only", "--parsable", *flags(options), str(script), *arguments]
    for wait in (*WAITS, None):
        done = call(command, clean_environment(), SUBMITTING)
        said = reason(done.stderr)
        if not done.returncode:
            return ""
        if _mentions(NOT_NOW, said):
            return said
        if wait is None or not _mentions(FLEETING, said):
            break
        time.sleep(wait)
    raise _refused(said, options)


def submit(
    script: Path,
    arguments: Sequence[str],
    options: Mapping[str, str],
    folder: Path,
    hurry: Callable[[], bool] = lambda: False,
) -> str:
    """Submit a script; returns the job's number.

    Arguments:
        script: the batch script; nothing of this process's environment is for it.
        arguments: its arguments.
        options: options of sbatch without dashes, e.g. {"partition": "main"}; "" for a bare one.
        folder: where the job starts; no other job does, so that one whose number did not come
            back is found by it.
        hurry: when it becomes true, sbatch is not waited for much longer.

    Raises:
        SlurmError: SLURM is not there or refuses, with the reason and what was asked; a job that
            it took all the same is cancelled, or said to be left where that is not possible.
    """
    fixed = ["sbatch", "--parsable", f"--chdir={folder}"]
    command = [*fixed, *flags(options), str(script), *arguments]
    done = call(command, clean_environment(), SUBMITTING, hurry)
    said = reason(done.stderr)
    numbers = _numbers(done.stdout)
    if not done.returncode and len(numbers) == 1:
        return numbers.pop()
    open_end = not done.returncode or _mentions(FLEETING, said)
    try:
        taken = _look_for(folder, LOOKS if open_end else LOOKS[:1])
        if not done.returncode and len(taken) == 1:
            return taken.pop()
        cancel(taken)
    except SlurmError as error:
        raise SlurmError(
            f"sbatch: {said}. Whether SLURM took the job is not known ({error}): look with "
            f"squeue --me --format='%i %j %Z', and scancel what starts in {folder}."
        ) from error
    if taken:
        said += f"; job {', '.join(sorted(taken))}, which it took all the same, is cancelled"
    raise _refused(said, options)


def _numbers(text: str) -> set[str]:
    """Numbers of jobs in what sbatch printed; a site's wrapper may print more."""
    matches = (re.fullmatch(r"(?:Submitted batch job )?(\d+)(?:;\S+)?", line.strip()) for line in
             text.splitlines())  # fmt: skip
    return {match[1] for match in matches if match}


def _look_for(folder: Path, waits: Sequence[float]) -> set[str]:
    """Jobs that start in a folder; a controller that is late is waited for."""
    for wait in waits:
        time.sleep(wait)
        if jobs := {job for job, start in jobs_below(folder).items() if start == folder}:
            return jobs
    return set()


def _refused(said: str, options: Mapping[str, str]) -> SlurmError:
    if mend := away(said):
        return SlurmError(f"sbatch: {said}", mend)
    return SlurmError(
        f"sbatch refused: {said}\n  {' '.join(flags(options))}"
        "\nThe options come from conf/site (site=...): mend them there, or choose another."
    )


def _mentions(words: Sequence[str], text: str) -> bool:
    return any(word in text.lower() for word in words)
