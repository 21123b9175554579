"""Jobs in the queue that read what is submitted once more: they must not run before it.

A report waits for a calibration however that ends, so it would run ahead of one that is submitted
again, and show what was there before.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpcsbi.cluster import slurm
from hpcsbi.pipeline import waits
from hpcsbi.run.submissions import retry_command

__all__ = ["move_behind", "waiting_readers"]


def waiting_readers(known: Sequence[Mapping], stages: Sequence[str]) -> list[Mapping]:
    """Jobs that wait or run and read one of some stages, as `submissions.ask` tells of them.

    What finishes an array is left out where the array is there, for which it waits.

    Arguments:
        known: jobs of the run.
        stages: those that are submitted now.
    """
    readers = [
        job for job in known
        if job["active"] and job["stage"] not in stages and {*waits(job["stage"])} & {*stages}
    ]  # fmt: skip
    arrays = {job["stage"] for job in readers if job["kind"] == "array"}
    return [job for job in readers if job["kind"] != "finish" or job["stage"] not in arrays]


def move_behind(reader: Mapping, after: str, run: Path) -> None:
    """Have a job in the queue wait for what was submitted; tell of one that would not.

    Arguments:
        reader: the job, as `submissions.ask` tells of it.
        after: dependency, as sbatch takes it.
        run: its folder.
    """
    stage, job = reader["stage"], reader["job"]
    try:
        slurm.let_wait(job, after)
    except slurm.SlurmError as error:
        print(
            f"warning: {stage} job {job} reads what is made again and does not wait for it "
            f"({error.problem}): when both have ended, {retry_command(run)}",
            file=sys.stderr,
        )
    else:
        print(f"{stage:10s} job {job} waits now for {after}", flush=True)
