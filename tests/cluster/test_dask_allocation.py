"""The tasks of one SLURM job: how many there are, and what each may have."""

import subprocess
import sys

import pytest

from hpcsbi.cluster.dask_allocation import Allocation, _memory_limit, _Step
from hpcsbi.cluster.site import make_site
from hpcsbi.cluster.slurm import SlurmError


@pytest.mark.parametrize(
    ("tasks", "given", "workers"),
    [("4", {}, 4), ("2(x3),1", {}, 7), ("1", {}, 1), ("9", {"SLURM_NTASKS": "5"}, 5)],
)
def test_tasks_of_a_job_without_ntasks(monkeypatch, tasks, given, workers):
    """`sbatch slurm/stage.sbatch` alone has as many as SLURM gave it."""
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    monkeypatch.setenv("SLURM_TASKS_PER_NODE", tasks)
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    assert Allocation("x", make_site({})).workers == workers


def test_memory_of_a_task_with_several_processors(monkeypatch):
    """SLURM gives it for each processor, so a worker may have it."""
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "900")
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    one = _memory_limit(2)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")

    assert _memory_limit(2) == 2 * one == 1200 * 2**20


def test_outside_a_job_the_way_into_one_is_told(monkeypatch, tmp_path):
    """The variable that is missing and the script to submit; nothing is started."""
    for name in ("SLURM_NTASKS", "SLURM_TASKS_PER_NODE", "SLURM_JOB_NUM_NODES"):
        monkeypatch.delenv(name, raising=False)
    allocation = Allocation(str(tmp_path), make_site({}))

    with pytest.raises(SlurmError, match=r"SLURM_TASKS_PER_NODE is not set.*stage\.sbatch"):
        list(allocation.map(abs, [1]))
    assert not list(tmp_path.iterdir())


def test_memory_of_a_node_is_shared_and_none_is_no_limit(monkeypatch):
    """One share more than there are workers: the batch script needs memory, too."""
    for name in ("SLURM_MEM_PER_CPU", "SLURM_MEM_PER_NODE"):
        monkeypatch.delenv(name, raising=False)
    assert _memory_limit(3) == 0

    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1000")
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
    assert _memory_limit(3) == 500 * 2**20


def test_workers_that_are_gone_are_told_with_their_last_words(tmp_path):
    """Status and last line of their log; while they live there is nothing to tell."""
    log = tmp_path / "workers.log"
    log.write_text("began\nsrun: error: node failed\n")
    command = [sys.executable, "-c", "import sys; sys.stdin.read(); sys.exit(3)"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        _Step(process, log).check()

    with pytest.raises(SlurmError, match=r"ended with status 3; .*workers\.log.*node failed"):
        _Step(process, log).check()
