"""Questions to SLURM: neither the user's settings nor a failure decides what the answer is."""

import time

import pytest

from hpcsbi.cluster import slurm
from hpcsbi.cluster.slurm import SlurmError


def test_hidden_jobs_of_others_are_not_known(programs):
    """Where SLURM shows everybody their own jobs only, one that is not seen may well run."""
    programs("squeue", 'echo "7|RUNNING|None"')
    assert slurm.jobs(["7", "8"]).keys() == {"7"}

    programs("scontrol", "echo 'PrivateData = accounts,jobs'")
    assert slurm.jobs(["7", "8"], own=True).keys() == {"7"}
    with pytest.raises(SlurmError, match=r"PrivateData.* 8 wait or run is not known"):
        slurm.jobs(["7", "8"])


def test_an_accounting_that_hangs_is_not_waited_for(programs, monkeypatch, capsys):
    """Its children neither; what the queue knows is told."""
    monkeypatch.setattr(slurm, "ACCOUNTING", 0.5)
    programs("squeue", 'echo "7|RUNNING|None"')
    programs("sacct", "sleep 60; echo never")
    start = time.monotonic()

    assert slurm.jobs(["7", "8"]).keys() == {"7"}

    assert time.monotonic() - start < 10
    assert "sacct: no answer" in capsys.readouterr().err


def test_what_cannot_be_cancelled_is_named(programs):
    """scancel that fails is asked again; jobs that are left are told with the mend."""
    programs("scancel", "exit 1")
    programs("squeue", 'echo "7|COMPLETED|None"')
    slurm.cancel(["7"])

    programs("squeue", 'echo "7|PENDING|None"; echo "8_1|RUNNING|None"')
    with pytest.raises(SlurmError, match="scancel 7 8"):
        slurm.cancel(["8", "7"])
