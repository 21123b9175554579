"""Dask on SLURM jobs of its own, which come and go with the work."""

import asyncio
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcsbi.cluster import sbatch, slurm
from hpcsbi.cluster.dask_local import CONFIGURATION, LOOPBACK, Client, outcomes, security_of
from hpcsbi.cluster.executors import Outcome
from hpcsbi.cluster.open_files import allow_connections
from hpcsbi.cluster.site import Site, bytes_of, seconds_of
from hpcsbi.cluster.tls import make_pair, on_disk

__all__ = ["Elastic"]

NAME = "hpcsbi-worker"
OURS = ("time", "ntasks", "cpus-per-task", "output", "job-name")  # options that are set here
MEMORY = ("mem", "mem-per-cpu", "mem-per-gpu")
# Variables that a site may not export, and that decide what workers import and where they write.
KEPT = ("PYTHONPATH", "SPS_HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR", "SLURM_CONF")
TELL = 60  # seconds between two words about jobs that wait
FIRST_LIFE = 0.8  # share of a job's time after which a worker takes no more work


@dataclass(frozen=True)
class Elastic:
    """Jobs of their own, as many as there is work for, replaced when they end or are lost.

    Arguments:
        folder: for certificates, logs and what workers spill, in the run's folder.
        cores: processes in a job; there are site.tasks of them in all, at most.
        site: see `hpcsbi.cluster.site`.
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
            BadInput: more workers than this machine allows connections.
        """
        allow_connections(self.workers)
        folder, pair = Path(self.folder).absolute(), make_pair()
        security = security_of(pair)
        with (
            on_disk(pair, folder) as certificates,
            _cluster_class(Path(certificates["tls-key"]).parent)(
                **self._job(threads, certificates),
                security=security,
                protocol="tls://",
                scheduler_options={"dashboard_address": LOOPBACK},
            ) as cluster,
            Client(cluster, security=security) as client,
        ):
            _refuse_early(cluster.job_script(), folder)
            cluster.adapt(minimum_jobs=1, maximum_jobs=self.jobs, interval="2s", wait_count=5)
            yield from outcomes(client, function, pieces, self.workers, _Waiting(client, folder))

    def _job(self, threads: bool, certificates: Mapping[str, str]) -> dict[str, Any]:
        """What one job is: dask-jobqueue writes all of it into a script, unquoted."""
        seconds = seconds_of(self.site.time)
        options = {
            "lifetime": f"{int(FIRST_LIFE * seconds)}s",
            "lifetime-stagger": f"{int(0.1 * seconds)}s",
            "dashboard-address": LOOPBACK,
            **certificates,
        }
        asked = {key: value for key, value in self.site.sbatch_options().items() if key not in OURS}
        cpus = self.cores * int(self.site.options.get("cpus-per-task") or 1)
        memory = bytes_of(self.site.memory) * cpus if self.site.memory else 0
        if not memory:
            options["memory-limit"] = "0"
        folder = Path(self.folder).absolute()
        log = f"--output={str(folder).replace('%', '%%')}/{NAME}-%j.out"
        keep = {name: os.environ[name] for name in KEPT if name in os.environ}
        known = {"DASK_CONFIG": CONFIGURATION, "OMP_NUM_THREADS": "1", **keep}
        skip = not memory or any(name in self.site.options for name in MEMORY)
        return {
            "python": shlex.quote(sys.executable) + " -P",
            "cores": self.cores,
            "processes": 1 if threads else self.cores,
            # dask-jobqueue rounds memory to GB; Dask and SLURM are told the same number of bytes.
            "memory": f"{memory} B",
            "job_mem": f"{memory // 2**20}M",
            "job_directives_skip": ["--mem="] if skip else [],
            "job_cpu": cpus,
            "walltime": self.site.time,
            "interface": self.site.interface,
            "local_directory": shlex.quote(self.site.scratch or str(folder)),
            "worker_extra_args": [
                word for key, value in options.items() for word in (f"--{key}", shlex.quote(value))
            ],
            # Dask replaces what is lost; a job that SLURM queued again would be one too many.
            "job_extra_directives": [
                shlex.quote(option) for option in ("--no-requeue", log, *sbatch.flags(asked))
            ],
            "job_script_prologue": [
                *(f"export {name}={shlex.quote(value)}" for name, value in known.items()),
                *self.site.setup,
            ],
            "job_name": NAME,
        }


def _cluster_class(starts: Path) -> type:
    """dask-jobqueue's cluster, with jobs that are submitted and cancelled as all of ours are.

    Its own takes the first number that sbatch prints for that of the job, a year in a banner say,
    hands down the variables of the job that it runs in, and does not quote paths of certificates.

    Arguments:
        starts: folder for those that jobs start in.
    """
    from dask_jobqueue import SLURMCluster
    from dask_jobqueue.slurm import SLURMJob

    class Job(SLURMJob):
        async def _submit_job(self, script_filename: str) -> str:
            start = starts / str(self.name)
            start.mkdir()
            script = Path(script_filename)
            return await asyncio.to_thread(sbatch.submit, script, [], {}, start)

        def _job_id_from_submit_output(self, out: str) -> str:
            return out

        @classmethod
        async def _close_job(cls, job_id: str | None, cancel_command: str) -> None:
            if job_id:
                await asyncio.to_thread(slurm.cancel, [job_id])

    class Cluster(SLURMCluster):
        job_cls = Job

        def _get_worker_security(self, security: object) -> None:
            return None  # the certificates are among the arguments of the workers

    return Cluster


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
        try:
            waiting = slurm.waiting_jobs(NAME)
        except slurm.SlurmError as error:
            print(f"no worker yet; {error}", flush=True)
            return
        reasons = ", ".join(f"{job}: {state.reason}" for job, state in waiting.items())
        print(f"no worker yet; jobs that wait: {reasons or 'none'} (logs: {self.folder})")


def _refuse_early(script: str, folder: Path) -> None:
    """Ask SLURM about a job script before anyone waits for it."""
    path = folder / "worker.sbatch"
    path.write_text(script)
    if why := sbatch.would_submit(path, [], {}):
        print(f"warning: no such job can start now, it will wait: {why}", flush=True)
