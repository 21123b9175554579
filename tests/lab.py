"""A SLURM of its own for the tests of the cluster modes, or scripts in its programs' place."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from hpcsbi.cluster import slurm, slurm_commands

LAB = Path(__file__).parents[1] / "slurm" / "lab.sh"
NODES = 4
PROGRAMS = ("sbatch", "squeue", "slurmctld", "slurmd", "munged")


@pytest.fixture(scope="session")
def slurm_lab() -> Iterator[Path]:
    """Four virtual nodes of two processors for as long as the session lasts; its slurm.conf."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    absent = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if absent:
        pytest.skip(f"no SLURM to try it on: {', '.join(absent)} not installed")
    folder = Path(tempfile.mkdtemp(prefix="lab", dir="/tmp"))  # its sockets need a short path
    own = {"LAB": str(folder), "PORT": str(free_ports(NODES + 1)), "NODES": str(NODES)}
    try:
        started = _lab("start", own)
        if started.returncode:
            pytest.fail(f"the SLURM to try it on does not start: {started.stdout}{started.stderr}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
            yield folder / "slurm.conf"
    finally:
        _lab("stop", own)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Write a program of SLURM's, to be found before any other."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm_commands, "WAITS", (0.05, 0.05))
    monkeypatch.setattr(slurm, "WAITS", (0.05, 0.05))

    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    write("sacct", "exit 1")
    write("scontrol", "echo 'PrivateData = none'; echo 'MaxArraySize = 1001'")
    return write


def free_ports(count: int) -> int:
    """First of some neighbouring TCP ports that nobody uses, below those that systems hand out.

    The daemons take them a moment later: test processes side by side search in ranges of their
    own, and other users of the machine are met at random places.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    lowest = 20_000 + 1000 * (worker % 12)
    start = lowest + secrets.randbelow(1000 // count) * count
    for first in (*range(start, lowest + 1000 - count, count), *range(lowest, start, count)):
        with ExitStack() as opened:
            try:
                for port in range(first, first + count):
                    opened.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
        return first
    raise RuntimeError(f"no free ports for a SLURM from {lowest} to {lowest + 999}.")


def _lab(action: str, own: Mapping[str, str]) -> subprocess.CompletedProcess:
    environment = {**os.environ, **own}
    return subprocess.run(
        [LAB, action], env=environment, capture_output=True, text=True, check=False
    )
