"""Where the work runs: in this process, or in processes of this machine through Dask."""

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

__all__ = ["Failure", "Local", "Serial", "run_shards"]


SETTINGS = {
    # A worker holds one piece only: those that wait must not be blamed for its death.
    "distributed.scheduler.worker-saturation": 1.0,
    # Without Dask's MALLOC_TRIM_THRESHOLD_: it hands freed memory back at once, which makes every
    # tensor a page fault; it would also stay in the environment of this process and its children.
    "distributed.nanny.pre-spawn-environ": {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    },
}


@dataclass(frozen=True)
class Failure:
    """Why a piece of work was not done."""

    reason: str


@dataclass(frozen=True)
class Serial:
    """One piece after the other in this process."""

    workers: int = 1

    def map(
        self, function: Callable[[Any], Any], pieces: Iterable[Any], threads: bool = False
    ) -> Iterator[tuple[Any, Any]]:
        """Yield (piece, result or Failure) as they are done."""
        with ThreadPoolExecutor(1) as thread:
            for piece in pieces:
                future = thread.submit(function, piece)
                error = future.exception()
                yield piece, _told(error) if error else future.result()


@dataclass(frozen=True)
class Local:
    """Processes of this machine: a Dask cluster on the loopback interface, over TLS.

    Arguments:
        workers: number of pieces worked on at once.
        folder: where workers spill, in the run's folder.
    """

    workers: int
    folder: str

    def map(
        self, function: Callable[[Any], Any], pieces: Iterable[Any], threads: bool = False
    ) -> Iterator[tuple[Any, Any]]:
        """Yield (piece, result or Failure) as they are done.

        A bounded window of pieces is in flight, so that a million of them do not fill the
        scheduler. With `threads` one process waits for `workers` pieces at once: for work that
        runs in children of its own, as FSPS does.
        """
        pieces = list(pieces)
        if not pieces:
            return
        import dask
        from distributed import Client, LocalCluster, as_completed
        from distributed.security import Security

        logging.getLogger("distributed").setLevel(logging.WARNING)
        security = Security.temporary()
        with (
            dask.config.set(SETTINGS),
            LocalCluster(
                n_workers=1 if threads else min(self.workers, len(pieces)),
                threads_per_worker=self.workers if threads else 1,
                host="127.0.0.1",
                protocol="tls://",
                security=security,
                dashboard_address="127.0.0.1:0",
                worker_dashboard_address="127.0.0.1:0",
                local_directory=self.folder,
                memory_limit=None,  # one machine, one user: the kernel is the limit
            ) as cluster,
            Client(cluster, security=security) as client,
        ):
            queue = iter(pieces)
            submit = partial(client.submit, function, pure=False)
            flight = {submit(piece): piece for piece in islice(queue, 2 * self.workers)}
            done = as_completed(list(flight))
            for future in done:
                piece = flight.pop(future)
                error = future.exception()
                yield piece, _told(error) if error else future.result()
                future.release()
                for fresh in islice(queue, 1):
                    future = submit(fresh)
                    flight[future] = fresh
                    done.add(future)


def run_shards(
    function: Callable[[int], Any],
    store: Any,
    cluster: Serial | Local,
    title: str,
    threads: bool = False,
) -> dict[int, Any]:
    """Make every shard of a store that is not there, with a progress bar.

    Arguments:
        function: makes and writes one shard, given its number; returns a small receipt.
        store: has `states`, `mark_failed`.
        cluster: where to run.
        title: name of the stage, for the bar.
        threads: see `Local.map`.

    Returns:
        Receipts of the shards made now.

    Raises:
        RuntimeError: shards failed; all others are done and kept.
    """
    from tqdm import tqdm

    states = store.states(verify=True)
    todo = [shard for shard, state in states.items() if state != "done"]
    for shard, state in states.items():
        if state == "damaged":
            print(f"{store.path}: shard {shard} is damaged and made again.", flush=True)
    receipts, failures = {}, {}
    bar = tqdm(total=len(states), initial=len(states) - len(todo), desc=title, unit="shard")
    with bar:
        for shard, result in cluster.map(function, todo, threads=threads):
            if isinstance(result, Failure):
                failures[shard] = result.reason
                store.mark_failed(shard, result.reason)
            else:
                receipts[shard] = result
            bar.update()
    if failures:
        shard, reason = next(iter(failures.items()))
        raise RuntimeError(
            f"{title}: {len(failures)} of {len(states)} shards failed, the others are kept. "
            f"Shard {shard}:\n{reason}\nRun jobs/{title}.py with the same options again to "
            "make only what is missing."
        )
    return receipts


def _told(error: BaseException) -> Failure:
    return Failure("".join(traceback.format_exception(error, limit=-4)).rstrip())
