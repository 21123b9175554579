"""What a process knows of the job that it runs in."""

import pytest

from hpcsbi.cluster import this_job
from hpcsbi.cluster.slurm import SlurmError

VARIABLES = (
    "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_CLUSTER_NAME",
    "SLURM_RESTART_COUNT", "SLURM_JOB_END_TIME",
)  # fmt: skip


@pytest.fixture
def job(monkeypatch):
    """Set what SLURM tells a job, and nothing else of it."""

    def tell(**variables):
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return tell


def test_outside_of_a_job_nothing_is_known(job):
    """A cluster's name in a login shell makes no job of it."""
    job(SLURM_CLUSTER_NAME="alpha")

    assert this_job.number() is None
    assert this_job.cluster() is None
    assert this_job.restarts() == 0
    assert this_job.end_time() is None


def test_a_job_knows_its_number_as_squeue_writes_it(job):
    """A task of an array by array and index, whatever number of its own it has."""
    job(SLURM_JOB_ID="8", SLURM_CLUSTER_NAME="alpha", SLURM_RESTART_COUNT="2")
    assert (this_job.number(), this_job.cluster(), this_job.restarts()) == ("8", "alpha", 2)

    job(SLURM_JOB_ID="15", SLURM_ARRAY_JOB_ID="12", SLURM_ARRAY_TASK_ID="3")
    assert this_job.number() == "12_3"


def test_the_environment_tells_the_end(job, programs):
    """SLURM is not asked where it has told."""
    programs("squeue", "exit 1")
    job(SLURM_JOB_ID="7", SLURM_JOB_END_TIME="1700000000")

    assert this_job.end_time() == 1700000000


def test_the_end_of_a_job_is_asked_in_utc(programs, monkeypatch):
    """Whatever the zone; a job without a limit has none, and no answer is an error."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    programs("squeue", "TZ=$TZ date -d @1700000000 +%Y-%m-%dT%H:%M:%S")
    assert this_job.end_time() == 1700000000

    programs("squeue", "echo N/A")
    assert this_job.end_time() is None
    programs("squeue", "echo Ystday 10:00")
    with pytest.raises(SlurmError, match="when this job ends is not known"):
        this_job.end_time()
