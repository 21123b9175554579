"""Where the work runs, a piece a task: here, or as one part of a job array."""

import errno
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from hpcsbi.cluster.deadline import OutOfTime, is_stopped, leaves, time_left
from hpcsbi.errors import BadInput, Unfinished

__all__ = [
    "FULL",
    "Array",
    "Cluster",
    "Enough",
    "Failure",
    "Finished",
    "Probe",
    "Serial",
    "cores",
    "in_window",
    "is_probe",
]

LISTEN = 2.0  # seconds between two looks at the clock while work is going on
KILLED = (
    "Two workers ended at this piece, so it is left out for now. Their log (dask/ in the run's "
    "folder) says why; one that grows beyond its memory is ended: raise site.memory."
)
LOST = (
    "the workers' scheduler, in this process, was not heard of for two minutes: its node has too "
    "much to do. What is done is kept, and the same command goes on."
)
# The disk is full, the quota used up, or it cannot be written: no other piece would fare better.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_probing = threading.Event()


class Enough(RuntimeError):
    """A probe has made its pieces; the last one, and the seconds that it took."""

    def __init__(self, piece: Any, seconds: float) -> None:
        super().__init__(f"piece {piece} took {seconds:.3g} s")
        self.piece, self.seconds = piece, seconds


def cores() -> int:
    """Cores that this process may use; macOS has no affinity."""
    mine = getattr(os, "process_cpu_count", os.cpu_count)() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else mine


@dataclass(frozen=True)
class Failure:
    """Why a piece of work was not done.

    Arguments:
        reason: the end of its traceback.
        fatal: no other piece would fare better (the disk is full).
    """

    reason: str
    fatal: bool = False


@dataclass(frozen=True)
class Finished:
    """What a piece of work returned, and the seconds that it took one process."""

    receipt: Any
    seconds: float


Outcome = Failure | Finished


class Cluster(Protocol):
    """A way to run."""

    workers: int

    def part(self) -> tuple[int, int] | None:
        """Which part of the shards are this driver's: (index, count), None for all of them."""

    def map(
        self, function: Callable[[Any], Any], pieces: Iterable[Any], threads: bool = False
    ) -> Iterator[tuple[Any, Outcome]]:
        """Yield (piece, outcome) as they are done.

        With `threads` one process waits for several pieces at once: for work that runs in children
        of its own, as FSPS does.

        Raises:
            OutOfTime: the job ends before the pieces are done.
        """


@dataclass(frozen=True)
class Serial:
    """One piece after the other in this process."""

    workers: int = 1

    def part(self) -> None:
        """See `Cluster`."""

    def map(
        self, function: Callable[[Any], Any], pieces: Iterable[Any], threads: bool = False
    ) -> Iterator[tuple[Any, Outcome]]:
        """See `Cluster`."""
        thread = ThreadPoolExecutor(1)
        try:
            yield from in_window(thread, function, pieces, 1)
        finally:
            thread.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class Array:
    """One task of a SLURM job array, which makes every count-th shard; no Dask, no connection.

    Arguments:
        index, count: which part this is, of how many.
    """

    index: int
    count: int
    workers: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise BadInput(
                f"cluster.index is {self.index} of cluster.count={self.count}: an array counts "
                "from 0, as in sbatch --array=0-99 slurm/array.sbatch infer."
            )

    def part(self) -> tuple[int, int]:
        """See `Cluster`."""
        return self.index, self.count

    def map(
        self, function: Callable[[Any], Any], pieces: Iterable[Any], threads: bool = False
    ) -> Iterator[tuple[Any, Outcome]]:
        """See `Cluster`."""
        yield from Serial().map(function, pieces)


@dataclass(frozen=True)
class Probe:
    """Makes a few pieces only, and tells how long the last one took: the first loads much.

    Arguments:
        pieces: how many.
    """

    pieces: int = 2
    workers: int = 1

    def part(self) -> None:
        """See `Cluster`."""

    def map(
        self, function: Callable[[Any], Any], pieces: Iterable[Any], threads: bool = False
    ) -> Iterator[tuple[Any, Outcome]]:
        """See `Cluster`; nothing is yielded.

        Raises:
            Enough: always, unless a piece fails; a long piece raises it itself.
        """
        _probing.set()
        try:
            for piece, outcome in Serial().map(function, islice(pieces, self.pieces)):
                if isinstance(outcome, Failure):
                    raise Unfinished(outcome.reason)
                last = Enough(piece, outcome.seconds)
        finally:
            _probing.clear()
        raise last
        yield


def is_probe() -> bool:
    """True while a `Probe` runs here: a long piece ends as soon as it knows how long it takes."""
    return _probing.is_set()


def in_window(
    executor: Executor,
    function: Callable[[Any], Any],
    pieces: Iterable[Any],
    width: int,
    check: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Any, Outcome]]:
    """Yield (piece, outcome) as they are done, with a bounded number of pieces in flight.

    A million pieces do not fill the scheduler, and a piece that would outlast the job is not
    started: the longest one so far is taken for the next.

    Arguments:
        executor: runs them.
        function: of one piece.
        pieces: any number of them.
        width: pieces in flight.
        check: called after each piece, and every two seconds; raises when the executor is not
            there any more.

    Raises:
        OutOfTime: the job ends before the pieces are done, or a piece says so.
        Unfinished: the scheduler is lost.
    """
    queue, flight, longest, left = iter(pieces), {}, 0.0, True
    submit = partial(executor.submit, _timed, function)
    # Each says itself that it is done: to ask all in flight takes longer the more there are.
    done: SimpleQueue[Future] = SimpleQueue()
    while True:
        while left and len(flight) < width and leaves(2 * longest):
            piece = next(queue, queue)
            if left := piece is not queue:
                future = submit(piece)
                flight[future] = piece
                future.add_done_callback(done.put)
        if not flight:
            break
        with suppress(Empty):
            future = done.get(timeout=LISTEN)
            outcome, piece = _outcome(future), flight.pop(future)
            if isinstance(outcome, Finished):
                longest = max(longest, outcome.seconds)
            yield piece, outcome
        if flight and time_left() < 0:
            raise OutOfTime("the job ends before the pieces of work in flight do")
        check()
    if left and next(queue, queue) is not queue:
        why = "SLURM asked to stop" if is_stopped() else f"a piece takes up to {longest:.0f} s"
        raise OutOfTime(f"no time for another piece of work ({why})")


def _timed(function: Callable[[Any], Any], piece: Any) -> Finished:
    start = time.monotonic()
    receipt = function(piece)
    return Finished(receipt, time.monotonic() - start)


def _outcome(future: Future) -> Outcome:
    if future.cancelled():
        raise Unfinished(LOST)
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, OutOfTime | Enough):  # the piece has kept what it had done
        raise error
    if isinstance(error, BadInput):  # says it in a line, with the mend
        return Failure(str(error))
    reason = "".join(traceback.format_exception(error, limit=-4)).rstrip()
    if type(error).__name__ == "KilledWorker":
        reason = f"{error}\n{KILLED}"
    return Failure(reason, isinstance(error, OSError) and error.errno in FULL)
