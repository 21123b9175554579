"""Where the work runs with Dask: on this machine, in a SLURM allocation, in jobs of its own.

Every connection is encrypted with certificates that are made for the run and die with it, and
dashboards listen on the loopback interface.
"""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from hpcsbi import slurm
from hpcsbi.cluster import Outcome, in_window
from hpcsbi.site import Site

# Dask reads it when it is imported, and otherwise writes a file into the home directory.
CONFIGURATION = str(files("hpcsbi") / "data" / "dask.yaml")
os.environ["DASK_CONFIG"] = CONFIGURATION

import dask  # noqa: E402
import yaml  # noqa: E402
from distributed import Client, LocalCluster  # noqa: E402
from distributed.security import Security  # noqa: E402

dask.config.update(dask.config.config, yaml.safe_load(Path(CONFIGURATION).read_text()))
logging.getLogger("distributed").setLevel(logging.WARNING)

__all__ = ["Allocation", "Elastic", "Local"]

LOOPBACK = "127.0.0.1:0"
PATIENCE = 300  # seconds for the first worker of an allocation
TELL = 60  # seconds between two words about jobs that wait
FIRST_LIFE = 0.8  # share of a job's time after which a worker takes no more work


@dataclass(frozen=True)
class Local:
    """Processes of this machine, on the loopback interface.

    Arguments:
        workers: number of pieces worked on at once.
        folder: where workers spill, in the run's folder.
    """

    workers: int
    folder: str

    def part(self) -> None:
        """See `Cluster`."""

    def map(
        self, function: Callable[[Any], Any], pieces: Iterable[Any], threads: bool = False
    ) -> Iterator[tuple[Any, Outcome]]:
        """See `Cluster`."""
        security = Security.temporary()
        with (
            LocalCluster(
                n_workers=1 if threads else self.workers,
                threads_per_worker=self.workers if threads else 1,
                host="127.0.0.1",
                protocol="tls://",
                security=security,
                dashboard_address=LOOPBACK,
                worker_dashboard_address=LOOPBACK,
                local_directory=self.folder,
                memory_limit=None,  # one machine, one user: the kernel is the limit
            ) as cluster,
            Client(cluster, security=security) as client,
        ):
            yield from _driven(client, function, pieces, self.workers)


@dataclass(frozen=True)
class Allocation:
    """The tasks of the SLURM job that this process is the batch script of.

    Scheduler and client live in this process; the workers are one job step. `SLURMRunner` of
    dask-jobqueue does the same in a step of its own, where every task runs the whole program, two
    of them do no work, and nothing is encrypted.

    Arguments:
        folder: for certificates, logs and what workers spill, in the run's folder.
        site: see `hpcsbi.site`; of it, interface and scratch.
    """

    folder: str
    site: Site

    @property
    def workers(self) -> int:
        """Tasks of the job."""
        return int(_of_job("SLURM_NTASKS"))

    def part(self) -> None:
        """See `Cluster`."""

    def map(
        self, function: Callable[[Any], Any], pieces: Iterable[Any], threads: bool = False
    ) -> Iterator[tuple[Any, Outcome]]:
        """See `Cluster`.

        Raises:
            SlurmError: this is no SLURM job, or its workers did not start or are gone.
        """
        workers = self.workers
        security = Security.temporary()
        with (
            _certificates(security, Path(self.folder)) as certificates,
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
                yield from _driven(client, function, pieces, workers, step.check)
            finally:
                client.shutdown()  # tells the workers to end

    @contextmanager
    def _step(
        self, address: str, certificates: dict[str, str], workers: int, threads: bool
    ) -> Iterator["_Step"]:
        """The workers: a process per task, or one per node with a thread per task."""
        nodes = int(_of_job("SLURM_JOB_NUM_NODES"))
        per_process = max(1, workers // nodes) if threads else 1
        shape = ["--ntasks-per-node=1", f"--ntasks={nodes}"] if threads else [f"--ntasks={workers}"]
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
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nanny"]
        for key, value in options.items():
            worker += [f"--{key}", str(value)]
        # A lost node or worker must not take the others along.
        step = ["srun", "--overlap", "--kill-on-bad-exit=0", "--no-kill", *shape, *worker]
        log = Path(self.folder) / "workers.log"
        with log.open("a") as out:
            process = subprocess.Popen(step, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        try:
            yield _Step(process, log)
        finally:
            _end(process)


@dataclass(frozen=True)
class Elastic:
    """Jobs of their own, as many as there is work for, replaced when they end or are lost.

    Arguments:
        folder: for certificates, logs and what workers spill, in the run's folder.
        cores: processes in a job; there are site.tasks of them in all, at most.
        site: see `hpcsbi.site`.
    """

    folder: str
    cores: int
    site: Site

    @property
    def jobs(self) -> int:
        """Number of jobs at most."""
        return max(1, self.site.tasks // self.cores)

    @property
    def workers(self) -> int:
        """Pieces worked on at once when all jobs run."""
        return self.jobs * self.cores

    def part(self) -> None:
        """See `Cluster`."""

    def map(
        self, function: Callable[[Any], Any], pieces: Iterable[Any], threads: bool = False
    ) -> Iterator[tuple[Any, Outcome]]:
        """See `Cluster`.

        Raises:
            SlurmError: SLURM is not there or refuses such jobs.
        """
        from dask_jobqueue import SLURMCluster

        security = Security.temporary()
        folder = Path(self.folder).absolute()
        certificates = folder / "tls"  # dask-jobqueue removes its files when the cluster is closed
        certificates.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (
            SLURMCluster(
                **self._job(threads),
                security=security,
                protocol="tls://",
                shared_temp_directory=str(certificates),
                log_directory=str(folder),
                scheduler_options={"dashboard_address": LOOPBACK},
            ) as cluster,
            Client(cluster, security=security) as client,
        ):
            _refuse_early(cluster.job_script(), folder)
            cluster.adapt(minimum_jobs=1, maximum_jobs=self.jobs, interval="2s", wait_count=5)
            yield from _driven(client, function, pieces, self.workers, _Waiting(client, folder))

    def _job(self, threads: bool) -> dict[str, Any]:
        """What one job is."""
        seconds = _seconds(self.site.time)
        life = ["--lifetime", f"{int(FIRST_LIFE * seconds)}s"]
        stagger = ["--lifetime-stagger", f"{int(0.1 * seconds)}s"]
        # dask-jobqueue rounds memory to GB; Dask and SLURM are told the same number of bytes.
        memory = _bytes(self.site.memory) * self.cores
        plain = {key: value for key, value in self.site.asked().items() if key != "time"}
        return {
            "cores": self.cores,
            "processes": 1 if threads else self.cores,
            "memory": f"{memory} B",
            "job_mem": f"{memory // 2**20}M",
            "job_cpu": self.cores,
            "walltime": self.site.time,
            "interface": self.site.interface,
            "local_directory": self.site.scratch or str(Path(self.folder).absolute()),
            "worker_extra_args": [*life, *stagger, "--dashboard-address", LOOPBACK],
            # Dask replaces what is lost; a job that SLURM queued again would be one too many.
            "job_extra_directives": ["--no-requeue", *_flags(plain)],
            "job_script_prologue": [
                f"export DASK_CONFIG={CONFIGURATION} OMP_NUM_THREADS=1",
                *self.site.setup,
            ],
            "job_name": "hpcsbi-worker",
        }


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


class _Waiting:
    """Says why no worker is there, while none is."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.client, self.folder, self.told = client, folder, time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self.told < TELL:
            return
        self.told = time.monotonic()
        if self.client.scheduler_info(n_workers=-1)["workers"]:
            return
        waiting = slurm.waiting("hpcsbi-worker")
        reasons = ", ".join(f"{job}: {state.reason}" for job, state in waiting.items())
        print(f"no worker yet; jobs that wait: {reasons or 'none'} (logs: {self.folder})")


def _driven(
    client: Client,
    function: Callable[[Any], Any],
    pieces: Iterable[Any],
    workers: int,
    check: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Any, Outcome]]:
    executor = client.get_executor(pure=False)
    yield from in_window(executor, function, pieces, 2 * workers, check)


def _await_workers(client: Client, step: _Step) -> None:
    end = time.monotonic() + PATIENCE
    while not client.scheduler_info(n_workers=-1)["workers"]:
        step.check()
        if time.monotonic() > end:
            raise slurm.SlurmError(f"no worker after {PATIENCE} s: see {step.log}")
        time.sleep(0.2)


@contextmanager
def _certificates(security: Security, folder: Path) -> Iterator[dict[str, str]]:
    """Files with the certificates that workers need, readable by this user only."""
    folder.mkdir(parents=True, exist_ok=True)
    private = Path(tempfile.mkdtemp(dir=folder.absolute(), prefix="tls-"))
    found = {
        "tls-ca-file": security.tls_ca_file,
        "tls-cert": security.tls_worker_cert,
        "tls-key": security.tls_worker_key,
    }
    try:
        for name, content in found.items():
            path = private / f"{name}.pem"
            path.touch(mode=0o600)
            path.write_text(content)
        yield {name: str(private / f"{name}.pem") for name in found}
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _refuse_early(script: str, folder: Path) -> None:
    """Ask SLURM about a job script before anyone waits for it."""
    path = folder / "worker.sbatch"
    path.write_text(script)
    slurm.submit(path, [], {}, {}, test=True)


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
    from distributed.utils import get_ip

    return "127.0.0.1" if _of_job("SLURM_JOB_NUM_NODES") == "1" else get_ip()


def _memory_limit(workers: int) -> int:
    """Bytes for each worker: an equal share of the job's memory, one share for this process."""
    if "SLURM_MEM_PER_CPU" in os.environ:
        total = int(os.environ["SLURM_MEM_PER_CPU"]) * workers
    elif "SLURM_MEM_PER_NODE" in os.environ:
        nodes = int(os.environ["SLURM_JOB_NUM_NODES"])
        total = int(os.environ["SLURM_MEM_PER_NODE"]) * nodes
    else:
        return 0  # the site sets none
    return total * 2**20 // (workers + 1)


def _flags(options: dict[str, str]) -> list[str]:
    return [f"--{key}={value}" if value else f"--{key}" for key, value in options.items()]


def _seconds(limit: str) -> int:
    """Seconds of a time limit: minutes, hh:mm:ss or d-hh:mm:ss."""
    days, _, clock = limit.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    parts = [0, *parts, 0] if len(parts) == 1 else [0] * (3 - len(parts)) + parts
    return int(days or 0) * 86400 + parts[0] * 3600 + parts[1] * 60 + parts[2]


def _bytes(memory: str) -> int:
    """Bytes of SLURM's notation, in which M means 2^20."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    number, unit = (memory[:-1], memory[-1].upper()) if memory[-1].isalpha() else (memory, "M")
    return int(float(number) * units[unit])
