"""Where the work runs, one shard a task: here, or as one part of a job array; how it is driven."""

import errno
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Protocol

from hpcsbi.deadline import OutOfTime, is_stopped, leaves, time_left

__all__ = [
    "FULL",
    "Array",
    "Cluster",
    "Costs",
    "Elsewhere",
    "Enough",
    "Failure",
    "Finished",
    "Probe",
    "Serial",
    "in_window",
    "run_shards",
]

LISTEN = 2.0  # seconds between two looks at the clock while work is going on
KILLED = (
    "Two workers ended at this piece, so it is left out for now. Their log (dask/ in the run's "
    "folder) says why; one that grows beyond its memory is ended: raise site.memory."
)
# The disk is full, the quota used up, or it cannot be written: no other piece would fare better.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class Elsewhere(RuntimeError):
    """This part of the work is done; the rest belongs to other parts."""


class Enough(RuntimeError):
    """A probe has made its pieces; the last one, and the seconds that it took."""

    def __init__(self, piece: Any, seconds: float) -> None:
        super().__init__(f"piece {piece} took {seconds:.3g} s")
        self.piece, self.seconds = piece, seconds


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


@dataclass(frozen=True)
class Costs:
    """A receipt that tells what the work on a shard cost.

    Arguments:
        rows: rows made.
        seconds: CPU seconds by part of the work.
    """

    rows: int
    seconds: Mapping[str, float]


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
            raise ValueError(
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
            Enough: always, unless a piece fails.
        """
        for piece, outcome in Serial().map(function, islice(pieces, self.pieces)):
            if isinstance(outcome, Failure):
                raise RuntimeError(outcome.reason)
            last = Enough(piece, outcome.seconds)
        raise last
        yield


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
        check: called every two seconds; raises when the executor is not there any more.

    Raises:
        OutOfTime: the job ends before the pieces are done, or a piece says so.
    """
    queue, flight, longest, left = iter(pieces), {}, 0.0, True
    submit = partial(executor.submit, _timed, function)
    while True:
        while left and len(flight) < width and leaves(2 * longest):
            piece = next(queue, queue)
            if left := piece is not queue:
                flight[submit(piece)] = piece
        if not flight:
            break
        for future in wait(flight, timeout=LISTEN, return_when=FIRST_COMPLETED).done:
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


def run_shards(
    function: Callable[[int], Any],
    store: Any,
    cluster: Cluster,
    title: str,
    threads: bool = False,
) -> dict[int, Any]:
    """Make every shard of a store that is not there, with a progress bar.

    Arguments:
        function: makes and writes one shard, given its number; returns a small receipt, of which
            `Costs` are noted.
        store: has `locked`, `sweep`, `states`, `mark_failed`, `note_cost`.
        cluster: where to run.
        title: name of the stage, for the bar.
        threads: see `Cluster.map`.

    Returns:
        Receipts of the shards made now.

    Raises:
        Held: another driver is at work on the store.
        RuntimeError: shards failed; all others are done and kept.
        OSError: the disk is full.
        OutOfTime: the job ends first.
        Elsewhere: the shards of this part are done, those of others are not.
    """
    part, receipts = cluster.part(), {}
    index, count = part or (0, 1)
    mine = [shard for shard in store.shards if shard % count == index]
    with store.locked(part) as lock:
        if part is None:
            store.sweep()
        states = store.states(mine, verify=True)
        for shard, state in states.items():
            if state == "damaged":
                print(f"{store.path}: shard {shard} is damaged and made again.", flush=True)
        # A worker that was taken for lost may still have removed a shard which another one made.
        for again in (False, True):
            leave = ("done", "failed") if again else ("done",)
            todo = [shard for shard in mine if states[shard] not in leave]
            if not todo:
                break
            outcomes = cluster.map(function, todo, threads=threads)
            receipts |= _drive(outcomes, store, cluster, lock, title, len(mine) - len(todo))
            states = store.states(mine)
        if part is None:
            store.sweep()  # a worker killed in the middle of a file leaves half of it
    _refuse_failures(store, states, title)
    if part is not None and any(state != "done" for state in store.states().values()):
        raise Elsewhere(
            f"{title}: part {index} of {count} is done ({len(mine)} shards). When all are, run "
            f"jobs/{title}.py with cluster=serial to finish."
        )
    return receipts


def _drive(
    outcomes: Iterator[tuple[int, Outcome]],
    store: Any,
    cluster: Cluster,
    lock: Any,
    title: str,
    done: int,
) -> dict[int, Any]:
    """Note what becomes of each shard."""
    from tqdm import tqdm

    receipts, seconds, began = {}, 0.0, time.time()
    bar = tqdm(total=len(store.shards), initial=done, desc=title, unit="shard")
    try:
        for shard, outcome in outcomes:
            bar.update()
            lock.note(workers=cluster.workers, made=len(receipts))
            if isinstance(outcome, Finished):
                receipts[shard] = outcome.receipt
                seconds += outcome.seconds
                continue
            if outcome.fatal:
                raise OSError(f"{store.path}: {outcome.reason.splitlines()[-1]}")
            store.mark_failed(shard, outcome.reason)
    finally:
        bar.close()
        if receipts:
            rows = sum(store.rows_of(shard).stop - store.rows_of(shard).start for shard in receipts)
            store.note_cost(title, rows, len(receipts), seconds, time.time() - began)
            _note_parts(store, title, list(receipts.values()), time.time() - began)
    return receipts


def _note_parts(store: Any, title: str, receipts: list[Any], wall_seconds: float) -> None:
    """A line for each part of the work that receipts tell the cost of."""
    told = [one for one in receipts if isinstance(one, Costs) and one.rows]
    for name in dict.fromkeys(name for one in told for name in one.seconds):
        some = [one for one in told if name in one.seconds]
        rows, seconds = sum(one.rows for one in some), sum(one.seconds[name] for one in some)
        store.note_cost(f"{title}: {name}", rows, len(some), seconds, wall_seconds)


def _refuse_failures(store: Any, states: dict[int, str], title: str) -> None:
    failed = [shard for shard, state in states.items() if state == "failed"]
    if failed:
        raise RuntimeError(
            f"{title}: {len(failed)} of {len(states)} shards failed, the others are kept. "
            f"Shard {failed[0]}:\n{store.failure(failed[0])}\nRun jobs/{title}.py with the same "
            "options again to make only what is missing."
        )


def _timed(function: Callable[[Any], Any], piece: Any) -> Finished:
    start = time.monotonic()
    receipt = function(piece)
    return Finished(receipt, time.monotonic() - start)


def _outcome(future: Future) -> Outcome:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, OutOfTime):  # the piece has kept what it had done
        raise error
    reason = "".join(traceback.format_exception(error, limit=-4)).rstrip()
    if type(error).__name__ == "KilledWorker":
        reason = f"{error}\n{KILLED}"
    return Failure(reason, isinstance(error, OSError) and error.errno in FULL)
