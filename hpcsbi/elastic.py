"""Dask on SLURM jobs of its own, which come and go with the work."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcsbi import slurm
from hpcsbi.cluster import Outcome
from hpcsbi.dask_cluster import CONFIGURATION, LOOPBACK, Client, Security, driven
from hpcsbi.site import Site, bytes_of, seconds_of

__all__ = ["Elastic"]

TELL = 60  # seconds between two words about jobs that wait
FIRST_LIFE = 0.8  # share of a job's time after which a worker takes no more work


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
            yield from driven(client, function, pieces, self.workers, _Waiting(client, folder))

    def _job(self, threads: bool) -> dict[str, Any]:
        """What one job is."""
        seconds = seconds_of(self.site.time)
        life = ["--lifetime", f"{int(FIRST_LIFE * seconds)}s"]
        stagger = ["--lifetime-stagger", f"{int(0.1 * seconds)}s"]
        # dask-jobqueue rounds memory to GB; Dask and SLURM are told the same number of bytes.
        memory = bytes_of(self.site.memory) * self.cores
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
            "job_extra_directives": ["--no-requeue", *slurm.flags(plain)],
            "job_script_prologue": [
                f"export DASK_CONFIG={CONFIGURATION} OMP_NUM_THREADS=1",
                *self.site.setup,
            ],
            "job_name": "hpcsbi-worker",
        }


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


def _refuse_early(script: str, folder: Path) -> None:
    """Ask SLURM about a job script before anyone waits for it."""
    path = folder / "worker.sbatch"
    path.write_text(script)
    slurm.submit(path, [], {}, {}, test=True)
