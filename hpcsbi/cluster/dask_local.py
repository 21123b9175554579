"""Where the work runs with Dask: what all ways share, and the processes of this machine.

Every connection is encrypted with certificates that are made for the run and die with it, and
dashboards listen on the loopback interface.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from hpcsbi.cluster.executors import Outcome, in_window
from hpcsbi.cluster.open_files import allow_connections
from hpcsbi.cluster.tls import Pair, make_pair

# Dask reads it when it is imported, and otherwise writes a file into the home directory.
CONFIGURATION = str(files("hpcsbi") / "data" / "dask.yaml")
os.environ["DASK_CONFIG"] = CONFIGURATION

import dask  # noqa: E402
import yaml  # noqa: E402
from distributed import Client, LocalCluster  # noqa: E402
from distributed.security import Security  # noqa: E402
from distributed.utils import get_ip  # noqa: E402

dask.config.update(dask.config.config, yaml.safe_load(Path(CONFIGURATION).read_text()))

# Others take Dask from here, where it is configured first.
__all__ = [
    "CONFIGURATION",
    "LOOPBACK",
    "Client",
    "Local",
    "LocalCluster",
    "Security",
    "get_ip",
    "outcomes",
    "security_of",
]

LOOPBACK = "127.0.0.1:0"


class _Patience(logging.Filter):
    """A process that takes seconds to end is none of the user's troubles; the nanny ends it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Leave that sentence out."""
        return "still alive after" not in record.getMessage()


logging.getLogger("distributed.nanny").addFilter(_Patience())


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
        with self.client(threads) as client:
            yield from outcomes(client, function, pieces, self.workers)

    @contextmanager
    def client(self, threads: bool = False) -> Iterator[Client]:
        """Workers that live as long as this client of theirs, for a library that takes one.

        Arguments:
            threads: of one process, in place of processes.
        """
        allow_connections(self.workers)
        security = security_of(make_pair())
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
            yield client


def security_of(pair: Pair) -> Security:
    """Encryption with one pair for all roles, held in memory."""
    keys = {f"tls_{role}_key": pair.key for role in ("client", "scheduler", "worker")}
    certificates = {f"tls_{role}_cert": pair.certificate for role in ("client", "scheduler",
                                                                      "worker")}  # fmt: skip
    return Security(require_encryption=True, tls_ca_file=pair.certificate, **keys, **certificates)


def outcomes(
    client: Client,
    function: Callable[[Any], Any],
    pieces: Iterable[Any],
    workers: int,
    check: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Any, Outcome]]:
    """Yield (piece, outcome) from a cluster; see `cluster.in_window`."""
    executor = client.get_executor(pure=False)
    yield from in_window(executor, function, pieces, 2 * workers, check)
