"""Dask inside one SLURM job: its batch script drives, one job step works."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcsbi.cluster import slurm
from hpcsbi.cluster.dask_local import LOOPBACK, Client, LocalCluster, get_ip, outcomes, security_of
from hpcsbi.cluster.executors import Outcome
from hpcsbi.cluster.open_files import allow_connections
from hpcsbi.cluster.site import Site
from hpcsbi.cluster.tls import make_pair, on_disk

__all__ = ["Allocation"]

PATIENCE = 300  # seconds for the first worker


@dataclass(frozen=True)
class Allocation:
    """The tasks of the SLURM job that this process is the batch script of.

    Scheduler and client live in this process; the workers are one job step. `SLURMRunner` of
    dask-jobqueue does the same in a step of its own, where every task runs the whole program, two
    of them do no work, and nothing is encrypted.

    Arguments:
        folder: for certificates, logs and what workers spill, in the run's folder.
        site: see `hpcsbi.cluster.site`; of it, interface and scratch.
    """

    folder: str
    site: Site

    @property
    def workers(self) -> int:
        """Tasks of the job."""
        given = os.environ.get("SLURM_NTASKS")  # not set without --ntasks
        return int(given) if given else sum(_tasks_per_node())

    def part(self) -> None:
        """See `Cluster`."""

    def map(
        self, function: Callable[[Any], Any], pieces: Iterable[Any], threads: bool = False
    ) -> Iterator[tuple[Any, Outcome]]:
        """See `Cluster`.

        Raises:
            SlurmError: this is no SLURM job, or its workers did not start or are gone.
            BadInput: more workers than this machine allows connections.
        """
        workers = self.workers
        allow_connections(workers)
        pair = make_pair()
        security = security_of(pair)
        with (
            on_disk(pair, Path(self.folder)) as certificates,
            LocalCluster(
                n_workers=0,
                interface=self.site.interface,
                host=None if self.site.interface else _address(),
                protocol="tls://",
                security=security,
                dashboard_address=LOOPBACK,
            ) as cluster,
            self._step(cluster.scheduler_address, certificates, workers, threads) as step,
            Client(cluster, security=security) as client,
        ):
            try:
                _await_workers(client, step)
                yield from outcomes(client, function, pieces, workers, step.check)
            finally:
                client.shutdown()  # tells the workers to end

    @contextmanager
    def _step(
        self, address: str, certificates: dict[str, str], workers: int, threads: bool
    ) -> Iterator["_Step"]:
        """The workers: a process per task, or one per node with a thread per task."""
        nodes = int(_of_job("SLURM_JOB_NUM_NODES"))
        per_process = min(_tasks_per_node()) if threads else 1
        shape = ["--ntasks-per-node=1", f"--ntasks={nodes}"] if threads else [f"--ntasks={workers}"]
        # A step does not take this over from its job; its memory is counted by it.
        shape.append(f"--cpus-per-task={per_process * _cpus_per_task()}")
        options = {
            **certificates,
            "nthreads": per_process,
            "nworkers": 1,
            "local-directory": self.site.scratch or self.folder,
            "dashboard-address": LOOPBACK,
            "death-timeout": 60,
            "memory-limit": _memory_limit(workers) * per_process,
        }
        if self.site.interface:
            options["interface"] = self.site.interface
        # -P: what lies in the folder of the job is not for import.
        worker = [sys.executable, "-P", "-m", "distributed.cli.dask_worker", address, "--nanny"]
        for key, value in options.items():
            worker += [f"--{key}", str(value)]
        # A lost node or worker must not take the others along.
        step = ["srun", "--export=ALL", "--overlap", "--kill-on-bad-exit=0", "--no-kill"]
        log = Path(self.folder) / "workers.log"
        with log.open("a") as out:
            command = [*step, *shape, *worker]
            process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        try:
            yield _Step(process, log)
        finally:
            _end(process)


@dataclass(frozen=True)
class _Step:
    """The job step that the workers are."""

    process: subprocess.Popen
    log: Path

    def check(self) -> None:
        """Raise if the workers are gone."""
        if self.process.poll() is not None:
            lines = self.log.read_text().strip().splitlines() or ["nothing"]
            raise slurm.SlurmError(
                f"the workers of this job ended with status {self.process.returncode}; {self.log} "
                f"ends with: {lines[-1]}"
            )


def _await_workers(client: Client, step: _Step) -> None:
    end = time.monotonic() + PATIENCE
    while not client.scheduler_info(n_workers=-1)["workers"]:
        step.check()
        if time.monotonic() > end:
            raise slurm.SlurmError(f"no worker after {PATIENCE} s: see {step.log}")
        time.sleep(0.2)


def _end(process: subprocess.Popen) -> None:
    """Wait for the workers, who were told to end, and insist."""
    for ask in (lambda: None, process.terminate, process.kill):
        ask()
        try:
            process.wait(timeout=5)
            return
        except subprocess.TimeoutExpired:
            continue


def _of_job(name: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise slurm.SlurmError(
            f"cluster=allocation is for a job that SLURM started ({name} is not set): "
            "sbatch slurm/stage.sbatch STAGE, or slurm/pipeline.sh; here, use cluster=local."
        ) from None


def _address() -> str:
    """Where workers find this process: the loopback interface if the job has one node."""
    return "127.0.0.1" if _of_job("SLURM_JOB_NUM_NODES") == "1" else get_ip()


def _tasks_per_node() -> list[int]:
    """Tasks on each node: SLURM writes "2(x3),1" for 2, 2, 2, 1."""
    counts = []
    for part in _of_job("SLURM_TASKS_PER_NODE").split(","):
        tasks, _, times = part.partition("(x")
        counts += [int(tasks)] * int(times.rstrip(")") or 1)
    return counts


def _cpus_per_task() -> int:
    """Processors of each task, as asked with --cpus-per-task."""
    return int(os.environ.get("SLURM_CPUS_PER_TASK", 1))


def _memory_limit(workers: int) -> int:
    """Bytes for each worker: an equal share of the job's memory, one share for this process."""
    if "SLURM_MEM_PER_CPU" in os.environ:
        total = int(os.environ["SLURM_MEM_PER_CPU"]) * workers * _cpus_per_task()
    elif "SLURM_MEM_PER_NODE" in os.environ:
        nodes = int(os.environ["SLURM_JOB_NUM_NODES"])
        total = int(os.environ["SLURM_MEM_PER_NODE"]) * nodes
    else:
        return 0  # the site sets none
    return total * 2**20 // (workers + 1)
