"""The job that this process runs in, as its environment tells."""

import os
from datetime import UTC, datetime

from hpcsbi.cluster.slurm_commands import SlurmError, answer

__all__ = ["cluster", "end_time", "number", "restarts"]

NO_END = ("N/A", "NONE", "UNLIMITED")


def number() -> str | None:
    """Number of the job that this process runs in ("12_3" in an array), None outside."""
    job, array = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else job


def cluster() -> str | None:
    """Name of the cluster whose job this process runs in, None outside."""
    return os.environ.get("SLURM_CLUSTER_NAME") if number() else None


def restarts() -> int:
    """How often this job was queued again."""
    return int(os.environ.get("SLURM_RESTART_COUNT", 0))


def end_time() -> float | None:
    """When SLURM ends this job, seconds since 1970; None outside a job or without a limit.

    Raises:
        SlurmError: it is not known.
    """
    if "SLURM_JOB_ID" not in os.environ:
        return None
    if "SLURM_JOB_END_TIME" in os.environ:
        return float(os.environ["SLURM_JOB_END_TIME"])
    # Before SLURM 23.02 the environment does not tell. UTC: local times happen twice in autumn.
    job = os.environ["SLURM_JOB_ID"]
    text = answer(["squeue", "--all", "--noheader", f"--job={job}", "--format=%e"], TZ="UTC0")
    lines = text.split() or ["nothing"]
    if lines[-1] in NO_END:
        return None
    try:
        return datetime.fromisoformat(lines[-1]).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise SlurmError(
            f"when this job ends is not known: of job {job} squeue says {lines[-1]!r}."
        ) from None
