"""Certificates: good on clocks that are behind, for nobody else, and gone with the run."""

import os
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from hpcsbi.cluster import slurm, tls
from hpcsbi.cluster.slurm import JobState, SlurmError

WAITING = """
import sys, time
from pathlib import Path
from hpcsbi.cluster.tls import Pair, on_disk
with on_disk(Pair("key", "certificate"), Path(sys.argv[1])):
    print("there", flush=True)
    time.sleep(60)
"""


def keys(folder: Path) -> list[Path]:
    return list(folder.rglob("*.pem"))


def driver(folder: Path) -> subprocess.Popen:
    """A process that holds certificates."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, folder], stdout=subprocess.PIPE, env=environment
    )
    process.stdout.readline()
    return process


def test_clocks_may_differ():
    """A node that is a quarter of an hour behind takes the certificate."""
    certificate = x509.load_pem_x509_certificate(tls.make_pair().certificate.encode())

    now = datetime.now(UTC)
    assert certificate.not_valid_before_utc < now - timedelta(minutes=15)
    assert certificate.not_valid_after_utc > now + timedelta(days=30)


def test_files_are_private_and_go(tmp_path):
    """Whatever the umask; with the block."""
    mask = os.umask(0)
    try:
        with tls.on_disk(tls.make_pair(), tmp_path) as files:
            paths = [Path(path) for path in files.values()]
            assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
            assert stat.S_IMODE(paths[0].parent.stat().st_mode) == 0o700
    finally:
        os.umask(mask)

    assert not keys(tmp_path) and len(paths) == 3


def test_a_cancelled_driver_leaves_no_key(tmp_path):
    """SIGTERM, with which SLURM cancels, removes them; what SIGKILL left the next driver does."""
    cancelled = driver(tmp_path)
    assert len(keys(tmp_path)) == 3
    cancelled.terminate()
    assert cancelled.wait() == -signal.SIGTERM
    assert not keys(tmp_path)

    killed, other = driver(tmp_path), driver(tmp_path)
    killed.kill()
    killed.wait()
    assert len(keys(tmp_path)) == 6
    with tls.on_disk(tls.Pair("key", "certificate"), tmp_path):
        assert len(keys(tmp_path)) == 6  # those of the other, who lives, and ours
    other.terminate()
    other.wait()
    assert not keys(tmp_path)


@pytest.mark.parametrize(
    ("states", "left"),
    [
        ({"8": JobState("RUNNING")}, {"tls-8-x"}),
        ({}, set()),
        (None, {"tls-7-x", "tls-7@here-y", "tls-8-x"}),
    ],
)
def test_keys_of_other_jobs_stay_while_they_may_be_at_work(tmp_path, monkeypatch, states, left):
    """Those of jobs that have ended are swept; when SLURM does not answer, none."""

    def jobs(ids):
        if states is None:
            raise SlurmError("no answer")
        return {job: state for job, state in states.items() if job in set(ids)}

    monkeypatch.setattr(slurm, "jobs", jobs)
    monkeypatch.setattr(slurm, "cluster", lambda: "here")
    away = "tls-7@there-x"  # whatever a job 7 does here
    for name in ("tls-7-x", "tls-7@here-y", "tls-8-x", away):
        (tmp_path / name).mkdir()
    with tls.on_disk(tls.Pair("key", "certificate"), tmp_path):
        pass

    assert {path.name for path in tmp_path.iterdir()} == left | {away}
